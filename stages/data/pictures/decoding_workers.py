"""Processes that decode pictures: they leave signals to their parent, and never outlive it."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils.data import DataLoader

from longtail.stages.data.pictures.end_with_parent import end_with_parent

STOPPING = (signal.SIGINT, signal.SIGTERM)
_STARTED: set = set()  # worker processes that may still be there


def start_workers(loader: DataLoader) -> Iterator:
    """The batches of `loader`, its workers started so that they leave signals to this process."""
    before = set(multiprocessing.active_children())
    with _signals_held():  # else one might arrive before the worker has set its own handlers
        batches = iter(loader)
    alive = set(multiprocessing.active_children())
    _STARTED.intersection_update(alive)
    _STARTED.update(alive - before)
    return batches


def end_workers(batches: Iterator) -> None:
    """End the workers of a stream now: garbage collection may come too late, or in another thread."""
    shut_down = getattr(batches, "_shutdown_workers", None)  # a loader without batches has no workers
    if shut_down is not None:
        shut_down()


def leave_signals_to_the_parent(worker: int) -> None:
    """Ignore what a terminal or a scheduler sends to all: the parent ends its workers after its step.

    A worker whose parent is gone, which can end it no more, ends by itself.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    from_main_thread = threading.current_thread().name == "MainThread"  # a fork keeps the thread's name
    end_with_parent(parent.join, parent=parent.pid, kernel=from_main_thread)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Inside the block SIGINT and SIGTERM wait, and for ever in processes that are forked there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@atexit.register
def _kill_what_is_left() -> None:
    """End the workers of streams that nobody closed, before multiprocessing waits for them.

    It would send them SIGTERM first, which they leave to this process.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise
    for worker in _STARTED & set(multiprocessing.active_children()):
        worker.kill()
