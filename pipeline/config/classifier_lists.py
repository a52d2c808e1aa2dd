"""Lists of classifiers: those a run fits, and those a sweep compares."""

from __future__ import annotations

from typing import Any

from longtail.pipeline.config.components import Spec, check_spec
from longtail.pipeline.config.sweep_grid import MOST_TRIALS, expand
from longtail.stages.parameters import Problem, Problems
from longtail.stages.wording import as_written


def check_classifiers(value: Any) -> list[Spec]:
    """The classifiers a list names, all different; `Problems` with all that is wrong."""
    _refuse_all_but_lists(value)
    problems, specs = [], []
    for row, entry in enumerate(value):
        try:
            specs.append(check_spec("classifiers", entry))
        except Problems as error:
            problems += [p.under(str(row)) for p in error.problems]
    forms = [spec.minimal() for spec in specs]
    problems += [
        Problem(str(row), f"repeats {form}") for row, form in enumerate(forms) if form in forms[:row]
    ]
    if problems:
        raise Problems(problems)
    return specs


def check_sweep(value: Any) -> list[Spec] | None:
    """Every trial that a list of classifiers with lists and ranges of parameters stands for."""
    if value is None:
        return None
    _refuse_all_but_lists(value)
    problems, trials = [], []
    for row, entry in enumerate(value):
        try:
            trials += [entry] if isinstance(entry, Spec) else expand(entry)
        except Problems as error:
            problems += [p.under(str(row)) for p in error.problems]
    if not problems and len(trials) > MOST_TRIALS:
        problems = [Problem("", f"must stand for at most {MOST_TRIALS} classifiers, got {len(trials)}")]
    if problems:
        raise Problems(problems)
    return trials


def _refuse_all_but_lists(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise Problems([Problem("", f"must be a list of at least one classifier, got {as_written(value)}")])
