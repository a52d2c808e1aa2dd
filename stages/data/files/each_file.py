"""Doing something with each of many files, in threads, whatever goes wrong with some of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from longtail.stages.wording import printable

CHUNK = 64  # files a thread takes at a time


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
                broken[row] = f"{printable(paths[row])} ({error or type(error).__name__})"
        return broken

    # Threads, since Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        chunks = pool.map(failures, range(0, len(paths), CHUNK))
        return {row: reason for broken in chunks for row, reason in broken.items()}
