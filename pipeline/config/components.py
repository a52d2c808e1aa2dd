"""Every registry by name, and components as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from longtail.stages.parameters import Problem, Problems, spec_kind
from longtail.stages.registry import REQUIRED, Component, Registry
from longtail.stages.wording import as_written

_WHERE = {
    "datasets": ("longtail.stages.data", "DATASETS"),
    "samplers": ("longtail.stages.samplers", "SAMPLERS"),
    "losses": ("longtail.stages.losses", "LOSSES"),
    "weightings": ("longtail.stages.losses.weightings", "WEIGHTINGS"),
    "heads": ("longtail.stages.heads", "HEADS"),
    "backbones": ("longtail.stages.backbones", "BACKBONES"),
    "optimizers": ("longtail.stages.training.optimizers", "OPTIMIZERS"),
    "schedules": ("longtail.stages.training.schedules", "SCHEDULES"),
    "reweightings": ("longtail.stages.meta_weights", "REWEIGHTINGS"),
    "resamplers": ("longtail.stages.resampling", "RESAMPLERS"),
    "classifiers": ("longtail.stages.classifiers", "CLASSIFIERS"),
}
KINDS = tuple(_WHERE)


@cache
def registry(kind: str) -> Registry:
    """The registry of a kind (``"samplers"``...); its components are not imported."""
    module, variable = _WHERE[kind]
    return getattr(import_module(module), variable)


@dataclass(frozen=True)
class Spec:
    """A component named in a configuration, with the checked parameters given there."""

    kind: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def component(self) -> Component:
        """What is known of the component: its parameters, documentation and facts."""
        return registry(self.kind).describe(self.name)

    def minimal(self) -> dict[str, Any]:
        """Name, parameters that differ from their defaults, and those that stand in every id.

        Ids are made from it. A parameter that a component got later, with a default that computes something
        else than before, is named by the component's fact ``in_every_id``: were it left out at its default,
        an earlier result would be taken for a new one.
        """
        always = self.component.facts.get("in_every_id", ())
        return {"name": self.name, **self._resolved(lambda key, changed: changed or key in always)}

    def changed(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return self._resolved(lambda key, changed: changed)

    def full(self) -> dict[str, Any]:
        """Name and all parameters, defaults filled in."""
        return {"name": self.name, **self._resolved(lambda key, changed: True, nested_form="full")}

    def _resolved(self, wanted: Callable[[str, bool], bool], nested_form: str = "minimal") -> dict[str, Any]:
        """The parameters `wanted`, given their key and whether they differ from the default."""
        resolved = {}
        for key, parameter in self.component.parameters.items():
            value = self.params.get(key, parameter.default)
            nested = spec_kind(parameter.rule)
            if nested:
                value, default = (
                    getattr(check_spec(nested, v), nested_form)() for v in (value, parameter.default)
                )
            else:
                default = parameter.default
            if value is not REQUIRED and wanted(key, value != default):
                resolved[key] = value
        return resolved


def check_spec(kind: str, value: Any, default: Spec | None = None) -> Spec:
    """The component `value` (a name or ``{name, ...parameters}``) stands for, nested ones included.

    A mapping without a name means the `default` component. Raises `Problems` with all that is wrong.
    """
    known = registry(kind)
    if isinstance(value, Spec):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise Problems([Problem("", f"must be a name or {{name, ...parameters}}, got {as_written(value)}")])
    name = value.get("name", default.name if default else None)
    if not isinstance(name, str):
        raise Problems([Problem("name", f"is required; choose from {', '.join(known.names())}")])
    if name not in known:
        try:
            known.describe(name)
        except ValueError as error:
            raise Problems([Problem("", str(error))]) from None
    params = {key: v for key, v in value.items() if key != "name"}
    problems: list[Problem] = []
    try:
        params = known.check(name, params)
    except Problems as error:
        problems += error.problems
    for key, parameter in known.describe(name).parameters.items():
        nested = spec_kind(parameter.rule)
        if nested and key in params and isinstance(params[key], str | dict):
            try:
                check_spec(nested, params[key])
            except Problems as error:
                problems += [p.under(key) for p in error.problems]
    if problems:
        raise Problems(problems)
    return Spec(kind, *known.spelled(name, params))
