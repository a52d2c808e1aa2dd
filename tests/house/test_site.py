"""The pages hang together: links lead somewhere, names in the reference exist, and the site builds."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.markdown import anchors, links, name_of, pages, text_of
from tests.places import CHECKOUT

every_page = pytest.mark.parametrize("page", [name_of(page) for page in pages()])

# -- links ------------------------------------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page):
    for link in links(text_of(page)):
        target, _, anchor = link.partition("#")
        if "://" in link:
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/\S*)?", link), link
            continue
        path = (CHECKOUT / page).parent / target if target else CHECKOUT / page
        assert path.is_file(), link
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), link


def test_every_page_of_docs_has_a_place_in_the_site():
    nav = set(re.findall(r"(?:- |: )([\w/-]+\.md)$", text_of("mkdocs.yml"), re.MULTILINE))
    assert {
        name_of(page).removeprefix("docs/") for page in pages() if name_of(page).startswith("docs/")
    } <= nav


# -- the site ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def site(shared) -> Path:
    """The site, built as `make docs` builds it."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    return shared.make("site", build_site)


def build_site(folder: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    finished = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_site_has_every_page_and_loads_nothing_from_elsewhere(site):
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        assert (site / page.relative_to(CHECKOUT / "docs").with_suffix(".html")).is_file()
    for name in ("index", "contributing", "changelog", "recipes", "licence"):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"?(https?:[^\" >]+)", text)
        assert not loaded, name


def test_site_describes_every_public_name(site):
    import longtail

    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert not [name for name in longtail.__all__ if name != "__version__" and name not in text]
    assert "fit(" in text and "a class may be\nabsent" in text  # a docstring


def test_site_shows_docstrings_as_markdown(site):
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert ":meth:" not in text and ":class:" not in text and "<blockquote>" not in text


# -- the Python reference ---------------------------------------------------------------------------------

DESCRIBED = re.findall(
    r"^::: ([\w.]+)\n(?:    options:\n(?:      members: \[(.*)\]\n)?)?",
    text_of("docs/reference/python.md"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("name", "members"), DESCRIBED)
def test_names_in_the_python_reference_exist_and_are_described(name, members):
    described = resolve(name)
    every = [described, *(getattr(described, member) for member in filter(None, members.split(", ")))]
    assert all(one.__doc__ for one in every)


def resolve(name: str) -> object:
    """What a dotted name stands for: a module, or something in one."""
    parent, _, last = name.rpartition(".")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(parent), last)
