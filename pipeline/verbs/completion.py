"""What the shell offers for recipes, settings and component names.

``eval "$(_LONGTAIL_COMPLETE=bash_source longtail)"`` (zsh_source, fish_source) switches it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.fields import component_kind, section_of
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.config.recipes import shipped
from longtail.pipeline.config.settings import Settings
from longtail.pipeline.errors import LongtailError
from longtail.stages.parameters import alternatives, spec_kind


def configs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped recipes, YAML files and folders."""
    names = [name for name in shipped() if name.startswith(incomplete)]
    before, slash, begun = incomplete.rpartition("/")
    folder, typed = Path(f"{before}{slash}" or "."), f"{before}{slash}"  # as typed: pathlib drops a ./
    files = [f"{typed}{p.name}" for p in sorted(folder.glob("*.y*ml")) if p.name.startswith(begun)]
    folders = [f"{typed}{p.name}/" for p in sorted(folder.glob("[!.]*/")) if p.name.startswith(begun)]
    return [CompletionItem(word) for word in [*names, *files, *folders]]


def references(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Configurations first, then settings too, where both stand in one list of words."""
    given = tuple(context.params.get("references") or ())
    context.params.update(config=given[0] if given else None, overrides=given[1:])
    found = [] if "=" in incomplete else configs(context, parameter, incomplete)
    return [*found, *(settings(context, parameter, incomplete) if given else [])]


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``KEY=`` for settings and components' parameters, their values after the ``=``.

    bash takes ``=`` for a word of its own: key, ``=`` and the value's beginning come one by one, and it
    completes the value alone.
    """
    given = tuple(context.params.get("overrides") or ())
    spec_of = _specs(context.params.get("config") or context.params.get("reference"))
    asked = given[-2:-1] if given[-1:] == ("=",) else given[-1:] if not incomplete else ()
    choices = values(asked[0], spec_of) if asked else []  # click itself makes "" of a last =
    if choices:
        return [CompletionItem(word) for word in choices if word.startswith(incomplete)]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [CompletionItem(f"{key}={word}") for word in values(key, spec_of) if word.startswith(value)]
    return [CompletionItem(f"{path}=") for path in keys(spec_of) if path.startswith(incomplete)]


def classifiers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of classifiers."""
    return [CompletionItem(n) for n in registry("classifiers").names() if n.startswith(incomplete)]


# -- what there is to set ---------------------------------------------------------------------------------


def keys(spec_of: dict[str, Spec]) -> list[str]:
    """Every dotted setting; of a component its parameters, those of the one in use."""
    found = []
    for path, kind, _ in _settings(Config, ""):
        found.append(path)
        if kind is not None and path in spec_of:
            found += [f"{path}.{name}" for name in _parameters(spec_of[path])]
    return found


def values(key: str, spec_of: dict[str, Spec]) -> list[str]:
    """What may stand after ``key=`` where that is a choice: component names, literals, true and false."""
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
    found = []
    for option in alternatives(rule):
        if get_origin(option) is Literal:
            found += [str(word) for word in get_args(option)]
        elif option is bool:
            found += ["true", "false"]
        elif option is type(None):
            found.append("null")
    return found


def _parameters(spec: Spec) -> dict[str, Any]:
    return dict(registry(spec.kind).describe(spec.name).parameters)


def _settings(section: type[Settings], prefix: str):
    """(dotted path, registry or None, rule) of every setting below `section`."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        below = section_of(field)
        if below is not None:
            yield from _settings(below, f"{path}.")
        else:
            yield path, component_kind(field), field.rebuild_annotation()


def _specs(reference: str | None) -> dict[str, Spec]:
    """The components in use by their dotted settings; none when the configuration cannot be read."""
    try:
        config = load_config(reference) if reference else None
    except (LongtailError, OSError):
        config = None
    if config is None:
        return {}
    found: dict[str, Spec] = {}

    def walk(section: Settings, prefix: str) -> None:
        for name, value in section:
            if isinstance(value, Spec):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Settings):
                walk(value, f"{prefix}{name}.")

    walk(config, "")
    return found
