"""The components of one kind: known from source text, imported and built when they are used."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from longtail.stages.parameters import Problems
from longtail.stages.registry import outside
from longtail.stages.registry.component import Component, check_parameters, did_you_mean, inspected
from longtail.stages.registry.scan import Asked, Lost, scan
from longtail.stages.registry.source import Unreadable, files_of, forget, read, shown


class Registry:
    """Components of one kind, from one package or module and from modules outside longtail.

    `supplied` names the keyword arguments the program gives itself (a sampler's ``seed``): they are no
    parameters of a configuration. A component that cannot be read is left out with a warning; whoever names
    it gets a ValueError with the reason.
    """

    def __init__(self, kind: str, variable: str, package: str, *, supplied: tuple[str, ...] = ()):
        self.kind, self.variable, self.package = kind, variable, package
        self.supplied = frozenset(supplied)
        self._asked = Asked(variable, package, self.supplied)
        self._objects: dict[str, Callable] = {}
        self._by_hand: dict[
            str, Component
        ] = {}  # registered in a notebook or session, whose source is not read
        self._read_outside: dict[str, Component] = {}
        self._seen: set[str] = set()  # modules from outside that were read
        self._lost: dict[str, Lost] = {}

    def register(self, name: str, *, facts: Mapping[str, Any] | None = None, **fixed: Any) -> Callable:
        """Decorator: make the function or class below available as `name`, with `fixed` arguments.

        `facts` are what a configuration can know of it without importing it, beside its class attributes.
        """

        def add(target: Callable) -> Callable:
            lost = self._lost.get(name)
            own = self._scanned.get(name) or self._from_outside.get(name)
            if own is None and (lost is None or lost.module != target.__module__):
                self._by_hand[name] = inspected(name, target, fixed, facts or {}, self.supplied)
            elif own is not None and (target.__module__, target.__qualname__) != (own.module, own.qualname):
                raise ValueError(f"{self.kind} {name!r} exists already ({own.module}.{own.qualname})")
            self._objects[name] = target
            return target

        return add

    def names(self) -> list[str]:
        """Every registered name, sorted with numbers by size: resnet8 before resnet14."""
        return sorted({**self._scanned, **self._from_outside, **self._by_hand}, key=_by_size)

    def __contains__(self, name: object) -> bool:
        return self._known(name) is not None

    def describe(self, name: str) -> Component:
        """What is known of `name`; ValueError with the nearest name, or with why a component is lost."""
        component = self._known(name)
        if component is not None:
            return component
        if name in self._lost:
            raise ValueError(f"{self.kind} {name!r} cannot be used: {self._lost[name].reason}")
        raise ValueError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")

    def get(self, name: str) -> Callable:
        """The function or class registered as `name`, its file imported on first use.

        ImportError when that fails.
        """
        component = self.describe(name)
        registered = name if self._named(name) is not None else name.partition("/")[0]
        if registered not in self._objects:
            try:
                importlib.import_module(component.module)
            except Exception as error:
                if not component.origin:
                    raise
                failed = f"{component.module} ({component.origin}) cannot be imported"
                reason = f"{type(error).__name__}: {error}"
                raise ImportError(f"{self.kind} {name!r}: {failed}: {reason}") from error
        if registered not in self._objects:
            raise ImportError(f"{self.kind} {name!r}: importing {component.module} does not register it")
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
        """(name, params) in their canonical spelling: ``{name: timm, model: x}`` is ``timm/x``."""
        rest, key = dict(params), self.describe(name).suffix
        return (f"{name}/{rest.pop(key)}", rest) if key in rest else (name, rest)

    def families(self) -> list[str]:
        """Names that take a variant behind a slash: ``timm`` for ``timm/resnet18``."""
        return [name for name in self.names() if self.describe(name).suffix]

    # -- what is known --------------------------------------------------------------------------------

    def _known(self, name: object) -> Component | None:
        return self._named(name) or self._variant(name)

    def _named(self, name: object) -> Component | None:
        return self._scanned.get(name) or self._from_outside.get(name) or self._by_hand.get(name)

    def _variant(self, name: object) -> Component | None:
        """The component a name with a slash stands for: what is behind the slash is a parameter of it."""
        family, _, rest = name.partition("/") if isinstance(name, str) else ("", "", "")
        component = self._named(family)
        key = component and component.suffix
        if not rest or not key:
            return None
        others = {k: p for k, p in component.parameters.items() if k != key}
        return replace(component, name=name, parameters=others, fixed={**component.fixed, key: rest})

    @cached_property
    def _scanned(self) -> dict[str, Component]:
        """The package's own components."""
        components: dict[str, Component] = {}
        self._read(files_of(self.package), components, "")
        return components

    @property
    def _from_outside(self) -> dict[str, Component]:
        """Components of other packages known so far."""
        for module in outside.modules():
            if module.module not in self._seen:
                self._seen.add(module.module)
                self._read(module.files, self._read_outside, module.origin)
        return self._read_outside

    def _read(self, files: Mapping[str, Path], into: dict[str, Component], origin: str) -> None:
        """Put the components of some files into a dictionary, and warn of those that are lost."""
        taken = into if into is self._read_outside else {}
        for module, path in files.items():
            try:
                results = list(scan(read(module, path), self._asked, origin))
            except Unreadable as error:
                results = [Lost((), module, str(error))]
            for result in results:
                if isinstance(result, Component):
                    earlier = into.get(result.name) or (taken and self._scanned.get(result.name))
                    if not earlier:
                        into[result.name] = result
                        continue
                    reason = f"{shown(path)}: {earlier.module}.{earlier.qualname} has that name already"
                    result = Lost((result.name,), module, reason)
                self._lose(result)
        forget()

    def _lose(self, lost: Lost) -> None:
        named = f"{self.kind} {', '.join(map(repr, lost.names))} is left out: " if lost.names else ""
        outside.left_out(f"{named}{lost.reason}")
        self._lost |= dict.fromkeys(lost.names, lost)


def _by_size(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
