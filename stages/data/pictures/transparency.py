"""Which pictures are transparent somewhere, in any of the ways that files say so."""

from __future__ import annotations

from pathlib import Path

from longtail.stages.data.pictures.reading.opening import MAX_PIXELS, opened
from longtail.stages.data.pictures.reading.pixels import decoded


def is_transparent(path: Path, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether some pixel of a picture is not opaque; False for what cannot be read.

    The pixels are decoded only where the header says that there may be such ones.
    """
    try:
        with opened(path, max_pixels) as image:
            return image.has_transparency_data and decoded(image).mode == "RGBA"
    except Exception:  # Pillow raises anything, from OSError to IndexError
        return False
