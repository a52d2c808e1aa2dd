"""Opening many pictures in threads, and refusing or skipping those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.parameters import wrong
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.data.pictures.settings import PictureSettings

CHUNK = 64  # pictures a thread takes at a time


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def try_each(paths: Sequence[Path], attempt: Callable[[int], object], workers: int | None) -> dict[int, str]:
    """Call ``attempt(row)`` for every path in `workers` threads; what went wrong, by row."""
    from concurrent.futures import ThreadPoolExecutor

    def failures(start: int) -> dict[int, str]:
        broken = {}
        for row in range(start, min(start + CHUNK, len(paths))):
            try:
                attempt(row)
            except Exception as error:  # Pillow raises anything, from OSError to IndexError
                broken[row] = f"{paths[row]} ({error or type(error).__name__})"
        return broken

    # Threads, since Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        chunks = pool.map(failures, range(0, len(paths), CHUNK))
        return {row: reason for broken in chunks for row, reason in broken.items()}


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
