"""What every section of a configuration is made of: strict settings, some of them components."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

from longtail.pipeline.config.components import KINDS, Spec, check_spec
from longtail.stages.parameters import alternatives


def component(kind: str, default: str | None = None):
    """The type of a field that takes a component of `kind`; a mapping without a name means `default`."""
    fallback = Spec(kind, default) if default else None
    return Annotated[Spec, BeforeValidator(partial(check_spec, kind, default=fallback))]


class Settings(BaseModel):
    """A mapping of the configuration: strict types, nothing unknown."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )

    def full(self) -> dict[str, Any]:
        """Every setting, defaults included, as YAML would hold it."""
        return {key: _plain(value, "full") for key, value in self}

    def minimal(self) -> dict[str, Any]:
        """The settings that differ from their defaults: what ids are made from."""
        values = {key: _plain(value, "minimal") for key, value in self}
        defaults = {
            key: _plain(field.get_default(call_default_factory=True), "minimal")
            for key, field in type(self).model_fields.items()
        }
        return {key: value for key, value in values.items() if value != defaults[key]}


def _plain(value: Any, form: str) -> Any:
    if isinstance(value, Spec | Settings):
        return getattr(value, form)()
    return [_plain(v, form) for v in value] if isinstance(value, list | tuple) else value


# -- what a field holds -----------------------------------------------------------------------------------


def validators(field: FieldInfo) -> list:
    """The functions a field's value goes through first."""
    options = alternatives(field.annotation)
    marks = [mark for option in options for mark in getattr(option, "__metadata__", ())]
    return [mark.func for mark in [*field.metadata, *marks] if isinstance(mark, BeforeValidator)]


def component_kind(field: FieldInfo) -> str | None:
    """The registry whose component a field takes (``"samplers"``...); None for anything else."""
    kinds = [f.args[0] for f in validators(field) if isinstance(f, partial) and f.args[0] in KINDS]
    return kinds[0] if kinds else None


def section_of(field: FieldInfo) -> type[Settings] | None:
    """The section a field holds; None for anything else."""
    options = [field.annotation, *get_args(field.annotation)]
    sections = [o for o in options if isinstance(o, type) and issubclass(o, Settings)]
    return sections[0] if sections else None
