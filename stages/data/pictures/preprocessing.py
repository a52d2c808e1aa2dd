"""How evaluation reads a picture file: in a split, and later, when a finished model predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longtail.stages.data.pictures.reading.opening import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Preprocessing:
    """A picture becomes (height, width) pixels in `mode`, then (value − mean)/std, values in [0, 255].

    Where pictures are `kept` in memory their central square is resized to `resize` pixels a side (None:
    fitted to height and width at once), else the shorter side is; the middle is cropped from that. `mean`
    and `std` have a number for each channel. Transparent pictures are laid on `background`, or keep a channel
    of alpha, by which their colours are multiplied; pictures of more than `max_pixels` are refused.
    """

    height: int
    width: int
    resize: int | None
    mode: Literal["rgb", "gray"]
    kept: bool
    mean: list[float]
    std: list[float]
    background: str = "white"
    max_pixels: int = MAX_PIXELS

    def reader(self) -> Callable[[Path], np.ndarray]:
        """A function that reads a file as (height, width, channels) uint8, raising whatever Pillow does."""
        from longtail.stages.data.pictures.read_picture import decode, open_picture

        if self.kept:
            given = {"background": self.background, "max_pixels": self.max_pixels}
            return lambda path: decode(path, (self.height, self.width), self.mode, self.resize, **given)
        from longtail.stages.data.pictures.torchvision_transform import picture_transform

        transform = picture_transform(self.height, self.resize, None)

        def read(path: Path) -> np.ndarray:
            image = open_picture(path, self.mode, self.background, self.max_pixels)
            return transform(image).permute(1, 2, 0).numpy()

        return read
