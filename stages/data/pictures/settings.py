"""How pictures in files are read, resized and normalised: what image_folder and image_list have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from longtail.stages.data.pictures.reading.channels import channel_count
from longtail.stages.data.pictures.reading.opening import MAX_PIXELS
from longtail.stages.parameters import Problem, Problems

MAX_BYTES = 4 * 2**30  # of decoded pixels, kept in memory


@dataclass(frozen=True)
class PictureSettings:
    """The parameters of ``image_folder`` and ``image_list`` that say what becomes of a picture.

    A picture's shorter side is resized to `resize` pixels and the central square of `image_size` is kept.
    `background` is the colour that transparent pictures are laid on, or alpha to keep a channel that says how
    transparent a pixel is. A picture of more than `max_pixels` cannot be read. `mean` and `std` are of pixels
    in [0, 1], a number for each channel; None for the part's own.
    """

    image_size: int = 224
    resize: int | None = None
    mode: Literal["rgb", "gray"] = "rgb"
    background: str = "white"
    in_memory: bool = False
    mean: list[float] | None = None
    std: list[float] | None = None
    unreadable: Literal["error", "skip"] = "error"
    skip_limit: int = 100
    max_pixels: int = MAX_PIXELS
    workers: int | None = None

    @property
    def channels(self) -> int:
        """Channels of a picture."""
        return channel_count(self.mode, self.background)

    @property
    def reading(self) -> dict[str, Any]:
        """What ``open_picture`` and ``decode`` are told."""
        return {"mode": self.mode, "background": self.background, "max_pixels": self.max_pixels}

    @property
    def given_constants(self) -> dict[str, list[float]]:
        """`mean` and `std` of pixels in [0, 255]; empty when a part is to have its own."""
        given = {"mean": self.mean, "std": self.std}
        return {key: [255 * v for v in values] for key, values in given.items() if values is not None}

    def check(self, *, count: int) -> None:
        """ValueError when settings do not go together, or `count` pictures would not fit into memory."""
        problems = []
        for key, other in (("mean", "std"), ("std", "mean")):
            values = getattr(self, key)
            if values is None and getattr(self, other) is not None:
                problems.append(Problem(key, f"must be given with `{other}`"))
            if values is not None and len(values) != self.channels:
                rule = f"must have a number for each channel, {self.channels}"
                problems.append(Problem(key, f"{rule}, got {values}"))
        if self.resize is not None and self.resize < self.image_size:
            rule = f"must be ≥ `image_size` ({self.image_size})"
            problems.append(Problem("resize", f"{rule}, got {self.resize}"))
        needed = count * self.image_size**2 * self.channels
        if self.in_memory and needed > MAX_BYTES:
            shape = f"{self.image_size}×{self.image_size}×{self.channels}"
            largest = math.isqrt(MAX_BYTES // (count * self.channels))
            problems.append(
                Problem(
                    "image_size",
                    f"{count} pictures of {shape} bytes need {needed / 2**30:.1f} GiB of memory, the limit "
                    f"is {MAX_BYTES / 2**30:.3g}; {largest} fits, or decode them when they are needed: "
                    "`in_memory=False`",
                )
            )
        if problems:
            raise Problems(problems)
