"""Stopping when asked: at the end of a step while training, at once elsewhere."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from longtail.pipeline.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequests:
    """Inside the block the first SIGINT or SIGTERM is kept in ``requested``; the second kills at once.

    Outside the main thread, where Python allows no handlers, nothing is changed.
    """

    def __init__(self):
        self.requested: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def raise_if_requested(self) -> None:
        """Interrupted when a signal has asked to stop."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.requested = number


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """A handler that ends whatever is under way with Interrupted."""
    raise Interrupted(number)
