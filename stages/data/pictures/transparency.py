"""Which pictures are transparent somewhere, and the background on which their content stands out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from longtail.stages.data.pictures.reading.channels import ALPHA, COLOURS
from longtail.stages.data.pictures.reading.opening import MAX_PIXELS, opened
from longtail.stages.data.pictures.reading.pixels import decoded

FAINT = 24  # of 255: a background is unsuitable if a tenth of the pictures differ from it by less in luma


def is_transparent(path: Path, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether some pixel of a picture is not opaque; False for what cannot be read.

    The pixels are decoded only where the header says that there may be such ones.
    """
    try:
        with opened(path, max_pixels) as image:
            return image.has_transparency_data and decoded(image).mode == "RGBA"
    except Exception:  # Pillow raises anything, from OSError to IndexError
        return False


def fitting_background(paths: Sequence[Path]) -> tuple[int, str]:
    """(number of transparent pictures, the background that suits them).

    White, unless black or gray is twice as far from what they show; alpha where some vanish on all of these.
    """
    transparent = [path for path in paths if is_transparent(path)]
    contrasts = [contrast for path in transparent if (contrast := _contrasts(path)) is not None]
    if not contrasts:
        return len(transparent), "white"
    import numpy as np  # only here: a first configuration is quick where nothing is transparent

    least = dict(zip(COLOURS, np.percentile(contrasts, 10, axis=0), strict=True))
    best = max(least, key=least.__getitem__)
    if 2 * least["white"] >= least[best]:
        best = "white"
    return len(transparent), best if least[best] >= FAINT else ALPHA


def _contrasts(path: Path) -> list[float] | None:
    """By how much the luma of a picture laid on each of COLOURS differs from that; None if it shows nothing.

    At least so much in a quarter of its visible pixels.
    """
    import numpy as np

    with opened(path) as image:
        rgba = decoded(image).convert("RGBA")
    luma = np.asarray(rgba.convert("L"), np.float64)
    opacity = np.asarray(rgba.getchannel("A")) / 255
    visible = opacity > 0
    if not visible.any():
        return None
    return [
        float(np.percentile((opacity * abs(luma - colour[0]))[visible], 75)) for colour in COLOURS.values()
    ]
