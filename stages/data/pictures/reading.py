"""Reading a picture file, whatever a person may have put there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")  # no EPS: reading one runs Ghostscript
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
