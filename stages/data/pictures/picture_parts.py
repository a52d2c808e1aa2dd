"""Pictures as a part of a data set: kept in memory, or decoded when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtail.stages.data.pictures.decoded import ImageFiles
    from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.data.pictures.reading import decode, open_picture, readable, try_each

MAX_BYTES = 4 * 2**30  # of decoded pixels, kept in memory


def picture_part(
    root: Path,
    paths: Sequence[str],
    labels: Sequence[int],
    *,
    image_size: int,
    resize: int | None,
    mode: str,
    in_memory: bool,
    mean: list[float] | None,
    std: list[float] | None,
    unreadable: str,
    skip_limit: int,
    workers: int | None,
) -> ImageArrays | ImageFiles:
    """Pictures below `root` as a part: decoded now and kept, or decoded whenever they are needed.

    `mean` and `std` are of pixels in [0, 1], None for those a part has by itself. With `unreadable` skip
    every picture is looked at first, and those that cannot be read are left out.
    """
    import numpy as np
    import torch

    labels, files = np.asarray(labels, np.int64), [root / path for path in paths]
    constants = {"mean": mean, "std": std}
    given = {key: [255 * v for v in values] for key, values in constants.items() if values is not None}
    if in_memory:
        from longtail.stages.data.pictures.in_memory import ImageArrays

        images = np.empty((len(files), image_size, image_size, 3 if mode == "rgb" else 1), np.uint8)

        def attempt(row: int) -> None:
            images[row] = decode(files[row], (image_size, image_size), mode, resize)

        keep = readable(try_each(files, attempt, workers), len(files), unreadable, skip_limit)
        constants = {key: torch.tensor(values) for key, values in given.items()}
        picked = images if keep.all() else images[keep]
        return ImageArrays(picked, labels[keep], resize=resize, own=not given, **constants)
    from longtail.stages.data.pictures.decoded import ImageFiles

    keep = np.ones(len(files), bool)
    if unreadable == "skip":
        broken = try_each(files, lambda row: open_picture(files[row], mode), workers)
        keep = readable(broken, len(files), unreadable, skip_limit)
    kept = [path for path, kept in zip(paths, keep, strict=True) if kept]
    shape = {"image_size": image_size, "resize": resize, "mode": mode}
    return ImageFiles(root, kept, labels[keep], workers=workers, **shape, **given)


def check_fit(
    count: int,
    *,
    image_size: int,
    resize: int | None,
    mode: str,
    in_memory: bool,
    mean: list[float] | None,
    std: list[float] | None,
) -> None:
    """ValueError when `count` pictures would not fit into memory, or the settings do not go together."""
    import math

    channels = {"rgb": 3, "gray": 1}[mode]
    for key, values, other in (("mean", mean, std), ("std", std, mean)):
        if values is None and other is not None:
            raise ValueError(f"data.{key}: must be given with data.{'std' if key == 'mean' else 'mean'}")
        if values is not None and len(values) != channels:
            raise ValueError(f"data.{key}: must have a number for each channel, {channels}, got {values}")
    if resize is not None and resize < image_size:
        raise ValueError(f"data.resize: must be ≥ data.image_size ({image_size}), got {resize}")
    if not in_memory:
        return
    needed = count * image_size**2 * channels
    if needed > MAX_BYTES:
        raise ValueError(
            f"data.image_size: {count} pictures of {image_size}×{image_size}×{channels} bytes need "
            f"{needed / 2**30:.1f} GiB of memory, the limit is {MAX_BYTES / 2**30:.3g}; "
            f"{math.isqrt(MAX_BYTES // (count * channels))} fits, or decode them when they are needed: "
            "data.in_memory=false"
        )
