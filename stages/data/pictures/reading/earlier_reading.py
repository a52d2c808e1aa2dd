"""Which pictures earlier versions read differently."""

from __future__ import annotations

from pathlib import Path

from longtail.stages.data.pictures.reading.colour_profiles import has_other_colours
from longtail.stages.data.pictures.reading.opening import MAX_PIXELS, opened
from longtail.stages.data.pictures.transparency import is_transparent


def was_read_differently(path: str | Path) -> bool:
    """Whether transparency or a colour profile, once ignored, now changes what a network sees of a picture.

    False for a picture that cannot be read.
    """
    path = Path(path)
    try:
        with opened(path, MAX_PIXELS) as image:
            if has_other_colours(image):
                return True
    except Exception:  # Pillow raises anything, from OSError to IndexError
        return False
    return is_transparent(path)
