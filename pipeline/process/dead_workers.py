"""A process that decodes pictures and dies is an error with a name, wherever it is noticed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from longtail.pipeline.errors import LongtailError

WORKER_DIED = (
    "a process that decodes pictures died; if memory or /dev/shm ran out, fewer system.workers need less"
)


def _hear_no_more_deaths() -> None:
    """Take torch's SIGCHLD handler away until a loader sets it anew.

    It raises for every worker that is found dead, wherever the main thread is: once is enough.
    """
    from torch.utils.data._utils import signal_handling

    with suppress(ValueError):  # not the main thread: nothing is raised here
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal_handling._SIGCHLD_handler_set = False


@contextmanager
def dead_workers_told() -> Iterator[None]:
    """Inside the block the death of a process that decodes pictures is a LongtailError.

    torch raises it wherever the main thread happens to be, in the middle of a step as well.
    """
    try:
        yield
    except (RuntimeError, ChildProcessError) as error:
        said, told = " ".join(str(error).split()), isinstance(error, ChildProcessError)
        if not told and "DataLoader worker" not in said:
            raise
        _hear_no_more_deaths()
        raise LongtailError(said if told else f"{WORKER_DIED} ({said})") from None
