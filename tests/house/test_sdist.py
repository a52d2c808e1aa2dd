"""The source distribution holds what belongs to the project beside its code."""

from __future__ import annotations

import subprocess
import sys
import tarfile

import pytest

from tests.places import CHECKOUT

CARRIED = ("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "mkdocs.yml", "Makefile")


@pytest.fixture(scope="module")
def distribution(tmp_path_factory):
    """A source distribution of a copy of the tree: building leaves files behind."""
    pytest.importorskip("setuptools", "70.1", reason="building without isolation needs setuptools >= 70.1")
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("sdist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((CHECKOUT / name).read_bytes())
    build = "import setuptools.build_meta as backend; backend.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, check=True, timeout=120)
    (archive,) = (folder / "dist").glob("*.tar.gz")
    return archive


def test_source_distribution_holds_licence_changelog_and_documentation(distribution):
    with tarfile.open(distribution) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        (metadata,) = [n for n in archive.getnames() if n.count("/") == 1 and n.endswith("/PKG-INFO")]
        described = archive.extractfile(metadata).read().decode()
    pages = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "docs").rglob("*.md")}
    code = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "stages").rglob("*.py")}
    recipes = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "configs").rglob("*.yaml")}
    assert not {*CARRIED, *pages, *code, *recipes} - names
    assert "License-File: LICENSE" in described and "MIT" in described


def test_licence_names_the_authors_and_no_other_condition():
    text = (CHECKOUT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the longtail authors\n")
    assert "without restriction" in text and "AS IS" in text
