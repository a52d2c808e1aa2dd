"""The page about released code has every method, and says of each what is known."""

from __future__ import annotations

import re

import pytest

from longtail.pipeline.config.components import registry
from tests.house.markdown import text_of

HEADINGS = {
    "losses": "Losses",
    "samplers": "Samplers",
    "classifiers": "Classifiers",
    "reweightings": "Learned sample weights",
}


def rows_under(heading: str) -> list[list[str]]:
    """The cells of each row of the table under a heading, without the table's head."""
    section = text_of("docs/released-code.md").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("kind", HEADINGS)
def test_every_method_has_a_row(kind):
    named = [name for row in rows_under(HEADINGS[kind]) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(registry(kind).names())


@pytest.mark.parametrize("kind", HEADINGS)
def test_every_row_says_what_is_known(kind):
    for row in rows_under(HEADINGS[kind]):
        method, source, known, size, ours = row
        assert source and known and size, method
        if "no difference known" not in known:
            assert ours or "no official code known" in known, method


@pytest.mark.parametrize("kind", HEADINGS)
def test_settings_named_in_a_row_are_those_of_its_methods(kind):
    components = registry(kind)
    for row in rows_under(HEADINGS[kind]):
        own = {
            parameter
            for name in re.findall(r"`(\w+)`", row[0])
            for parameter in components.describe(name).parameters
        }
        for setting in re.findall(r"`(\w+): ", row[4]):
            assert setting in own, row[0]
