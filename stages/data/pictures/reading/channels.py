"""From a decoded picture to the channels a network sees: laid on a background, or with its transparency."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

ALPHA = "alpha"  # the background of pictures that keep their transparency
COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (128, 128, 128)}
CHANNELS = {"rgb": 3, "gray": 1}
ALPHA_MARKS = {2: "La", 4: "RGBa"}  # Pillow's modes of premultiplied colours, by channels


def channel_count(mode: str, background: str) -> int:
    """Channels of a picture in `mode` rgb or gray: one more where its transparency is kept."""
    return CHANNELS[mode] + (background == ALPHA)


def mode_of(channels: int) -> str:
    """The mode, rgb or gray, of pictures of that many channels."""
    return "gray" if channels < 3 else "rgb"


def colour_of(background: str) -> tuple[int, int, int]:
    """R, G and B in 0…255 of a background: a name of :data:`COLOURS` or ``#rrggbb``."""
    if background in COLOURS:
        return COLOURS[background]
    red, green, blue = bytes.fromhex(background.removeprefix("#"))
    return red, green, blue


def in_channels(image: Image, mode: str, background: str) -> Image:
    """`image`, in mode RGBA if it is transparent, in the channels that `mode` and `background` ask for.

    RGB or L, laid on the background; with alpha RGBA or LA, where a colour that nobody sees becomes black.
    """
    opaque = "RGB" if mode == "rgb" else "L"
    if background == ALPHA:
        kept = opaque + "A"
        if image.mode != "RGBA":
            return image.convert(opaque).convert(kept)
        image = image.convert(kept)
        image.paste((0,) * len(kept), mask=image.getchannel("A").point(lambda alpha: 255 * (alpha == 0)))
        return image
    if image.mode == "RGBA":
        from PIL import Image as images

        ground = images.new("RGB", image.size, colour_of(background))
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    return image if image.mode == opaque else image.convert(opaque)


def premultiplied(image: Image) -> Image:
    """A picture with alpha as a network sees it, every colour times its alpha; another one as it is.

    A pixel that nobody sees is 0 in every channel then, like the padding of a crop.
    """
    return image.convert(image.mode[:-1] + "a") if image.mode in ("LA", "RGBA") else image


def as_picture(pixels: np.ndarray) -> Image:
    """Pixels (H, W, C) uint8 as a network sees them, as a picture to look at: transparent ones on white."""
    import numpy as np
    from PIL import Image

    if pixels.shape[-1] in ALPHA_MARKS:
        pixels = pixels[..., :-1] + (255 - pixels[..., -1:])
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
