"""A process that works for another ends when that one does, however that one ended.

Its parent may be killed, and cannot end it then. Two ways lead to the same end, since each has a gap: Linux
kills a child whose parent is gone, a stopped child included; a thread waits for the parent's end on every
system, but runs only while its process does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(wait_for_its_end: Callable[[], object], *, parent: int, kernel: bool = True) -> None:
    """Kill this process as soon as the process `parent` is gone; `wait_for_its_end` returns then.

    `kernel`: whether Linux may be asked for it, too. It takes the end of the parent's *thread* for the
    parent's, so that only what the main thread starts may ask.
    """
    threading.Thread(target=_wait_and_end, args=(wait_for_its_end,), daemon=True, name="parent").start()
    if kernel and sys.platform == "linux" and os.getppid() == parent:  # no fork server in between
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was asked
            _end()


def _wait_and_end(wait_for_its_end: Callable[[], object]) -> None:
    wait_for_its_end()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
