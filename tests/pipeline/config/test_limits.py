"""Every number a configuration can hold has a limit, and a value beyond it gets a line rather than a hang."""

from __future__ import annotations

import math
from typing import Annotated, Any, get_args, get_origin

import pytest

from longtail.pipeline.compare.variants import variants
from longtail.pipeline.config.classifier_lists import check_sweep
from longtail.pipeline.config.components import KINDS, check_spec, registry
from longtail.pipeline.config.loading import Config, check_config, load_config
from longtail.pipeline.config.schema import schema
from longtail.pipeline.config.settings import Settings, section_of
from longtail.pipeline.errors import ConfigError
from longtail.stages.parameters import (
    LARGEST,
    MOST,
    Epochs,
    Problems,
    alternatives,
    check_value,
    describe_rule,
)
from longtail.stages.wording import as_written, bound_text

EXTREMES = (10**20, 10**25, -(10**25), 10**500, 1e308, -1e308, math.inf, -math.inf, math.nan)


def numbers(rule: Any) -> list[Any]:
    """The rules of numbers among the alternatives of a rule, those of a list's entries included."""
    entries = [get_args(a)[0] if get_origin(a) is list else a for a in alternatives(rule)]
    return [e for e in entries if (get_args(e)[0] if get_origin(e) is Annotated else e) in (int, float)]


def settings_of_sections(section: type[Settings] = Config, path: str = "") -> dict[str, Any]:
    """Dotted names of settings that can be numbers, with their rules."""
    known = {}
    for name, field in section.model_fields.items():
        inner, full = section_of(field), f"{path}.{name}" if path else name
        if inner is not None:
            known |= settings_of_sections(inner, full)
        elif numbers(field.rebuild_annotation()):
            known[full] = field.rebuild_annotation()
    return known


SETTINGS = settings_of_sections()
PARAMETERS = {
    f"{kind} {name}.{parameter.name}": (kind, name, parameter)
    for kind in KINDS
    for name in registry(kind).names()
    for parameter in registry(kind).describe(name).parameters.values()
    if numbers(parameter.rule)
}


def bounds(rule: Any) -> tuple[float, float]:
    """The least and the greatest value that a rule of numbers allows."""
    marks = [
        mark for entry in rule.__metadata__ for mark in (entry if hasattr(entry, "__iter__") else [entry])
    ]
    low = [getattr(mark, name) for mark in marks for name in ("ge", "gt") if hasattr(mark, name)]
    high = [getattr(mark, name) for mark in marks for name in ("le", "lt") if hasattr(mark, name)]
    return max(low, default=-math.inf), min(high, default=math.inf)


def extremes(rule: Any) -> list[float]:
    """Values that a rule refuses; as a number that is no integer, 10²⁵ is large but fine."""
    integers = all(get_args(number)[0] is int for number in numbers(rule))
    return [value for value in EXTREMES if integers or not 0 < value < LARGEST]


def test_numbers_are_found():
    assert {"seed", "representation.epochs", "representation.augment.pad", "system.threads"} <= set(SETTINGS)
    assert {"classifiers knn.k", "datasets digits.seed", "schedules multi_step.milestones"} <= set(PARAMETERS)


@pytest.mark.parametrize("name", [*SETTINGS, *PARAMETERS])
def test_every_number_has_a_lower_and_an_upper_limit(name):
    rule = SETTINGS[name] if name in SETTINGS else PARAMETERS[name][2].rule
    for number in numbers(rule):
        assert get_origin(number) is Annotated, "has no limits at all"
        low, high = bounds(number)
        most = 2**63 - 1 if get_args(number)[0] is int else LARGEST
        assert -most <= low < high <= most


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_refuses_extreme_values_in_one_line(name):
    for value in extremes(SETTINGS[name]):
        nested: Any = value
        for key in reversed(name.split(".")):
            nested = {key: nested}
        with pytest.raises(ConfigError) as caught:
            check_config({"data": "digits", **nested})
        problems = {problem.path: problem.message for problem in caught.value.problems}
        assert problems[name].startswith("must be ") and len(problems[name]) < 200


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_refuses_extreme_values_in_one_line(name):
    kind, component, parameter = PARAMETERS[name]
    listed = any(get_origin(alternative) is list for alternative in alternatives(parameter.rule))
    for value in extremes(parameter.rule):
        with pytest.raises(Problems) as caught:
            check_spec(kind, {"name": component, parameter.name: [value] if listed else value})
        problems = {problem.path: problem.message for problem in caught.value.problems}
        assert problems[parameter.name].startswith("must be ") and len(problems[parameter.name]) < 200


