"""The garbage collector, paused while thousands of records are read and printed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Spare the collector looking through all that has been read again and again.

    For what makes no objects that refer to each other in circles: what it drops is freed at once anyway.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
