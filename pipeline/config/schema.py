"""The configuration as a JSON schema: what an editor needs to complete and check a YAML file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from longtail.pipeline.config.classifier_lists import check_classifiers, check_sweep
from longtail.pipeline.config.components import KINDS, registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.settings import Settings, component_kind, section_of, validators
from longtail.stages.parameters import spec_kind
from longtail.stages.registry import REQUIRED, Component, Parameter

NULL = {"type": "null"}  # of any setting: back to its default


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a configuration file, components with their parameters included."""
    whole = _section(Config)
    whole["properties"] = {
        "base": {"type": "string", "description": "A file this one builds on, relative to it."},
        **whole["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "longtail configuration",
        **whole,
        "$defs": {kind: _components(kind) for kind in KINDS},
    }


def _section(section: type[Settings]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": " ".join((section.__doc__ or "").split()),
        "additionalProperties": False,
        "properties": {name: _field(field) for name, field in section.model_fields.items()},
    }


def _field(field: FieldInfo) -> dict[str, Any]:
    kind, section, functions = component_kind(field), section_of(field), validators(field)
    if kind is not None:
        return _or_null({"$ref": f"#/$defs/{kind}"})
    if section is not None:
        return _or_null(_section(section))
    if check_classifiers in functions:
        return _or_null(_list_of({"$ref": "#/$defs/classifiers"}))
    if check_sweep in functions:  # parameters may be lists and ranges, which the rules do not know
        return _or_null(_list_of({"type": ["string", "object"]}))
    return _or_null(_plain(field.rebuild_annotation()))


def _list_of(entry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": entry, "minItems": 1}


def _components(kind: str) -> dict[str, Any]:
    known = registry(kind)
    described = [known.describe(name) for name in known.names()]
    names = {"enum": [component.name for component in described]}
    variants = [{"type": "string", "pattern": f"^{family}/."} for family in known.families()]
    named = [
        _component(replace(known.describe(f"{family}/*"), name=pattern["pattern"]), "pattern")
        for family, pattern in zip(known.families(), variants, strict=True)
    ]
    every = [*(_component(component) for component in described), *named]
    return {"anyOf": [names, *variants, *every, _changed(every)]}


def _changed(components: list[dict[str, Any]]) -> dict[str, Any]:
    """Parameters alone, which a file with a `base` lays on the component that has the name there."""
    known = {key: {} for component in components for key in component["properties"] if key != "name"}
    return {
        "type": "object",
        "description": "Parameters that change, of the component that `base` names.",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": known,
    }


def _component(component: Component, name_is: str = "const") -> dict[str, Any]:
    required = [p.name for p in component.parameters.values() if p.default is REQUIRED]
    return {
        "type": "object",
        "description": component.summary,
        "additionalProperties": False,
        "required": ["name", *required],
        "properties": {
            "name": {name_is: component.name},
            **{name: _parameter(p) for name, p in component.parameters.items()},
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    kind = spec_kind(parameter.rule)
    described = _or_null({"$ref": f"#/$defs/{kind}"} if kind else _plain(parameter.rule))
    if parameter.default is not REQUIRED:
        described["default"] = parameter.default
    return described


def _plain(rule: Any) -> dict[str, Any]:
    return {} if rule is Any else TypeAdapter(rule).json_schema()


def _or_null(described: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [described, NULL]}
