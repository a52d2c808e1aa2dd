"""How much work something is, counted in function calls: the same on every machine, as seconds are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class TooMuchWork(BaseException):
    """More calls than allowed; no ``except Exception`` on the way gets hold of it."""


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Raise TooMuchWork as soon as the block has made more than so many calls, to Python or to C."""
    before, count = sys.getprofile(), 0

    def count_calls(frame, event, argument) -> None:
        nonlocal count
        count += event in ("call", "c_call")
        if count > calls:
            raise TooMuchWork(f"more than {calls} calls")

    sys.setprofile(count_calls)
    try:
        yield
    finally:
        sys.setprofile(before)
