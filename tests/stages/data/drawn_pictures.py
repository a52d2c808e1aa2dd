"""Pictures that tests draw byte by byte: what Pillow cannot write, and dark glyphs on a transparent ground."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6  # PNG's types of pixels


def png(
    size: tuple[int, int], bits: int, kind: int, row: bytes, *, clear: bytes = b"", header_only=False
) -> bytes:
    """A PNG of (width, height), every row of pixels `row`; `clear` is its tRNS chunk."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0))
    if clear:
        head += chunk(b"tRNS", clear)
    rows = b"" if header_only else zlib.compress((b"\0" + row) * size[1])
    return head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def glyph(label: int, seed: int, side: int = 12) -> np.ndarray:
    """Opacity (side, side) uint8 of a glyph: a bar, a column, a ring or a cross by `label`, moved by `seed`."""
    rng = np.random.default_rng([label, seed])
    opacity = np.zeros((side, side), np.uint8)
    row, col = rng.integers(3, side - 3, 2)
    ink = rng.integers(180, 256)
    if label in (0, 3):
        opacity[row - 1 : row + 1] = ink
    if label in (1, 3):
        opacity[:, col - 1 : col + 1] = ink
    if label == 2:
        opacity[2:-2, 2:-2] = ink
        opacity[4:-4, 4:-4] = 0
    shade = np.linspace(0.8, 1.0, side)  # more than two values, as glyphs with smooth edges have
    return (opacity * shade * shade[:, None]).astype(np.uint8)


def dark_glyph(opacity: np.ndarray, form: str) -> Image.Image:
    """A glyph in nearly black on a ground that nobody sees, in mode RGBA, LA or P; or the same on white.

    The ground has the glyph's colour, or noise in RGBA: whoever saves a picture decides what nobody sees.
    """
    dark = np.full_like(opacity, 10)
    if form == "white":
        return Image.fromarray((255 - (opacity / 255) * 245).round().astype(np.uint8)).convert("RGB")
    if form == "P":  # as many palette entries as there are opacities
        values, indices = np.unique(opacity, return_inverse=True)
        image = Image.fromarray(indices.reshape(opacity.shape).astype(np.uint8), "P")
        image.putpalette([10] * 3 * len(values))
        image.info["transparency"] = bytes(values.tolist())
        return image
    if form == "LA":
        return Image.fromarray(np.dstack([dark, opacity]))
    return Image.fromarray(np.dstack([dark, dark, dark, opacity]))


def write_glyphs(root: Path, form: str, *, count: int = 24) -> Path:
    """`root` with a folder of `count` glyphs for each of four classes."""
    for label in range(4):
        (root / str(label)).mkdir(parents=True)
        for seed in range(count):
            dark_glyph(glyph(label, seed), form).save(root / str(label) / f"{seed:03d}.png")
    return root
