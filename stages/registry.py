"""One registry for every kind of component: datasets, samplers, losses, backbones, classifiers...

A component is a function or class under a decorator, in a file beside its siblings::

    @SAMPLERS.register("square_root", q=0.5)
    @SAMPLERS.register("power")
    class Power: ...

Names, parameters and documentation are read from the source text without importing it, so that a
configuration is checked, and a finished run recognised, without loading torch. Only the file of the
component in use is imported.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from longtail.stages import parameters as rules
from longtail.stages.parameters import Problem, Problems

REQUIRED = inspect.Parameter.empty


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
    """What the source says of one registered name."""

    name: str
    module: str
    qualname: str
    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, Any]
    doc: str

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.split("\n", 1)[0].strip()

    @property
    def source(self) -> str:
        """The docstring's ``Source:`` paragraph, on one line; empty when it has none."""
        _, mark, rest = self.doc.partition("Source:")
        return " ".join(rest.split("\n\n")[0].split()) if mark else ""


def did_you_mean(word: str, choices: list[str], otherwise: str | None = None) -> str:
    """``"; did you mean 'crt'?"`` for a near miss, else `otherwise`, or the choices."""
    near = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if otherwise is not None:
        return f"; {otherwise}"
    return f"; choose from {', '.join(choices)}" if choices else ""


