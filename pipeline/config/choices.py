"""Classifiers that choose on held-out samples, and whether a configuration leaves them any."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import Spec, check_spec
from longtail.pipeline.errors import ConfigError
from longtail.stages.heads import is_cosine
from longtail.stages.parameters import Problem, spec_kind

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config

log = logging.getLogger("longtail")

EXAMPLES = {"weight_decay": 0.01}  # numbers a message proposes instead of "validation"; else 1


def check_choices(config: Config, *, refuse: bool = True) -> None:
    """ConfigError when a classifier has a choice to make and certainly no samples to make it on.

    A warning where the data may bring some, or without `refuse`.
    """
    nothing = _nothing_to_choose_on(config)
    if nothing is None:
        return
    setting, certain = nothing
    problems = [
        Problem(f"classifiers.{row}", cannot_choose(config, spec, setting))
        for row, spec in enumerate(config.classifiers)
        if chooses(spec, cosine=has_cosine_head(config))
    ]
    if problems and certain and refuse:
        raise ConfigError(problems)
    for problem in problems:
        log.warning("%s%s", problem, "" if certain else " (unless the data set brings a part of its own)")


def chooses(spec: Spec, *, cosine: bool = False) -> bool:
    """True when a classifier, given a trained head (`cosine` or not), chooses on validation samples.

    Its class attributes say so (``always_chooses``, ``chooses_under_cosine``), or a setting that is
    "validation".
    """
    facts, settings = spec.component.facts, spec.full()
    if cosine and facts.get("chooses_under_cosine") is False:
        return False
    if facts.get("always_chooses") or "validation" in settings.values():
        return True
    return any(chooses(check_spec("classifiers", settings[key]), cosine=cosine) for key in _wrapped(spec))


def cannot_choose(config: Config, spec: Spec, setting: str | None = None) -> str:
    """Why a classifier that :func:`chooses` cannot be fitted without samples to choose on, and the fixes."""
    part = "test" if config.evaluation.protocol == "paper" else "validation"
    fixed = [key for key, value in flat(spec.full()).items() if value == "validation"]
    instead = "leave it out"
    if fixed:
        number = EXAMPLES.get(fixed[0], 1)
        instead = f"give a fixed {fixed[0]} ({{name: {spec.name}, {fixed[0]}: {number}}})"
    why = f"{setting} leaves none" if setting else "there is none"
    return (
        f"{spec.name} chooses on {part} samples and {why}; hold some out "
        f"(data.{part}_per_class=5, say) or {instead}"
    )


def has_cosine_head(config: Config) -> bool:
    """Whether stage one's head gives cosines: the one that is named, or else the one the loss is made for."""
    head = config.representation.head
    if head is not None:
        return bool(head.component.facts.get("cosine", False))
    return is_cosine(config.representation.loss.component.facts.get("head_kind", "linear"))


def _wrapped(spec: Spec) -> list[str]:
    """The parameters of a classifier that are classifiers themselves."""
    known = spec.component.parameters
    return [key for key, parameter in known.items() if spec_kind(parameter.rule) == "classifiers"]


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    values = {}
    for key, value in settings.items():
        values |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return values


def _nothing_to_choose_on(config: Config) -> tuple[str, bool] | None:
    """The setting that leaves nothing to choose on, and whether it does so whatever the data bring."""
    if config.representation is None or not config.representation.epochs:
        return None  # without a trained head classifiers cross-validate
    part = "test" if config.evaluation.protocol == "paper" else "validation"
    data = config.data.full()
    each, share = f"{part}_per_class", f"{part}_fraction"
    if data[each] == 0:
        return f"data.{each}=0", True
    own = data.get({"test": "test", "validation": "val"}[part])
    return (f"data.{share}=0", False) if data[each] is None and not data[share] and own is None else None
