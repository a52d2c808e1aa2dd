"""What a field of the configuration holds: a section, a component of some registry, or a plain value."""

from __future__ import annotations

from functools import partial
from typing import get_args

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from longtail.pipeline.config.components import KINDS
from longtail.pipeline.config.settings import Settings
from longtail.stages.parameters import alternatives


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
