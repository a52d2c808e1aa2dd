"""Pictures that are odd, damaged or none: of every format that is read, in every mode Pillow writes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

READ, REFUSED, EITHER = "read", "refused", "either"
FORMATS = {  # Pillow's name and the suffix
    "PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "GIF": ".gif", "WEBP": ".webp", "PPM": ".ppm",
    "TIFF": ".tiff", "AVIF": ".avif", "JPEG2000": ".jp2", "TGA": ".tga", "ICO": ".ico",
}  # fmt: skip
CUTS, TURNS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.95), 16
VAST = 60_000  # pixels a side


class OddPicture(NamedTuple):
    """A file's name, its content, and whether it has to be read, has to be refused, or may be either."""

    name: str
    content: bytes
    expected: str = EITHER


def supported() -> dict[str, str]:
    """The formats, with their suffixes, that this Pillow writes and reads."""
    Image.init()
    return {name: suffix for name, suffix in FORMATS.items() if name in Image.SAVE and name in Image.OPEN}


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes of `image`."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 16, height: int = 16) -> Image.Image:
    """An RGB picture of noise, of that many pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


# -- damage -------------------------------------------------------------------------------------------------


def damaged() -> Iterator[OddPicture]:
    """Of every format a picture whole, cut, with a byte turned, empty, and under another's suffix."""
    for kind, suffix in supported().items():
        whole, other = written(noise(), kind), ".bmp" if kind == "PNG" else ".png"
        yield OddPicture(f"{kind}-whole{suffix}", whole, READ)
        yield OddPicture(f"{kind}-empty{suffix}", b"", REFUSED)
        # TGA has no mark, so that nothing but its suffix tells what it is.
        yield OddPicture(f"{kind}-other{other}", whole, REFUSED if kind == "TGA" else READ)
        for share in CUTS:
            yield OddPicture(
                f"{kind}-cut-{share:.0%}{suffix}".replace("%", ""), whole[: int(share * len(whole))]
            )
        yield OddPicture(f"{kind}-cut-last{suffix}", whole[:-1])
        yield OddPicture(f"{kind}-longer{suffix}", whole + bytes(range(256)))
        for turn in range(TURNS):  # most of them among the first bytes, which say what follows
            place = min(len(whole) - 1, int(len(whole) * (turn / TURNS) ** 3) + turn)
            turned = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
            yield OddPicture(f"{kind}-turned-{place}{suffix}", turned)


# -- pixels and what is said about them ---------------------------------------------------------------------


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 0, extra: bytes = b""
) -> bytes:
    """A PNG of filtered rows `pixels`, with `extra` chunks before them."""
    size = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + extra + packed + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def of_odd_modes() -> Iterator[OddPicture]:
    """Pixels of every kind, whole."""
    rgb, formats = noise(), supported()
    clear = Image.new("RGBA", (16, 16), (200, 10, 10, 0))
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGBA", "I;16"),
        "TIFF": ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"),
        "JPEG": ("1", "L", "CMYK", "YCbCr"),
        "BMP": ("1", "L", "P", "RGBA"),
        "GIF": ("1", "L", "P"),
        "PPM": ("1", "L"),
        "TGA": ("1", "L", "LA", "P", "RGBA"),
        "ICO": ("1", "L", "P", "RGBA"),
        "WEBP": ("RGBA",),
        "JPEG2000": ("L", "LA", "RGBA"),
        "AVIF": ("RGBA",),
    }
    for kind in formats.keys() & modes.keys():
        for mode in modes[kind]:
            image = in_mode(rgb, mode)
            yield OddPicture(
                f"{kind}-mode-{mode.replace(';', '')}{formats[kind]}", written(image, kind), READ
            )
    for kind in formats.keys() & {"PNG", "WEBP", "TIFF", "ICO", "AVIF", "JPEG2000"}:
        yield OddPicture(f"{kind}-clear{formats[kind]}", written(clear, kind), READ)
    palette = rgb.convert("P")
    for name, transparency in (("index", 3), ("each", bytes(range(256)))):
        yield OddPicture(f"PNG-palette-{name}.png", written(palette, "PNG", transparency=transparency), READ)
    yield OddPicture("PNG-few.png", png(8, 2, b"\0\x5a\xa5\0\xa5\x5a", depth=2), READ)
    for name, colour, channels in (("grey", 0, 1), ("rgb", 2, 3), ("grey-alpha", 4, 2), ("rgba", 6, 4)):
        rows = (b"\0" + bytes(range(8 * channels * 2))) * 8
        yield OddPicture(f"PNG-sixteen-{name}.png", png(8, 8, rows, depth=16, colour=colour), READ)
    for mode in ("F", "I"):
        yield OddPicture(f"TIFF-mode-{mode}.tiff", written(rgb.convert("L").convert(mode), "TIFF"), REFUSED)
    yield OddPicture("PPM-float.ppm", b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 0, 1, 2, 3), REFUSED)
    yield OddPicture("PPM-text.ppm", b"P3\n# said\n2 1\n255\n1 2 3\n4 5 6\n", READ)
    yield OddPicture("PPM-sixteen.ppm", b"P6\n2 2\n65535\n" + bytes(range(24)), READ)


def in_mode(rgb: Image.Image, mode: str) -> Image.Image:
    """An RGB picture in any mode that pictures are written in."""
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        return to_lab.apply(rgb)
    if mode == "I;16":
        return Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    return rgb.convert("L").convert("I") if mode == "I" else rgb.convert(mode)