class Registry:
    """Components of one kind, found in one package or module.

    `supplied` names the keyword arguments the program gives itself (a sampler's ``seed``): they are no
    parameters of a configuration.
    """

    def __init__(self, kind: str, variable: str, package: str, *, supplied: tuple[str, ...] = ()):
        self.kind, self.variable, self.package = kind, variable, package
        self.supplied = frozenset(supplied)
        self._objects: dict[str, Callable] = {}
        self._extra: dict[str, Component] = {}

    def register(self, name: str, **fixed: Any) -> Callable:
        """Decorator: make the function or class below available as `name`, with `fixed` arguments."""

        def add(target: Callable) -> Callable:
            own = self._scanned.get(name)
            if own is None:  # a component from outside the package: ask the object itself
                self._extra[name] = self._inspect(name, target, fixed)
            elif (target.__module__, target.__qualname__) != (own.module, own.qualname):
                raise ValueError(f"{self.kind} {name!r} exists already ({own.module}.{own.qualname})")
            self._objects[name] = target
            return target

        return add

    def names(self) -> list[str]:
        """Every registered name, sorted with numbers by size: resnet8 before resnet14."""
        return sorted({**self._scanned, **self._extra}, key=_by_size)

    def __contains__(self, name: object) -> bool:
        return name in self._scanned or name in self._extra or self._variant(name) is not None

    def describe(self, name: str) -> Component:
        """What is known of `name`; ValueError with the nearest name when there is no such component."""
        found = self._extra.get(name) or self._scanned.get(name) or self._variant(name)
        if found is None:
            raise ValueError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")
        return found

    def get(self, name: str) -> Callable:
        """The function or class registered as `name`, its file imported on first use."""
        component = self.describe(name)
        registered = name if name in self._scanned or name in self._extra else name.partition("/")[0]
        if registered not in self._objects:
            importlib.import_module(component.module)
        return self._objects[registered]

    def create(self, name: str, *args: Any, **params: Any) -> Any:
        """Build a component. Unknown, missing or ill-valued parameters raise ValueError, all at once."""
        component = self.describe(name)
        supplied = {key: params.pop(key) for key in list(params) if key in self.supplied}
        try:
            params = self.check(name, params)
        except Problems as error:
            raise Problems([p.under(f"{self.kind} {name}") for p in error.problems]) from None
        return self.get(name)(*args, **component.fixed, **supplied, **params)

    def check(self, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` in the types the signature asks for; every problem with them in one `Problems`."""
        return check_parameters(self.describe(name).parameters, params, f"{self.kind} {name}")

    def spelled(self, name: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """(name, params) in the one way they are spelled: ``{name: timm, model: x}`` is ``timm/x``."""
        rest, key = dict(params), _suffix(self.describe(name))
        return (f"{name}/{rest.pop(key)}", rest) if key in rest else (name, rest)

    def families(self) -> list[str]:
        """Names that take a variant behind a slash: ``timm`` for ``timm/resnet18``."""
        return [name for name in self.names() if _suffix(self.describe(name))]

    def _variant(self, name: object) -> Component | None:
        """The component a name with a slash stands for: what is behind the slash is a parameter of it."""
        family, _, rest = name.partition("/") if isinstance(name, str) else ("", "", "")
        found = self._extra.get(family) or self._scanned.get(family)
        key = found and _suffix(found)
        if not rest or not key:
            return None
        others = {k: p for k, p in found.parameters.items() if k != key}
        return replace(found, name=name, parameters=others, fixed={**found.fixed, key: rest})

    # -- reading the source ---------------------------------------------------------------------------

    @cached_property
    def _scanned(self) -> dict[str, Component]:
        spec = importlib.util.find_spec(self.package)
        if spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations)))
            files = {
                ".".join([self.package, *p.relative_to(folder).with_suffix("").parts]): p
                for p in sorted(folder.rglob("[!_]*.py"))
            }
        else:
            files = {self.package: Path(spec.origin)}
        found: dict[str, Component] = {}
        for module, path in files.items():
            text = path.read_text(encoding="utf-8")
            if f"@{self.variable}.register" not in text:
                continue
            for node in ast.parse(text).body:
                for component in self._components(module, node):
                    assert component.name not in found, f"{self.kind} {component.name} is registered twice"
                    found[component.name] = component
        return found

    def _components(self, module: str, node: ast.stmt):
        for mark in getattr(node, "decorator_list", ()):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"{self.variable}.register":
                fixed = {k.arg: ast.literal_eval(k.value) for k in mark.keywords}
                yield Component(
                    name=ast.literal_eval(mark.args[0]),
                    module=module,
                    qualname=node.name,
                    parameters=self._parameters(node, fixed),
                    fixed=fixed,
                    doc=inspect.cleandoc(ast.get_docstring(node) or ""),
                )

    def _parameters(self, node: ast.stmt, fixed: Mapping) -> dict[str, Parameter]:
        if isinstance(node, ast.ClassDef):
            node = next(
                (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
            )
        if node is None:
            return {}
        found = {}
        for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if arg.arg in self.supplied or arg.arg in fixed:
                continue
            value = REQUIRED if default is None else ast.literal_eval(default)
            found[arg.arg] = Parameter(arg.arg, value, _rule(ast.unparse(arg.annotation)))
        return found

    def _inspect(self, name: str, target: Callable, fixed: Mapping) -> Component:
        found = signature_parameters(target, hidden={*self.supplied, *fixed})
        doc = inspect.getdoc(target) or ""
        return Component(name, target.__module__, target.__qualname__, found, fixed, doc)


def split_spec(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, parameters) of a component given as a name or ``{name, ...parameters}``; else ValueError."""
    params = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = params.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"a component must be a name or {{name, ...parameters}}, got {spec!r}")
    return name, params


def _suffix(component: Component) -> str | None:
    """The parameter that is written into a component's name, if one is."""
    return next((k for k, p in component.parameters.items() if rules.is_suffix(p.rule)), None)


def _by_size(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def signature_parameters(target: Callable, hidden: set[str] | frozenset[str] = frozenset()):
    """The keyword-only parameters of an imported function or class, less the `hidden` ones."""
    found = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in hidden:
            rule = parameter.annotation
            rule = Any if rule is REQUIRED else _rule(rule) if isinstance(rule, str) else rule
            found[parameter.name] = Parameter(parameter.name, parameter.default, rule)
    return found


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


def _rule(annotation: str) -> Any:
    """The rule an annotation in our own source text stands for."""
    return eval(annotation, {"Any": Any, **vars(rules)})
