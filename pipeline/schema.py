"""The configuration as a JSON schema: what an editor needs to complete and check a YAML file."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

from pydantic import BeforeValidator, TypeAdapter

from pipeline import config as settings
from pipeline.components import KINDS, registry
from pipeline.config import Config, Section
from stages.parameters import alternatives, spec_kind
from stages.registry import REQUIRED, Component, Parameter

NULL = {"type": "null"}  # of any setting: back to its default


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a configuration file, components with their parameters included."""
    found = _section(Config)
    found["properties"] = {
        "base": {"type": "string", "description": "A file this one builds on, relative to it."},
        **found["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "longtail configuration",
        **found,
        "$defs": {kind: _components(kind) for kind in KINDS},
    }


def _section(section: type[Section]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": " ".join((section.__doc__ or "").split()),
        "additionalProperties": False,
        "properties": {name: _field(field) for name, field in section.model_fields.items()},
    }


def _field(field) -> dict[str, Any]:
    """The schema of a setting: by its validators where these build components, else by its type."""
    marks = [
        mark for option in alternatives(field.annotation) for mark in getattr(option, "__metadata__", ())
    ]
    functions = [mark.func for mark in [*field.metadata, *marks] if isinstance(mark, BeforeValidator)]
    for function in functions:
        if isinstance(function, partial):  # check_spec of a kind
            return _or_null({"$ref": f"#/$defs/{function.args[0]}"})
        if function in (settings._classifiers, settings._sweep):
            # A sweep's parameters may be lists and ranges, which the classifiers' own rules do not know.
            one = (
                {"$ref": "#/$defs/classifiers"}
                if function is settings._classifiers
                else {"type": ["string", "object"]}
            )
            return _or_null({"type": "array", "items": one, "minItems": 1})
    sections = [a for a in (field.annotation, *get_args(field.annotation)) if _is_section(a)]
    if sections:
        return _or_null(_section(sections[0]))
    return _or_null(_plain(field.rebuild_annotation()))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _components(kind: str) -> dict[str, Any]:
    found = registry(kind)
    described = [found.describe(name) for name in found.names()]
    names = {"enum": [component.name for component in described]}
    return {"anyOf": [names, *(_component(component) for component in described)]}


def _component(component: Component) -> dict[str, Any]:
    required = [p.name for p in component.parameters.values() if p.default is REQUIRED]
    return {
        "type": "object",
        "description": component.summary,
        "additionalProperties": False,
        "required": ["name", *required],
        "properties": {
            "name": {"const": component.name},
            **{name: _parameter(p) for name, p in component.parameters.items()},
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    kind = spec_kind(parameter.rule)
    found = {"$ref": f"#/$defs/{kind}"} if kind else _plain(parameter.rule)
    found = _or_null(found)
    if parameter.default is not REQUIRED:
        found["default"] = parameter.default
    return found


def _plain(rule: Any) -> dict[str, Any]:
    return {} if rule is Any else TypeAdapter(rule).json_schema()


def _or_null(found: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [found, NULL]}
