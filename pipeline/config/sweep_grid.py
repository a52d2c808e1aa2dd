"""Values and ranges: how a configuration names many classifiers in one entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, get_origin

from annotated_types import Ge, Le

from longtail.pipeline.config.components import Spec, check_spec, registry
from longtail.stages.parameters import LARGEST, Problem, Problems, UpTo, alternatives, check_value
from longtail.stages.registry import did_you_mean
from longtail.stages.wording import as_written

RANGE = ("from", "to", "steps", "scale")
MOST_TRIALS = 10_000


def expand(entry: Any) -> list[Spec]:
    """The classifiers one entry of ``sweep:`` stands for, in order, the last parameter varying fastest.

    A parameter is one value, a list of values, ``{values: [...]}`` (for parameters that are lists themselves)
    or ``{from, to, steps, scale}``, scale linear or log. Raises Problems with all that is wrong.
    """
    if not isinstance(entry, Mapping):
        return [check_spec("classifiers", entry)]
    axes, problems = {}, []
    known = _parameters(entry.get("name"))
    for key, value in entry.items():
        try:
            axes[key] = [value] if key == "name" else axis(value, known.get(key))
        except Problems as error:
            problems += [p.under(key) for p in error.problems]
    if problems:
        raise Problems(problems)
    count = math.prod(map(len, axes.values()))
    if count > MOST_TRIALS:
        raise Problems([Problem("", f"must stand for at most {MOST_TRIALS} classifiers, got {count}")])
    specs: list[Spec] = []
    for values in product(*axes.values()):
        try:
            specs.append(check_spec("classifiers", dict(zip(axes, values, strict=True))))
        except Problems as error:
            problems += error.problems
    if problems:
        raise Problems(list(dict.fromkeys(problems)))
    return specs


def axis(value: Any, rule: Any = None) -> list[Any]:
    """The values one parameter takes; `rule` tells whether a list is one value or several."""
    if isinstance(value, Mapping) and "values" in value:
        if len(value) > 1 or not isinstance(value["values"], list) or not value["values"]:
            raise Problems([Problem("", f"must be {{values: [...]}} with at least one, got {dict(value)!r}")])
        return value["values"]
    if isinstance(value, Mapping) and "name" not in value:
        return _range(value)
    if isinstance(value, list) and not _takes_list(rule):
        if not value:
            raise Problems([Problem("", "must be at least one value, got []")])
        return value
    return [value]


def _range(value: Mapping[str, Any]) -> list[float]:
    problems = [
        Problem(str(key), f"unknown key of a range{did_you_mean(str(key), list(RANGE))}")
        for key in value
        if key not in RANGE
    ]
    numbers = {k: value.get(k) for k in ("from", "to")}
    for key, number in numbers.items():
        try:
            check_value(Annotated[float, Ge(-LARGEST), Le(LARGEST)], number)
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    steps, scale = value.get("steps"), value.get("scale", "linear")
    try:
        check_value(Annotated[int, Ge(2), UpTo(MOST_TRIALS)], steps)
    except ValueError as error:
        problems.append(Problem("steps", str(error)))
    if scale not in ("linear", "log"):
        problems.append(Problem("scale", f"must be linear or log, got {as_written(scale)}"))
    elif scale == "log" and not problems and min(numbers.values()) <= 0:
        problems.append(Problem("scale", f"log needs from and to > 0, got {dict(value)!r}"))
    if problems:
        raise Problems(problems)
    low, high = (math.log(n) if scale == "log" else n for n in numbers.values())
    between = [low + (high - low) * step / (steps - 1) for step in range(steps)]
    inner = [math.exp(b) if scale == "log" else b for b in between[1:-1]]
    # Twelve digits: a value a person can write down names the same trial.
    return [float(f"{v:.12g}") for v in (float(numbers["from"]), *inner, float(numbers["to"]))]


def _parameters(name: Any) -> dict[str, Any]:
    classifiers = registry("classifiers")
    if not isinstance(name, str) or name not in classifiers:
        return {}
    return {key: p.rule for key, p in classifiers.describe(name).parameters.items()}


def _takes_list(rule: Any) -> bool:
    return rule is not None and any(get_origin(option) is list for option in alternatives(rule))
