"""The death of a process that decodes pictures becomes a clear error, wherever it is noticed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from longtail.pipeline.errors import LongtailError

WORKER_DIED = (
    "a process that decodes pictures died; if memory or /dev/shm ran out, fewer system.workers need less"
)


@contextmanager
def report_dead_workers() -> Iterator[None]:
    """Inside the block the death of a process that decodes pictures is a LongtailError.

    torch raises it wherever the main thread happens to be, in the middle of a step as well.
    """
    try:
        yield
    except ChildProcessError as error:  # noticed where a batch was waited for, and explained there
        message = _one_line(error)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        message = f"{WORKER_DIED} ({_one_line(error)})"
    else:
        return
    _ignore_further_deaths()
    raise LongtailError(message) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _ignore_further_deaths() -> None:
    """Take torch's SIGCHLD handler away until a loader sets it anew.

    It raises for every dead worker, wherever the main thread is: once is enough.
    """
    from torch.utils.data._utils import signal_handling

    with suppress(ValueError):  # not the main thread: nothing is raised here
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal_handling._SIGCHLD_handler_set = False
