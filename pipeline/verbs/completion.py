"""What the shell completes: recipes, settings and component names.

``eval "$(_LONGTAIL_COMPLETE=bash_source longtail)"`` (zsh_source, fish_source) switches it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.config.recipes import shipped
from longtail.pipeline.config.settings import Settings, component_kind, section_of
from longtail.pipeline.errors import LongtailError
from longtail.stages.parameters import alternatives, spec_kind
from longtail.stages.wording import printable


def configs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped recipes, YAML files and folders."""
    names = [name for name in shipped() if name.startswith(incomplete)]
    before, slash, begun = incomplete.rpartition("/")
    folder, typed = Path(f"{before}{slash}" or "."), f"{before}{slash}"  # as typed: pathlib drops a ./
    files = [f"{typed}{p.name}" for p in sorted(folder.glob("*.y*ml")) if p.name.startswith(begun)]
    folders = [f"{typed}{p.name}/" for p in sorted(folder.glob("[!.]*/")) if p.name.startswith(begun)]
    words = [*names, *files, *folders]
    return [CompletionItem(word) for word in words if word == printable(word)]


def references(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Configurations at first, then settings as well, for a verb that takes both as one list of words."""
    given = tuple(context.params.get("references") or ())
    context.params.update(config=given[0] if given else None, overrides=given[1:])
    items = [] if "=" in incomplete else configs(context, parameter, incomplete)
    return [*items, *(settings(context, parameter, incomplete) if given else [])]


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``KEY=`` for settings and components' parameters, their values after the ``=``."""
    spec_of = _specs_in_use(context.params.get("config") or context.params.get("reference"))
    key = _key_before_equals(tuple(context.params.get("overrides") or ()), incomplete)
    choices = values(key, spec_of) if key else []
    if choices:
        return [CompletionItem(word) for word in choices if word.startswith(incomplete)]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [CompletionItem(f"{key}={word}") for word in values(key, spec_of) if word.startswith(value)]
    return [CompletionItem(f"{path}=") for path in keys(spec_of) if path.startswith(incomplete)]


def _key_before_equals(given: tuple[str, ...], incomplete: str) -> str | None:
    """The key whose value is completed where the shell splits words at ``=``, as bash does.

    Key, ``=`` and the beginning of the value then come one by one; click makes "" of a last ``=``.
    """
    if given[-1:] == ("=",):
        return given[-2] if len(given) > 1 else None
    return given[-1] if given and not incomplete else None


def classifiers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of classifiers."""
    return [CompletionItem(n) for n in registry("classifiers").names() if n.startswith(incomplete)]


# -- settings and their values ----------------------------------------------------------------------------


def keys(spec_of: dict[str, Spec]) -> list[str]:
    """Every dotted setting, with the parameters of the components in use."""
    paths = []
    for path, kind, _ in _settings(Config, ""):
        paths.append(path)
        if kind is not None and path in spec_of:
            paths += [f"{path}.{name}" for name in _parameters(spec_of[path])]
    return paths


def values(key: str, spec_of: dict[str, Spec]) -> list[str]:
    """What can follow ``key=`` when that is a choice: component names, literals, true and false."""
    for path, kind, rule in _settings(Config, ""):
        if path == key:
            return _words(kind, rule)
        if path in spec_of and key.startswith(f"{path}."):
            parameter = _parameters(spec_of[path]).get(key.removeprefix(f"{path}."))
            return [] if parameter is None else _words(spec_kind(parameter.rule), parameter.rule)
    return []


def _words(kind: str | None, rule: Any) -> list[str]:
    if kind is not None:
        return registry(kind).names()
    words = []
    for option in alternatives(rule):
        if get_origin(option) is Literal:
            words += [str(word) for word in get_args(option)]
        elif option is bool:
            words += ["true", "false"]
        elif option is type(None):
            words.append("null")
    return words


def _parameters(spec: Spec) -> dict[str, Any]:
    return dict(registry(spec.kind).describe(spec.name).parameters)


def _settings(section: type[Settings], prefix: str) -> Iterator[tuple[str, str | None, Any]]:
    """(dotted path, registry or None, rule) of every setting below `section`."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        below = section_of(field)
        if below is not None:
            yield from _settings(below, f"{path}.")
        else:
            yield path, component_kind(field), field.rebuild_annotation()


def _specs_in_use(reference: str | None) -> dict[str, Spec]:
    """The components of a configuration by dotted setting; empty when it cannot be read."""
    try:
        return dict(_specs(load_config(reference), "")) if reference else {}
    except (LongtailError, OSError):
        return {}


def _specs(section: Settings, prefix: str) -> Iterator[tuple[str, Spec]]:
    """(dotted path, component) of every component below `section`."""
    for name, value in section:
        if isinstance(value, Spec):
            yield f"{prefix}{name}", value
        elif isinstance(value, Settings):
            yield from _specs(value, f"{prefix}{name}.")
