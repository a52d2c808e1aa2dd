"""Help, examples, completion and the version."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from longtail.pipeline.cli import cli
from longtail.pipeline.config.loading import load_config
from tests.command_line import (
    in_process,
    ok,
)
from tests.places import CHECKOUT


def command_of(verb: str) -> click.Command:
    """The command itself, imported."""
    return cli.commands[verb].load()


def example_of(command: click.Command) -> list[str]:
    """The words of a verb's example."""
    (line,) = [line.strip() for line in command.help.splitlines() if line.strip().startswith("Example: ")]
    return shlex.split(line.removeprefix("Example: "))


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_verb_has_help_with_an_example(verb):
    out = ok(verb, "--help").out
    assert out == ok(verb, "-h").out
    assert re.search(rf"^  Example: longtail {verb}\b.*\S$", out, re.MULTILINE)
    assert all(len(line) <= 80 for line in out.splitlines())
    shown = next(line for line in out.splitlines() if "Example: " in line)
    assert shlex.split(shown.split("Example: ")[1]) == example_of(command_of(verb))  # not broken in two


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_example_of_a_verb_is_valid(verb):
    program, name, *words = example_of(command_of(verb))
    assert (program, name) == ("longtail", verb)
    parent = click.Context(cli, **cli.context_settings)  # or the verb would forget -h for good
    context = cli.commands[verb].make_context(verb, list(words), parent=parent)  # options and their choices
    config = context.params.get("config") or context.params.get("reference")
    if config:
        load_config(config, context.params.get("overrides", ()))


def test_help_of_the_program_lists_every_verb_with_the_first_sentence_of_its_help():
    out = ok("--help").out
    assert "Example: longtail " in out
    for verb in cli.commands:
        first = re.match(r".*?\.(?=\s)", command_of(verb).help, re.DOTALL)[0]
        assert re.search(rf"^  {verb}  +{re.escape(first)}$", out, re.MULTILINE), verb


def test_option_that_verbs_share_is_the_same_everywhere():
    """Only the values to choose from may differ: `list` prints two of the four formats."""
    seen: dict[str, dict] = {}
    for verb in cli.commands:
        for option in command_of(verb).params:
            if isinstance(option, click.Option):
                described = option.to_info_dict()
                for key in ("type", "name"):
                    described.pop(key)
                for flag in option.opts:
                    assert seen.setdefault(flag, described) == described, f"{verb} {flag}"
    assert {"--fresh", "--force", "--format", "--split", "--html"} <= seen.keys()


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_option_of_a_verb_has_help(verb):
    options = [p for p in command_of(verb).params if isinstance(p, click.Option)]
    assert all(option.help and option.help.endswith(".") for option in options)
    assert command_of(verb).name == verb


def test_completion_of_verbs_and_help_import_no_verb():
    code = """
import sys
from click.shell_completion import ShellComplete
from longtail.pipeline.cli import cli
shell = ShellComplete(cli, {}, "longtail", "_LONGTAIL_COMPLETE")
assert {"run", "report", "represent"} == {item.value for item in shell.get_completions([], "r")}
cli.main(["--help"], standalone_mode=False)
heavy = {"torch", "numpy", "pydantic", "yaml", "annotated_types", "tqdm"} & set(sys.modules)
verbs = {name for name in sys.modules if name.startswith("longtail.pipeline.verbs.")}
print(sorted(heavy), sorted(verbs), file=sys.stderr)
"""
    completed = in_process(code)
    assert completed.returncode == 0, completed.stderr
    verbs = [f"longtail.pipeline.verbs.{name}" for name in ("catalogue", "console")]
    assert completed.stderr.splitlines()[-1] == f"[] {verbs}"


def test_version_is_printed():
    assert re.fullmatch(r"longtail, version \d+\.\d+\.\d+\S*\n", ok("--version").out)


def test_readme_has_every_verb():
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    missing = [verb for verb in cli.commands if not re.search(rf"`{verb}\b|\blongtail {verb}\b", readme)]
    assert not missing
