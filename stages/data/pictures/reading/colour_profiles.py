"""Embedded ICC profiles: colours as a person sees them on a screen, in sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

# Of 255: profiles by which no colour moves further are sRGB, in one of its many spellings.
SAME_COLOUR = 3
SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # what an ICC profile calls the colours of a mode


def in_srgb(image: Image) -> Image:
    """`image` in modes L, LA, RGB, RGBA or CMYK with its embedded profile applied: RGB, with alpha if it had.

    As it is where no profile is embedded, or one of sRGB, of another colour space, or damaged.
    """
    colours = image.mode.removesuffix("A")
    transform = _transform_of(image, colours)
    if transform is None:
        return image
    converted = transform.apply(image.convert(colours))
    if colours != image.mode:
        converted.putalpha(image.getchannel("A"))
    return converted


def has_other_colours(image: Image) -> bool:
    """Whether a profile embedded in an opened picture changes its colours; only the header is needed."""
    colours = "RGB" if image.mode in ("P", "PA") else image.mode.removesuffix("A")
    return _transform_of(image, "L" if colours.startswith("I;16") else colours) is not None


def _transform_of(image: Image, colours: str) -> ImageCmsTransform | None:
    profile = image.info.get("icc_profile")
    return _transform(bytes(profile), colours) if profile and colours in SPACES else None


@lru_cache(maxsize=64)  # a camera writes the same profile into every picture
def _transform(profile: bytes, colours: str) -> ImageCmsTransform | None:
    """From the colours of `profile` to sRGB; None where nothing is to be converted."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != SPACES[colours]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), colours, "RGB")
    except (ImageCms.PyCMSError, OSError, ImportError):  # damaged, or Pillow built without LittleCMS
        return None
    return transform if colours == "CMYK" or _moves_colours(transform, colours) else None


def _moves_colours(transform: ImageCmsTransform, colours: str) -> bool:
    import numpy as np
    from PIL import Image

    if colours == "L":
        probe = np.arange(256, dtype=np.uint8)[:, None]
        before = probe[..., None]
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        probe = before = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    after = np.asarray(transform.apply(Image.fromarray(probe)))
    return int(np.abs(after.astype(int) - before).max()) > SAME_COLOUR
