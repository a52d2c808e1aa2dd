"""Reading the documentation: its pages, code blocks, links and anchors."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import click

from longtail.pipeline.cli import cli
from tests.places import CHECKOUT

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every page of the documentation, those outside ``docs`` included."""
    top = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "checkpoints/README.md", "configs/README.md")
    return [*(CHECKOUT / name for name in top), *sorted((CHECKOUT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """A page's path within the checkout."""
    return page.relative_to(CHECKOUT).as_posix()


def text_of(page: Path | str) -> str:
    """A page's text, by its path or its path within the checkout."""
    return (CHECKOUT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return [code for _, name, code in FENCED.findall(text) if name == language]


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCED.sub("", text)


def links(text: str) -> list[str]:
    """Where a page's links and pictures lead to."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", prose(text)))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(text: str) -> list[list[str]]:
    """The words of each ``longtail`` line in a page's shell blocks, up to a redirection."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines if line.startswith("longtail ")]
    return [words[1 : words.index(">")] if ">" in words else words[1:] for words in split]


def without_program_options(words: list[str]) -> list[str]:
    """A command line from its verb on; options that come before it take a value each."""
    return without_program_options(words[2:]) if words[0].startswith("--") else words


def printed(words: list[str]) -> str:
    """What a command prints on standard output; it runs in this process, an error is the test's."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        cli.main(words, prog_name="longtail", standalone_mode=False)
    return output.getvalue()


def parsed(words: list[str]) -> dict:
    """The arguments and options a command line has; UsageError for one that has no such."""
    verb, *rest = without_program_options(words)
    program = click.Context(cli, info_name="longtail", **cli.context_settings)
    return cli.commands[verb].make_context(verb, list(rest), parent=program).params
