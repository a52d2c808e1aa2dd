"""Decoding an opened picture: upright, eight bits a channel, any transparency as an alpha channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

LARGEST = {"L;2": 3, "L;4": 15}  # value of a grey pixel of two and of four bits
# Formats in which a fourth byte of 0 everywhere is no transparency, but a byte that nobody used.
MAYBE_UNUSED = ("BMP", "TGA")


def decoded(image: ImageFile) -> Image:
    """The pixels of an opened picture: RGBA if one of them is not opaque, else any other mode but a palette.

    Turned as the EXIF orientation says. Raises ValueError for pixels without a fixed range, and whatever
    Pillow raises for what it cannot read.
    """
    from PIL import ImageOps

    written = _raw_mode(image)  # gone once the pixels are there
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        return _of_sixteen_bits(image)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save 8 or 16 bits a channel")
    if not image.has_transparency_data:
        return image.convert("RGB") if image.mode == "P" else image
    clear = image.info.get("transparency")
    # Pillow scales pixels of few bits to 0…255 and keeps the upper eight of sixteen, but not of this value.
    if isinstance(clear, int) and written in LARGEST:
        image.info["transparency"] = clear * 255 // LARGEST[written]
    if isinstance(clear, tuple) and written.startswith("RGB;16"):
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    rgba = image.convert("RGBA")
    lowest, highest = rgba.getchannel("A").getextrema()
    if lowest == 255 or (highest == 0 and image.format in MAYBE_UNUSED):
        return rgba.convert("RGB")
    return rgba


def _raw_mode(image: ImageFile) -> str:
    """How a PNG writes its pixels: ``L;4``, ``RGB;16B``; empty where a format does not say so."""
    arguments = image.tile[0].args if image.tile else None
    return arguments if isinstance(arguments, str) else ""


def _of_sixteen_bits(image: Image) -> Image:
    """Grey pixels by their upper eight bits: Pillow would clip, not scale."""
    import numpy as np
    from PIL import Image as images

    values = np.asarray(image)
    grey = images.fromarray((values >> 8).astype(np.uint8))
    if "icc_profile" in image.info:
        grey.info["icc_profile"] = image.info["icc_profile"]
    clear = values == image.info.get("transparency", -1)
    if clear.any():
        grey = grey.convert("RGBA")
        grey.putalpha(images.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    return grey
