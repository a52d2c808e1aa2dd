"""Components from outside the package: making them known, and remembering which ones a run was made with."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from longtail.pipeline.config.components import Spec, check_spec, registry
from longtail.pipeline.config.settings import Settings
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.stages.parameters import Problem, spec_kind
from longtail.stages.registry import outside


def use_imports(modules: Iterable[str]) -> None:
    """Make the components of modules and .py files known, as ``longtail --import`` does.

    ConfigError with all that is wrong.
    """
    problems = []
    for module in modules:
        try:
            outside.add(module)
        except ValueError as error:
            problems.append(Problem("--import", str(error)))
    if problems:
        raise ConfigError(problems)


def known_imports() -> list[tuple[str, str]]:
    """What a worker process has to be given for :func:`use_imports_of_parent`."""
    return outside.added()


def use_imports_of_parent(modules: Iterable[tuple[str, str]]) -> None:
    """Know in a worker process what its parent knew, which has warned of what is left out already."""
    warnings.simplefilter("ignore", outside.LostComponentWarning)
    for module, given in modules:
        outside.add(module, given)


def origins(*values: Settings | Spec | None) -> dict[str, dict[str, str]]:
    """Where components from outside that settings use come from, by kind and name; empty for ours alone."""
    by_kind: dict[str, dict[str, str]] = {}
    for spec in _specs(values):
        if spec.component.origin:
            by_kind.setdefault(spec.kind, {})[spec.name] = spec.component.origin
    return by_kind


def require_imports(recorded: Mapping[str, Mapping[str, str]] | None, *kinds: str) -> None:
    """LongtailError when a run's components of some `kinds` came from outside and are not known here.

    `recorded` is what :func:`origins` gave when the run was made.
    """
    for kind in kinds:
        for name, origin in (recorded or {}).get(kind, {}).items():
            if name not in registry(kind):
                fix = "give that again" if origin.startswith("--import") else "which is not installed here"
                raise LongtailError(f"{registry(kind).kind} {name!r} of this run came from {origin}; {fix}")


def _specs(value: Any) -> Iterable[Spec]:
    """Every component that a value of a configuration names, those inside others included."""
    if isinstance(value, Settings):
        for _, inner in value:
            yield from _specs(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _specs(inner)
    elif isinstance(value, Spec):
        yield value
        settings = value.full()
        for key, parameter in value.component.parameters.items():
            kind = spec_kind(parameter.rule)
            if kind and settings.get(key) is not None:
                yield from _specs(check_spec(kind, settings[key]))
