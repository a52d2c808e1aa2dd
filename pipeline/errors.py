"""Failures a person can act on; the command line shows each as one line."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from stages.parameters import Problem, Problems

WORKER_DIED = (
    "a process that decodes pictures died; if memory or /dev/shm ran out, fewer system.workers need less"
)


class LongtailError(Exception):
    """Something went wrong that is not a bug: exit status 1."""


class ConfigError(LongtailError):
    """A configuration that cannot be used: every problem found, exit status 2."""

    def __init__(self, problems: Problems | list[Problem] | str, source: str = ""):
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = list(getattr(problems, "problems", problems))
        self.source = source
        super().__init__("\n".join(f"{source}: {p}" if source else str(p) for p in self.problems))


class Damaged(LongtailError):
    """A file that is not what was written: cut short, altered, or of another run."""


class DamagedWeights(Damaged):
    """The weights a finished run should have are damaged or gone."""


class FitFailed(LongtailError):
    """One classifier could not be fitted; others of the same run can."""


class Interrupted(LongtailError):
    """Stopped by a signal; the exit status follows from it."""

    def __init__(self, signum: int):
        self.signum = signum
        super().__init__(f"stopped by signal {signum}; the same command continues")


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
