"""Failures a person can act on; the command line shows each as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtail.stages.parameters import Problem, Problems


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
