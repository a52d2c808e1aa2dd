"""What every section of a configuration is made of: strict settings, some of them components."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from longtail.pipeline.config.components import Spec, check_spec


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
