"""Parameters in words, as labels and tables have them."""

from __future__ import annotations

from typing import Any

from longtail.pipeline.store.result import Parameters
from longtail.stages.wording import as_written


def value_text(value: Any) -> str:
    """A parameter as a label has it: four digits of a number, ``name(key=value)`` of a component."""
    if isinstance(value, dict) and "name" in value:
        return component_text(value)
    if value is None or isinstance(value, bool):
        return as_written(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def component_text(component: Parameters) -> str:
    """``name(key=value)`` of a component, its name alone without parameters."""
    params = ", ".join(f"{k}={value_text(v)}" for k, v in component.items() if k != "name")
    return f"{component['name']}({params})" if params else component["name"]
