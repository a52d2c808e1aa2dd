"""A component as known without importing it: name, parameters, documentation, facts."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from longtail.stages import parameters as rules
from longtail.stages.parameters import Problem, Problems
from longtail.stages.registry.annotations import rule_of_text

REQUIRED = inspect.Parameter.empty
LITERALS = (bool, int, float, str, tuple, type(None))  # types of class attributes that count as facts


@dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter: its default (``REQUIRED`` when it has none) and its rule."""

    name: str
    default: Any
    rule: Any

    def __str__(self) -> str:
        return self.name if self.default is REQUIRED else f"{self.name}={self.default!r}"


@dataclass(frozen=True)
class Component:
    """What the source says of one registered name.

    `fixed` are the arguments its decorator gives. `facts` are the class attributes that are literals
    (``head_kind = "cosine"``), those of its base classes included, and what the decorator's ``facts`` add. An
    attribute that is computed, a property say, is not among them. `origin` says where a component from
    outside the package comes from; it is empty for our own.
    """

    name: str
    module: str
    qualname: str
    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Any]
    doc: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.split("\n", 1)[0].strip()

    @property
    def source(self) -> str:
        """The docstring's ``Source:`` paragraph, on one line; empty when it has none."""
        _, mark, rest = self.doc.partition("Source:")
        return " ".join(rest.split("\n\n")[0].split()) if mark else ""

    @property
    def suffix(self) -> str | None:
        """The parameter that is written into the component's name (``timm/resnet18``), if one is."""
        return next((key for key, p in self.parameters.items() if rules.is_suffix(p.rule)), None)


def did_you_mean(word: str, choices: list[str], otherwise: str | None = None) -> str:
    """``"; did you mean 'crt'?"`` for a near miss, else `otherwise`, or the choices."""
    near = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if otherwise is not None:
        return f"; {otherwise}"
    return f"; choose from {', '.join(choices)}" if choices else ""


def split_spec(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, parameters) of a component given as a name or ``{name, ...parameters}``; else ValueError."""
    params = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = params.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"a component must be a name or {{name, ...parameters}}, got {spec!r}")
    return name, params


def inspected(
    name: str, target: Callable, fixed: Mapping[str, Any], facts: Mapping[str, Any], hidden: frozenset[str]
) -> Component:
    """The component an imported function or class is, as :func:`signature_parameters` sees it."""
    parameters = signature_parameters(target, hidden={*hidden, *fixed})
    doc = inspect.getdoc(target) or ""
    facts = {**_literal_attributes(target), **facts}
    return Component(name, target.__module__, target.__qualname__, parameters, fixed, doc, facts)


def _literal_attributes(target: Callable) -> dict[str, Any]:
    """Public class attributes that a literal may have set, inherited ones included; none for a function."""
    names = [name for name in dir(target) if not name.startswith("_")] if isinstance(target, type) else []
    values = {name: inspect.getattr_static(target, name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, LITERALS)}


def signature_parameters(
    target: Callable, hidden: set[str] | frozenset[str] = frozenset()
) -> dict[str, Parameter]:
    """The keyword-only parameters of an imported function or class, less the `hidden` ones.

    A parameter without annotation may have any value. ValueError for an annotation that is not a rule.
    """
    parameters = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in hidden:
            rule = parameter.annotation
            rule = Any if rule is REQUIRED else rule_of_text(rule) if isinstance(rule, str) else rule
            parameters[parameter.name] = Parameter(parameter.name, parameter.default, rule)
    return parameters


def check_parameters(known: Mapping[str, Parameter], params: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """`params` in the types `known` asks for; every problem with them in one `Problems`."""
    problems, checked = [], {}
    for key, value in params.items():
        if key not in known:
            hint = did_you_mean(key, list(known)) if known else "; it has none"
            problems.append(Problem(key, f"unknown parameter of {owner}{hint}"))
            continue
        try:
            checked[key] = rules.check_value(known[key].rule, value)
        except ValueError as error:
            problems.append(Problem(key, str(error)))
    for key, parameter in known.items():
        if parameter.default is REQUIRED and key not in params:
            problems.append(Problem(key, f"is required; it must be {rules.describe_rule(parameter.rule)}"))
    if problems:
        raise Problems(problems)
    return checked
