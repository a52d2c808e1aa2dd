"""Writes the parts of the documentation that the code knows best: components, settings, command line.

``make readme`` runs this. A page marks such a part by two comments::

    <!-- generated: components samplers -->
    ...
    <!-- end -->

What stands between them is replaced. In tables of settings the last column, the meaning, is written by hand
and kept; a new setting comes with an empty one.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from longtail.pipeline.cli import cli
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.settings import component_kind, section_of, validators
from longtail.pipeline.tables.listing import described
from longtail.stages.parameters import MOST, describe_rule
from longtail.stages.registry import REQUIRED, Component

PAGES = Path(__file__).parent
BLOCK = re.compile(r"(<!-- generated: (?P<name>[\w. ]+) -->\n)(?P<content>.*?)(<!-- end -->)", re.DOTALL)
LINE_BREAK = "<br>"


def refreshed(text: str) -> str:
    """`text` of a page with every generated part as the code has it now."""
    return BLOCK.sub(lambda m: f"{m[1]}{generated(m['name'], m['content'])}\n{m[4]}", text)


def generated(name: str, before: str = "") -> str:
    """One part: ``components KIND``, ``settings [SECTION]``, ``verbs`` or ``commands``."""
    what, _, which = name.partition(" ")
    if what == "components":
        return component_table(which)
    if what == "settings":
        return settings_table(section_at(which), which, meanings(before))
    return {"verbs": verb_table, "commands": command_reference}[what]()


# -- components -------------------------------------------------------------------------------------------


def component_table(kind: str) -> str:
    """Every component of longtail's own of a kind, with its parameters and where it comes from."""
    rows = [_component_row(c) for c in described(kind) if c.module.startswith("longtail.")]
    return table(("name", "what it is", "parameters"), rows)


def _component_row(component: Component) -> tuple[str, str, str]:
    what = [escaped(text) for text in (component.summary, component.source) if text]
    settings = [f"{key} = {as_json(value)}" for key, value in component.fixed.items()]
    for parameter in component.parameters.values():
        default = "required" if parameter.default is REQUIRED else as_json(parameter.default)
        settings.append(f"`{parameter.name}` {default}: {describe_rule(parameter.rule, limits=MOST - 1)}")
    return f"`{component.name}`", LINE_BREAK.join(what), LINE_BREAK.join(settings)


# -- settings ---------------------------------------------------------------------------------------------


def settings_table(section: type[BaseModel], path: str, kept: dict[str, str]) -> str:
    """Every setting of a section with its rule, its default and the `kept` meaning."""
    rows = []
    for name, field in section.model_fields.items():
        full = f"{path}.{name}" if path else name
        default = "required" if field.is_required() else _default(field)
        rows.append((f"`{full}`", _rule(field, full), default, kept.get(f"`{full}`", "")))
    return table(("setting", "value", "default", "meaning"), rows)


def section_at(path: str) -> type[BaseModel]:
    """The section at a dotted path, the whole configuration for an empty one."""
    section: type[BaseModel] = Config
    for step in filter(None, path.split(".")):
        section = section_of(section.model_fields[step])
    return section


def sections(section: type[BaseModel] = Config, path: str = "") -> Iterable[str]:
    """The dotted paths of all sections."""
    yield path
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield from sections(inner, f"{path}.{name}" if path else name)


def meanings(before: str) -> dict[str, str]:
    """The last column of a table by the first."""
    rows = [line.strip("|").split(" | ") for line in before.splitlines()[2:]]
    return {row[0].strip(): row[-1].strip() for row in rows if len(row) == 4}


def _rule(field: FieldInfo, path: str) -> str:
    kind = component_kind(field)
    if kind is not None:
        nothing = " or null" if not field.is_required() and field.get_default() is None else ""
        return f"one of the [{kind}](components.md#{kind}){nothing}"
    if section_of(field) is not None:
        return f"a mapping: [below](#{path.replace('.', '')})"
    checks = {getattr(function, "__name__", "") for function in validators(field)}
    if "check_classifiers" in checks:
        return "a list of [classifiers](components.md#classifiers)"
    if "check_sweep" in checks:
        return "a list of [classifiers](components.md#classifiers), parameters as lists or ranges, or null"
    if get_origin(field.annotation) is dict:
        return "a mapping"
    return describe_rule(field.rebuild_annotation(), limits=MOST - 1)


def _default(field: FieldInfo) -> str:
    return (
        "" if section_of(field) is not None else as_json(_plain(field.get_default(call_default_factory=True)))
    )


def _plain(value):
    if isinstance(value, Spec):
        return value.name if len(value.minimal()) == 1 else value.minimal()
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


# -- command line -----------------------------------------------------------------------------------------


def verbs() -> list[click.Command]:
    """Every verb; one that is imported when it is used is imported here."""
    program = click.Context(cli, **cli.context_settings)  # which says that -h asks for help, too
    given = {"parent": program, "resilient_parsing": True}
    return [verb.make_context(name, [], **given).command for name, verb in cli.commands.items()]


def verb_table() -> str:
    """Every verb with what it does."""
    rows = [(f"[`{verb.name}`](#{verb.name})", _paragraphs(verb)[0]) for verb in verbs()]
    return table(("verb", "does"), rows)


def command_reference() -> str:
    """The program's own options, then each verb: usage, help, options."""
    parts = ["## The program itself", *_command(cli, "longtail")]
    for verb in verbs():
        parts += [f"## {verb.name}", *_command(verb, f"longtail {verb.name}")]
    return "\n\n".join(parts)


def _command(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    options = [p for p in command.params if isinstance(p, click.Option)]
    rows = [(_spelling(option), escaped(option.help or ""), _option_default(option)) for option in options]
    parts = [f"```text\n{usage}\n```", *_paragraphs(command)]
    return [*parts, table(("option", "does", "default"), rows)] if rows else parts


def _paragraphs(command: click.Command) -> list[str]:
    texts = [" ".join(text.split()) for text in inspect.cleandoc(command.help or "").split("\n\n")]
    return [re.sub(r"^Example: (.*)$", r"Example: `\1`", escaped(text)) for text in texts]


def _spelling(option: click.Option) -> str:
    value = option.metavar or ""
    if not value and isinstance(option.type, click.Choice):
        value = "\\|".join(option.type.choices)
    elif not value and not option.is_flag:
        value = option.type.name.upper().replace("INTEGER RANGE", "N")
    return f"`{', '.join(option.opts)}{' ' + value if value else ''}`"


def _option_default(option: click.Option) -> str:
    if not option.show_default:
        return ""
    value = option.default
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# -- Markdown ---------------------------------------------------------------------------------------------


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def escaped(text: str) -> str:
    """`text` with nothing in it that Markdown would take for HTML or a table's edge."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write every page that has changed, and say which."""
    for page in sorted(PAGES.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        fresh = refreshed(text)
        if fresh != text:
            page.write_text(fresh, encoding="utf-8")
            print(f"written: {page.relative_to(PAGES.parent)}")


if __name__ == "__main__":
    main()
