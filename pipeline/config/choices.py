"""Classifiers that choose on held-out samples, and whether a configuration leaves them any."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import Spec, check_spec, registry
from longtail.pipeline.errors import ConfigError
from longtail.stages.parameters import Problem, spec_kind

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config

log = logging.getLogger("longtail")

ALWAYS_CHOOSE = ("temperature",)  # whatever their parameters; others do where one of those is "validation"
COSINE_LOSSES = ("ldam", "margin", "hinge")  # whose own head is the cosine one


def check_choices(config: Config, *, refuse: bool = True) -> None:
    """ConfigError when a classifier has a choice to make and certainly no samples to make it on.

    A warning where the data may bring some, or without `refuse`.
    """
    empty = _empty_for_choices(config)
    if empty is None:
        return
    setting, certain = empty
    found = [
        Problem(f"classifiers.{row}", cannot_choose(config, spec, setting))
        for row, spec in enumerate(config.classifiers)
        if chooses(spec, cosine=has_cosine_head(config))
    ]
    if found and certain and refuse:
        raise ConfigError(found)
    for problem in found:
        log.warning("%s%s", problem, "" if certain else " (unless the data set brings a part of its own)")


def chooses(spec: Spec, *, cosine: bool = False) -> bool:
    """True when a classifier, given a trained head (`cosine` or not), chooses on validation samples."""
    if cosine and spec.name == "tau_norm":
        return False  # the head's rows have length 1 already: every τ predicts alike
    settings = spec.full()
    if spec.name in ALWAYS_CHOOSE or "validation" in settings.values():
        return True
    return any(chooses(check_spec("classifiers", settings[key]), cosine=cosine) for key in _wrapped(spec))


def cannot_choose(config: Config, spec: Spec, setting: str | None = None) -> str:
    """Why a classifier that :func:`chooses` cannot be fitted without samples to choose on, and the fixes."""
    part = "test" if config.evaluation.protocol == "paper" else "validation"
    fixed = [key for key, value in flat(spec.full()).items() if value == "validation"]
    instead = f"give a fixed {fixed[0]} ({{name: {spec.name}, {fixed[0]}: 1}})" if fixed else "leave it out"
    why = f"{setting} leaves none" if setting else "there is none"
    return (
        f"{spec.name} chooses on {part} samples and {why}; hold some out "
        f"(data.{part}_per_class=5, say) or {instead}"
    )


def has_cosine_head(config: Config) -> bool:
    head = config.representation.head
    return config.representation.loss.name in COSINE_LOSSES if head is None else head.name == "cosine"


def _wrapped(spec: Spec) -> list[str]:
    known = registry(spec.kind).describe(spec.name).parameters
    return [key for key, parameter in known.items() if spec_kind(parameter.rule) == "classifiers"]


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found = {}
    for key, value in settings.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def _empty_for_choices(config: Config) -> tuple[str, bool] | None:
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
