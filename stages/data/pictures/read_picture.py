"""Reading one picture file of any supported format and pixel mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data.pictures.reading.channels import in_channels, premultiplied
from longtail.stages.data.pictures.reading.colour_profiles import in_srgb
from longtail.stages.data.pictures.reading.opening import MAX_PIXELS, opened
from longtail.stages.data.pictures.reading.pixels import decoded

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


def open_picture(path: Path, mode: str, background: str = "white", max_pixels: int = MAX_PIXELS) -> Image:
    """A picture as a person sees it, in `mode` rgb or gray, 8 bits a channel.

    Upright by its EXIF orientation, in sRGB where a profile is embedded, the upper eight bits of sixteen,
    and laid on `background`: in RGB or L then, or with alpha kept in RGBA or LA. Of several frames the first.

    Raises ValueError for more than `max_pixels` pixels and for pixels without a fixed range, and whatever
    Pillow raises for what it cannot read.
    """
    with opened(path, max_pixels) as image:
        return in_channels(in_srgb(decoded(image)), mode, background)


def decode(
    path: Path,
    size: tuple[int, int],
    mode: str,
    resize: int | None = None,
    *,
    background: str = "white",
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """One picture as (H, W, C) uint8, `size` being (H, W); colours premultiplied where alpha is kept.

    Upright, resized with antialiasing until it fills `size`, or with `resize` a square of that many pixels a
    side, and cropped to the centre.
    """
    import numpy as np
    from PIL import Image, ImageOps

    height, width = size
    filled = (width, height) if resize is None else (resize, resize)
    # Pillow resizes transparent pictures premultiplied: what nobody sees does not colour what somebody does.
    image = ImageOps.fit(open_picture(path, mode, background, max_pixels), filled, Image.Resampling.BILINEAR)
    left, top = (filled[0] - width) // 2, (filled[1] - height) // 2
    image = premultiplied(image.crop((left, top, left + width, top + height)))
    return np.asarray(image).reshape(height, width, -1)
