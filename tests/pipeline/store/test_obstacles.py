"""What lies where a result would be declared finished is refused by name before any work on the result."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from longtail.pipeline.store.store import Store
from tests.command_line import SHORT, failed, ok
from tests.finished_runs import named, results_by_classifier

RUN = ("digits_lt", *SHORT)
OBSTACLES = {
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/null"),
}
PLACES = {"representations": "DONE", "features": "manifest.json", "classifiers": "DONE"}


@pytest.fixture
def root(short_run, copy_of) -> Path:
    """A finished run of one epoch with two classifiers."""
    return copy_of(short_run, "root")


def obstructed(root: Path, kind: str, obstacle: str) -> Path:
    """Put an obstacle in the place of the file that declares a result finished."""
    path = named(root, f"{kind}/*/{PLACES[kind]}", classifier="ncm")
    if kind == "features":  # else they are not needed
        shutil.rmtree(root / "classifiers")
    path.unlink()
    OBSTACLES[obstacle](path)
    return path


def files_below(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.parent != root}


@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("kind", PLACES)
def test_an_obstacle_is_refused_by_name_and_nothing_is_done(root, kind, obstacle):
    path = obstructed(root, kind, obstacle)
    before = files_below(root)
    for command in (["run", *RUN], ["run", *RUN, "--dry-run"]):
        last = failed(1, "--root", root, "--quiet", *command)[-1]
        assert last == f"error: {path}: is {obstacle}, not a file; remove it"
    assert files_below(root) == before


def test_once_the_obstacle_is_removed_the_run_is_finished_again(root):
    path = obstructed(root, "representations", "a folder")
    failed(1, "--root", root, "--quiet", "represent", *RUN)
    path.rmdir()
    ok("--root", root, "represent", *RUN)
    assert Store(root).done("representations", path.parent.name) is not None


def test_starting_afresh_removes_the_obstacle(root):
    obstructed(root, "representations", "a folder")
    ok("--root", root, "run", *RUN, "--fresh")
    assert set(results_by_classifier(root)) == {"joint", "ncm"}


@pytest.mark.parametrize("kind", PLACES)
def test_a_link_that_leads_nowhere_is_replaced(root, kind):
    path = named(root, f"{kind}/*/{PLACES[kind]}", classifier="ncm")
    path.unlink()
    path.symlink_to("gone")
    Store(root).refuse_obstacle(kind, path.parent.name)
