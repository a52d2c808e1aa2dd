"""Opening a picture file by its content, in formats that are safe to read, up to a number of pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data.files.regular_file import open_regular

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 90_000_000  # of a picture; Pillow itself warns from 1 GiB of 3 bytes each, 89,478,485
# Pillow's plugins by format. No EPS, PS or PDF: reading those runs Ghostscript.
PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "PPM": "PpmImagePlugin",
    "TIFF": "TiffImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "ICO": "IcoImagePlugin",
    "AVIF": "AvifImagePlugin",  # since Pillow 11.3
}
START = 16  # bytes by which a format is recognised
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


@contextmanager
def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[ImageFile]:
    """A picture whose header is read, its pixels not yet; the file is closed at the end of the block.

    The format is recognised by content, whatever the name ends in; only TGA, which has no mark, goes by
    ``.tga``. Of several frames the first is read, of an icon's sizes the largest. Raises ValueError for more
    than `max_pixels` pixels and for other formats, and whatever Pillow raises for damaged files.
    """
    with open_regular(path) as file:
        image = _recognised(file, path)
        width, height = _size(image)
        if width * height > max_pixels:
            raise ValueError(
                f"has {width}×{height} pixels, {width * height / 1e6:.1f} million, where `max_pixels` "
                f"admits {max_pixels}"
            )
        yield image


def _recognised(file, path: Path) -> ImageFile:
    # Not by Image.open: its limit of pixels is one for the whole process, a warning first and then an error.
    start = file.read(START)
    reason = ""
    for factory, accepts in _openers():
        try:
            accepted = path.suffix.lower() == ".tga" if accepts is None else accepts(start)
            if accepted and not isinstance(accepted, str):  # a text says why Pillow was built without it
                file.seek(0)
                return factory(file, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open does
            reason = str(error)
    raise ValueError(reason or _unknown(start))


@cache
def _openers() -> list[tuple]:
    """For each format what opens it and what recognises its first bytes: Pillow's, and HEIF's if there."""
    from PIL import Image

    for plugin in (*PLUGINS.values(), "TgaImagePlugin"):
        with suppress(ImportError):  # an older Pillow
            import_module(f"PIL.{plugin}")
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    return [Image.OPEN[name] for name in (*PLUGINS, "HEIF", "TGA") if name in Image.OPEN]


def _size(image: ImageFile) -> tuple[int, int]:
    if image.format == "ICO":  # its directory has a byte for each side, the picture in it may be larger
        return image.ico.getimage(image.size).size
    return image.size


def _unknown(start: bytes) -> str:
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return "is HEIF (HEIC), which needs pillow-heif: pip install pillow-heif"
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis"):
        return "is AVIF, which needs Pillow 11.3 or later"
    return f"in none of the formats that are read: {', '.join((*PLUGINS, 'TGA'))}"
