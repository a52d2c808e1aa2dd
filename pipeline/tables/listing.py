"""Components and recipes as lists for a terminal, and as the tables of the documentation."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace

from longtail.pipeline.config.components import KINDS, registry
from longtail.pipeline.config.recipes import shipped, shipped_folder
from longtail.stages.parameters import MOST, describe_rule
from longtail.stages.registry import REQUIRED, Component


def listing(kind: str | None, form: str = "table") -> str:
    """Every component of `kind` (of all kinds when None) with its parameters, or the shipped recipes.

    `form` is table (for a terminal) or markdown.
    """
    kinds = [*KINDS, "configs"] if kind is None else [kind]
    texts = []
    for name in kinds:
        if name == "configs":
            text = _recipes()
        else:
            text = (_markdown if form == "markdown" else _components)(described(name))
        texts.append(text if kind else f"{name}\n{text}")
    return "\n\n".join(texts)


def described(kind: str) -> list[Component]:
    """The components of a kind; what all data sets share stands once, at the end."""
    known = registry(kind)
    components = [known.describe(name) for name in known.names()]
    if kind != "datasets":
        return components
    shared = known.shared
    own = [
        replace(c, parameters={k: p for k, p in c.parameters.items() if k not in shared.parameters})
        for c in components
    ]
    return [*own, replace(shared, name="every data set")]


def _components(components: list[Component]) -> str:
    lines = []
    for component in components:
        fixed = ", ".join(f"{key} {json.dumps(value)}" for key, value in component.fixed.items())
        lines.append(f"  {component.name}" + (f" ({fixed})" if fixed else ""))
        lines.append(_wrapped(component.summary, 6))
        for p in component.parameters.values():
            default = "required" if p.default is REQUIRED else f"default {json.dumps(p.default)}"
            lines.append(f"      · {p.name}: {describe_rule(p.rule, limits=MOST - 1)}, {default}")
        if component.source:
            lines.append(_wrapped(f"Source: {component.source}", 6))
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, 100, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _markdown(components: list[Component]) -> str:
    lines = ["| name | what it is | parameters |", "|---|---|---|"]
    for component in components:
        settings = [f"{key} = {json.dumps(value)}" for key, value in component.fixed.items()]
        for p in component.parameters.values():
            settings.append(f"`{p.name}`" if p.default is REQUIRED else f"`{p.name}` {json.dumps(p.default)}")
        summary = component.summary.replace("|", "\\|")
        lines.append(f"| `{component.name}` | {summary} | {', '.join(settings)} |")
    return "\n".join(lines)


def _recipes() -> str:
    lines = []
    for name in shipped():
        text = (shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8")
        head = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        purpose = next((line for line in head if line and not line.startswith("longtail ")), "")
        lines.append(f"  {name}: {purpose}")
    return "\n".join(lines)
