"""Failures a person can act on; the command line shows each as one line."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtail.stages.parameters import Problem, Problems

OUT_OF_MEMORY = (  # in the messages of torch's RuntimeErrors
    "DefaultCPUAllocator",
    "not enough memory",
    "Cannot allocate memory",
    "start new thread",
)


class LongtailError(Exception):
    """Something went wrong that is not a bug: exit status 1."""


class ConfigError(LongtailError):
    """A configuration that cannot be used, with everything wrong in it: exit status 2."""

    def __init__(self, problems: Problems | list[Problem] | str, source: str = ""):
        if isinstance(problems, str):
            from longtail.stages.parameters import Problem

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


class Unexpected(Exception):
    """A bug that showed in a worker process; `trace` is the traceback it has there."""

    def __init__(self, message: str, *, trace: str):
        self.trace = trace
        super().__init__(message)


def out_of_memory(error: BaseException) -> str | None:
    """What to say of an error that means memory ran out, with what needs less; None for any other error.

    Libraries report it in many ways: MemoryError, torch's RuntimeErrors, the system's ENOMEM.
    """
    message = str(error).strip().partition("\n")[0]
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported for this
        return f"out of GPU memory: {message} A smaller representation.batch_size helps"
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    in_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    if not (isinstance(error, MemoryError) or no_memory or in_torch):
        return None
    what = f"out of memory: {message}" if message else "out of memory"
    return f"{what}; a smaller representation.batch_size, fewer system.workers and fewer --jobs need less"


def in_words(error: BaseException) -> str | None:
    """What to say of a failure that a person can act on; None for a bug."""
    memory = out_of_memory(error)
    if memory is not None:
        return memory
    if isinstance(error, LongtailError | ValueError | OSError | ImportError):
        return _without_number(error) or type(error).__name__
    return None


def _without_number(error: BaseException) -> str:
    """What an exception says, without Python's ``[Errno 28]``: ``/x/DONE: No space left on device``."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)
