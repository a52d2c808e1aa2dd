"""Reading one picture file of any supported format and pixel mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")  # no EPS: reading one runs Ghostscript


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

    Upright, resized with antialiasing until it fills `size`, or with `resize` a square of that many pixels a
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
