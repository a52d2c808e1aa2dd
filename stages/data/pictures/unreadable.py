"""Refusing or skipping the pictures that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtail.stages.parameters import wrong
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.data.pictures.settings import PictureSettings


def readable_rows(broken: dict[int, str], total: int, settings: PictureSettings) -> np.ndarray:
    """Which of `total` pictures to keep, (total,) bool, given by row why some cannot be read.

    Raises ValueError when `unreadable` is error, and under skip for more than `skip_limit` of them; skipped
    ones are warned of by name.
    """
    import warnings

    import numpy as np

    summary = f"{len(broken)} of {total} pictures cannot be read: {listed(broken.values())}"
    if broken and settings.unreadable == "error":
        raise ValueError(f"{summary}; repair or remove them, or set `unreadable='skip'`")
    if len(broken) > settings.skip_limit:
        raise wrong("skip_limit", f"{summary}; the limit is {settings.skip_limit}")
    if broken:
        warnings.warn(f"{summary}; left out", stacklevel=2)
    rows = np.ones(total, bool)
    rows[list(broken)] = False
    return rows