def described() -> Iterator[OddPicture]:
    """Orientations, colour profiles, comments, sizes and frames, right and wrong."""
    rgb, formats = noise(16, 8), supported()
    profiles = {
        "srgb": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "garbage": b"\xff\0garbage" * 40,
        "empty": b"\0",
    }
    for kind in formats.keys() & {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}:
        for name, profile in profiles.items():
            yield OddPicture(
                f"{kind}-icc-{name}{formats[kind]}", written(rgb, kind, icc_profile=profile), READ
            )
    for kind in formats.keys() & {"JPEG", "PNG", "WEBP"}:
        for orientation in range(10):  # 1…8 are known
            exif = Image.Exif()
            exif[0x0112] = orientation
            content = written(rgb, kind, exif=exif)
            yield OddPicture(f"{kind}-orientation-{orientation}{formats[kind]}", content, READ)
        content = written(rgb, kind, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        yield OddPicture(f"{kind}-exif-garbage{formats[kind]}", content)
    for kind in formats.keys() - {"ICO"}:  # an icon has 256 pixels a side at most
        yield OddPicture(f"{kind}-one{formats[kind]}", written(noise(1, 1), kind), READ)
        for width, height in ((10_000, 1), (1, 10_000)):
            content = written(noise(width, height), kind)
            yield OddPicture(f"{kind}-{width}x{height}{formats[kind]}", content, READ)
    for kind in formats.keys() & {"PNG", "GIF", "WEBP", "TIFF", "AVIF"}:
        frames = {"save_all": True, "append_images": [noise(16, 8).rotate(180), Image.new("RGB", (16, 8))]}
        yield OddPicture(f"{kind}-frames{formats[kind]}", written(rgb, kind, **frames), READ)
    yield OddPicture(
        "ICO-sizes.ico", written(noise(64, 64), "ICO", sizes=[(16, 16), (32, 32), (64, 64)]), READ
    )


# -- made to do harm ----------------------------------------------------------------------------------------


def bombs() -> Iterator[OddPicture]:
    """Small files whose header promises more pixels than are admitted, or that unpack to a great deal."""
    formats = supported()
    vast = png(VAST, VAST, bytes(10**6))
    image = noise()
    sides = struct.pack(">2I", VAST, VAST)
    contents = {
        "PNG": vast,
        "ICO": struct.pack("<3H4B2H2I", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(vast), 22) + vast,
        "PPM": b"P6 %d %d 255\n" % (VAST, VAST) + bytes(100),
        "BMP": put(written(image, "BMP"), 18, struct.pack("<2i", VAST, VAST)),
        "GIF": put(written(image, "GIF"), 6, b"\xff" * 4),
        "TGA": put(written(image, "TGA"), 12, b"\xff" * 4),
    }
    jpeg = written(image, "JPEG")
    contents["JPEG"] = put(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\xff" * 4)
    if "WEBP" in formats:
        contents["WEBP"] = put(written(image, "WEBP", lossless=True), 21, b"\xff\xff\xff\x0f")
    if "AVIF" in formats:
        avif = written(image, "AVIF")
        contents["AVIF"] = put(avif, avif.index(b"ispe") + 8, sides)
    if "JPEG2000" in formats:
        jp2 = written(image, "JPEG2000")
        jp2 = put(jp2, jp2.index(b"ihdr") + 4, sides)
        contents["JPEG2000"] = put(jp2, jp2.index(b"\xff\x51") + 6, sides)
    tiff = written(image, "TIFF")
    for tag in (256, 257):
        place = tiff.index(struct.pack("<HH", tag, 3)) if struct.pack("<HH", tag, 3) in tiff else -1
        place = tiff.index(struct.pack("<HH", tag, 4)) if place < 0 else place
        tiff = put(tiff, place, struct.pack("<HHII", tag, 4, 1, VAST))
    contents["TIFF"] = tiff
    for kind in formats.keys() & contents.keys():
        yield OddPicture(f"{kind}-bomb{formats[kind]}", contents[kind], REFUSED)
    packed = zlib.compress(bytes(2**28))
    for name, extra in (("text", b"zTXta\0\0"), ("profile", b"iCCPa\0\0")):
        row = (b"\0" + bytes(range(8))) * 8
        yield OddPicture(f"PNG-{name}-bomb.png", png(8, 8, row, extra=chunk(extra[:4], extra[4:] + packed)))


def put(content: bytes, place: int, new: bytes) -> bytes:
    """`content` with `new` in place of as many bytes."""
    return content[:place] + new + content[place + len(new) :]


def no_pictures() -> Iterator[OddPicture]:
    """Files of other kinds that are called pictures."""
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(x) (w) file\n"
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
    yield OddPicture("PostScript.png", script, REFUSED)
    yield OddPicture("SVG.png", svg, REFUSED)
    yield OddPicture("PDF.jpg", b"%PDF-1.4\n", REFUSED)
    yield OddPicture("text.jpg", b"a picture\n" * 50, REFUSED)
    yield OddPicture("text.tga", b"a picture\n" * 50)
    yield OddPicture("page.gif", b"<!doctype html><html>not found</html>", REFUSED)
    yield OddPicture("zeros.bmp", bytes(5000), REFUSED)
    yield OddPicture("zeros.tga", bytes(5000))
    yield OddPicture("newline\nand \x1b[31m.png", b"text", REFUSED)


def corpus() -> list[OddPicture]:
    """All of them."""
    kinds = (damaged, of_odd_modes, described, bombs, no_pictures)
    return sorted(picture for kind in kinds for picture in kind())