def test_message_names_the_limit_to_who_exceeds_it():
    with pytest.raises(ValueError, match=r"^must be an integer ≥ 1, got 0$"):
        check_value(Epochs, 0)
    with pytest.raises(ValueError, match=r"^must be an integer ≥ 1 and ≤ 10⁶, got 1000001$"):
        check_value(Epochs, 10**6 + 1)
    with pytest.raises(ValueError, match=r"^must be a list, each an integer ≥ 1 and ≤ 10⁶, got "):
        check_value(list[Epochs], [1, 10**7])
    assert check_value(Epochs, 10**6) == 10**6


def test_documentation_names_limits():
    assert describe_rule(Epochs | None, limits=MOST) == "an integer ≥ 1 and ≤ 10⁶ or null"
    assert schema()["properties"]["system"]["anyOf"][0]["properties"]["threads"]["anyOf"][0]["anyOf"][0] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1024,
    }


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0.5, "0.5"),
        (1024, "1024"),
        (10**9, "10⁹"),
        (2**63 - 1, "2⁶³ − 1"),
        (123456, "123456"),
        (-(10**9), "−10⁹"),
        (1e30, "10³⁰"),
    ],
)
def test_bounds_are_written_as_people_do(bound, text):
    assert bound_text(bound) == text


def test_huge_integers_are_not_written_out():
    assert as_written(-(10**5000)) == "an integer of more than 40 digits"
    assert as_written(10**20) == "1" + 20 * "0"


def test_minus_zero_gives_the_id_of_zero():
    minus, plus = (load_config("digits_lt", [f"representation.loss={{name: focal, gamma: {zero}}}"])
                   for zero in ("-0.0", "0.0"))  # fmt: skip
    assert str(minus.minimal()) == str(plus.minimal())


def test_largest_seed_is_accepted():
    assert load_config("digits_lt", [f"seed={2**63 - 1}", f"data.seed={2**63 - 1}"]).seed == 2**63 - 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"from": 0, "to": 10**500, "steps": 3}, "to: must be a number ≥ −10³⁰ and ≤ 10³⁰, got an integer"),
        ({"from": 0, "to": 1e308, "steps": 3}, "to: must be a number ≥ −10³⁰ and ≤ 10³⁰, got 1e"),
        ({"from": 0, "to": 1, "steps": 10**25}, "steps: must be an integer ≥ 2 and ≤ 10000, got 1000"),
    ],
)
def test_ranges_of_a_sweep_are_limited(entry, message):
    with pytest.raises(Problems, match=message):
        check_sweep([{"name": "cosine", "scale": entry}])


def test_trials_of_a_whole_sweep_are_limited(monkeypatch):
    monkeypatch.setattr("longtail.pipeline.config.classifier_lists.MOST_TRIALS", 5)
    entry = {"name": "cosine", "scale": [1.0, 2.0, 3.0]}
    assert len(check_sweep([entry])) == 3
    with pytest.raises(Problems, match="must stand for at most 5 classifiers, got 6"):
        check_sweep([entry, {"name": "cosine", "scale": [4.0, 5.0, 6.0]}])


def test_runs_of_an_ablation_are_limited():
    axes = [f"evaluation.{key}={','.join(map(str, range(30, 60)))}" for key in ("many", "few")]
    with pytest.raises(ConfigError, match="ablation: must stand for at most 10000 runs, got 900000"):
        variants("digits_lt", [], vary=axes, seeds=1000)
