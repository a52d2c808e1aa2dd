"""Errors and warnings about a component's parameters in the words of the configuration.

Components know the names of their parameters, the configuration has a section around them: what Python reads
as ``root: no such folder, `download=True` fetches it`` reads ``data.root: no such folder,
data.download=true fetches it`` on the command line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from longtail.pipeline.config.components import registry
from longtail.stages.parameters import Problem, Problems

_QUOTED = re.compile(r"`(\w+)(?:=([^`]*))?`")  # a parameter, perhaps with the value it should get
_AS_YAML = {"True": "true", "False": "false", "None": "null"}


@contextmanager
def settings_named(names: Mapping[str, str]) -> Iterator[None]:
    """Inside the block what is said of a parameter names its setting; `names` maps parameters to settings.

    That holds for errors that leave the block, and for warnings.
    """
    try:
        with _warnings_renamed(names):
            yield
    except Problems as error:
        raise Problems([_renamed(problem, names) for problem in error.problems]) from error
    except (ValueError, ChildProcessError) as error:
        text = in_settings(str(error), names)
        if text == str(error):
            raise
        raise type(error)(text) from error


@contextmanager
def _warnings_renamed(names: Mapping[str, str]) -> Iterator[None]:
    shown = warnings.showwarning

    def show(message, category, *where, **options) -> None:
        text = in_settings(str(message), names)
        shown(message if text == str(message) else category(text), category, *where, **options)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


def in_settings(text: str, names: Mapping[str, str]) -> str:
    """`text` with settings in place of parameters in backquotes, values as YAML has them."""

    def setting(match: re.Match) -> str:
        parameter, value = match.groups()
        if parameter not in names:
            return match[0]
        return names[parameter] + ("" if value is None else f"={_AS_YAML.get(value, value.strip(chr(39)))}")

    return _QUOTED.sub(setting, text)


def _renamed(problem: Problem, names: Mapping[str, str]) -> Problem:
    parameter, dot, inner = problem.path.partition(".")
    return Problem(names.get(parameter, parameter) + dot + inner, in_settings(problem.message, names))


def data_settings(name: str) -> dict[str, str]:
    """Settings by parameter, for what data set `name` raises, also when batches are made of its parts."""
    own = {key: f"data.{key}" for key in registry("datasets").describe(name).parameters}
    augment = {key: f"representation.augment.{key}" for key in ("resized_crop", "jitter")}
    return {
        **own,
        **augment,
        "workers": "system.workers",
        "meta_per_class": "representation.reweighting",
    }
