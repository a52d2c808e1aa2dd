"""The README is short, names every verb, and its ways in work as written."""

from __future__ import annotations

import re

from longtail.pipeline.cli import cli
from longtail.pipeline.config.recipes import shipped, shipped_folder
from tests.house.markdown import blocks, commands, links, pages, text_of
from tests.places import CHECKOUT

LONGEST = 160  # lines: whatever else there is to say has a page in docs


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= LONGEST


def test_readme_lists_exactly_the_verbs_there_are():
    (sentence,) = re.findall(r"The verbs are (.*?);", text_of("README.md"), re.DOTALL)
    assert re.findall(r"`(\w+)`", sentence) == list(cli.commands)


def test_readme_shows_what_make_runs():
    makefile = (
        text_of("Makefile").replace("$(PYTEST)", "$(BIN)/python -m pytest").replace("$(WORKERS)", "auto")
    )
    shown = "\n".join(blocks(text_of("README.md"), "sh"))
    for target, runs in re.findall(r"^([a-z]+): .*\n\t\$\(BIN\)/(.*)$", makefile, re.MULTILINE):
        if target in ("demo", "test"):
            assert re.search(rf"^\.venv/bin/{re.escape(runs)} +# make {target}$", shown, re.MULTILINE)
    assert "--editable '.[dev]'" in makefile and "--editable '.[dev]'" in shown


def test_readme_links_to_every_page_but_the_reference_of_checkpoints():
    targets = {(CHECKOUT / link.partition("#")[0]).resolve() for link in links(text_of("README.md"))}
    missing = {page for page in pages() if page.resolve() not in targets}
    assert missing == {CHECKOUT / "README.md", CHECKOUT / "checkpoints" / "README.md"}


def test_each_way_in_has_a_command():
    text = text_of("README.md").split("## Five ways in")[1].split("\n## ")[0]
    ways = re.split(r"^(?=\*\*)", text, flags=re.MULTILINE)[1:]
    assert len(ways) == 5
    assert all(commands(way) for way in ways)


def test_every_recipe_has_a_row_in_the_recipe_table():
    table = (shipped_folder() / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)) == sorted(shipped())


def test_measured_table_is_the_recipes():
    """The README's figures stand in the table of recipes, rounded alike."""
    rows = dict(
        re.findall(r"^\| (\w+)(?: tau=\S+)? \| \**([\d.]+)\** \|", text_of("README.md"), re.MULTILINE)
    )
    head, row = (
        re.search(rf"^\| {start} .*$", text_of("configs/README.md"), re.MULTILINE)[0].split("|")
        for start in ("recipe", "`fashion_mnist_lt`")
    )
    recipe = {
        name.strip(): re.search(r"[\d.]+", value)[0]
        for name, value in zip(head[4:-1], row[4:-1], strict=True)
    }
    assert len(rows) == 5 and rows == recipe
