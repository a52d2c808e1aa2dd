"""setup.cfg declares every package that the code imports, with the lowest version that works."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house.imports import FOLDERS
from tests.lowest_versions import lowest_versions
from tests.places import CHECKOUT

SETUP = (CHECKOUT / "setup.cfg").read_text(encoding="utf-8")
NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements() -> dict[str, set[str]]:
    """Names of the distributions that setup.cfg asks for, by extra; "" for what is always installed."""
    setup = configparser.ConfigParser()
    setup.read_string(SETUP)
    groups = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {extra: {normalised(line) for line in text.split("\n") if line} for extra, text in groups.items()}


def normalised(requirement: str) -> str:
    """A distribution's name as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", NAME.match(requirement).group()).lower()


def imported(path: Path) -> Iterator[str]:
    """Top-level names that a file imports when it runs, wherever the import stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_what_the_code_imports_is_declared():
    provided_by = packages_distributions()
    declared = set().union(*requirements().values())
    undeclared = {}
    for folder in FOLDERS:
        for path in (CHECKOUT / folder).rglob("*.py"):
            for name in set(imported(path)) - set(sys.stdlib_module_names) - {"longtail"}:
                distributions = {normalised(name) for name in provided_by.get(name, [name])}
                if not distributions & declared:
                    undeclared.setdefault(name, []).append(path.relative_to(CHECKOUT).as_posix())
    assert undeclared == {}


def test_every_requirement_has_a_lowest_version():
    lowest = {normalised(name) for name in lowest_versions(SETUP)}
    assert set().union(*requirements().values()) - {""} <= lowest


@pytest.mark.parametrize(
    "text, lowest",
    [
        ("a>=1.2\n b>=2", {"a": "1.2", "b": "2"}),
        ("a>=1.9\n A>=1.10", {"a": "1.10"}),
        ("a[extra]>=3.0,<4", {"a": "3.0"}),
    ],
)
def test_lowest_version_is_that_of_the_strictest_requirement(text, lowest):
    setup = f"[options]\ninstall_requires =\n {text}\n[options.extras_require]\nmore =\n a>=0.1\n"
    assert lowest_versions(setup) == lowest
