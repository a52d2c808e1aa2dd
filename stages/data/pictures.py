"""Reading a picture file, whatever a person may have put there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.wording import listed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from stages.data.image_files import ImageFiles
    from stages.data.images import ImageArrays

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")  # no EPS: reading one runs Ghostscript
MAX_BYTES = 4 * 2**30  # of decoded pixels, kept in memory
CHUNK = 64  # pictures a thread takes at a time


def inside(path: Path, root: Path | None) -> Path:
    """What `path` really is; ValueError when that lies outside `root` (resolved; None: anywhere will do)."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # the latter before Python 3.13
        raise ValueError(f"{path}: a link that leads to itself") from None
    if root is not None and not real.is_relative_to(root):
        raise ValueError(
            f"{path}: a path that leaves its root: it leads to {real}; copy it into {root}, or set "
            "data.allow_outside=true"
        )
    return real


def open_picture(path: Path, mode: str) -> Image:
    """A picture as its EXIF orientation says, in `mode` rgb or gray, 8 bits a channel.

    Raises ValueError for pixels without a fixed range, and whatever Pillow raises for what it cannot read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):  # Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save 8 or 16 bits a channel")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB" if mode == "rgb" else "L")


def decode(path: Path, size: tuple[int, int], mode: str, resize: int | None = None) -> np.ndarray:
    """One picture as (H, W, C) uint8, `size` being (H, W).

    Upright, resized with antialiasing until it fills `size`, or with `resize` a square of so many pixels a
    side, and cropped to the centre.
    """
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    filled = (width, height) if resize is None else (resize, resize)
    image = ImageOps.fit(open_picture(path, mode), filled, Image.Resampling.BILINEAR)
    left, top = (filled[0] - width) // 2, (filled[1] - height) // 2
    image = image.crop((left, top, left + width, top + height))
    return np.asarray(image).reshape(height, width, -1)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        from stages.data.images import ImageArrays

        images = np.empty((len(files), image_size, image_size, 3 if mode == "rgb" else 1), np.uint8)

        def attempt(row: int) -> None:
            images[row] = decode(files[row], (image_size, image_size), mode, resize)

        keep = readable(try_each(files, attempt, workers), len(files), unreadable, skip_limit)
        constants = {key: torch.tensor(values) for key, values in given.items()}
        picked = images if keep.all() else images[keep]
        return ImageArrays(picked, labels[keep], resize=resize, own=not given, **constants)
    from stages.data.image_files import ImageFiles

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


def try_each(paths: Sequence[Path], attempt: Callable[[int], object], workers: int | None) -> dict[int, str]:
    """Call ``attempt(row)`` for every path in `workers` threads; what went wrong, by row."""
    from concurrent.futures import ThreadPoolExecutor

    def work(start: int) -> dict[int, str]:
        broken = {}
        for row in range(start, min(start + CHUNK, len(paths))):
            try:
                attempt(row)
            except Exception as error:  # Pillow raises anything, from OSError to IndexError
                broken[row] = f"{paths[row]} ({error or type(error).__name__})"
        return broken

    with ThreadPoolExecutor(
        workers or usable_cores()
    ) as pool:  # Pillow releases the interpreter lock while it decodes
        found = pool.map(work, range(0, len(paths), CHUNK))
        return {row: said for broken in found for row, said in broken.items()}


def readable(broken: dict[int, str], total: int, policy: str, limit: int) -> np.ndarray:
    """Which of `total` pictures to keep, (total,) bool, given those that cannot be read.

    Raises ValueError under `policy` error, and under skip for more than `limit` of them; skipped ones are
    warned of by name.
    """
    import warnings

    import numpy as np

    said = f"{len(broken)} of {total} pictures cannot be read: {listed(broken.values())}"
    if broken and policy == "error":
        raise ValueError(f"{said}; repair or remove them, or set data.unreadable=skip")
    if len(broken) > limit:
        raise ValueError(f"{said}; data.skip_limit allows {limit}")
    if broken:
        warnings.warn(f"{said}; left out", stacklevel=2)
    keep = np.ones(total, bool)
    keep[list(broken)] = False
    return keep
