"""Tests stand alone: none imports another, shared folders stay as made, and a salt reaches every id."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from longtail.pipeline.store.identity import make_id
from tests import salting
from tests.counted_work import TooMuchWork, at_most
from tests.finished_runs import results_by_classifier
from tests.house.imports import imported
from tests.places import CHECKOUT, files_below
from tests.shared_folders import SharedFolders

MODULES = sorted((CHECKOUT / "tests").rglob("*.py"))
PRINT_ID = (
    "from longtail.pipeline.store.identity import make_id, VERSIONS\n"
    "print(*[make_id(stage, {'x': 1}) for stage in VERSIONS])"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_no_module_imports_a_test_module(path):
    steps = [name.split(".") for name in imported(path) if name.startswith("tests.")]
    assert not [name for name in steps if any(step.startswith("test_") for step in name)]


# -- salted ids -------------------------------------------------------------------------------------------


def ids_under(salt: str | None) -> list[str]:
    """One id of each stage as another Python process makes them."""
    environment = {k: v for k, v in os.environ.items() if k not in (salting.VARIABLE, "PYTHONPATH")}
    if salt is not None:
        environment |= {salting.VARIABLE: salt, "PYTHONPATH": str(CHECKOUT / "tests" / "salted_start")}
    command = [sys.executable, "-c", PRINT_ID]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_every_salt_gives_other_ids_of_the_same_form_in_other_processes():
    plain, one, two = ids_under(None), ids_under("1"), ids_under("2")
    assert len({*plain, *one, *two}) == 3 * len(plain) > 0
    assert {len(name) for name in (*plain, *one, *two)} == {16}
    assert ids_under("1") == one


def test_ids_here_are_those_of_other_processes():
    assert make_id("classifier", {"x": 1}) == ids_under(os.environ.get(salting.VARIABLE))[2]


# -- shared folders ---------------------------------------------------------------------------------------


def fill(folder):
    (folder / "inside").mkdir()
    (folder / "inside" / "file").write_text("as it was")


def test_a_shared_folder_is_made_once_for_all_processes(tmp_path):
    one, other = SharedFolders(tmp_path), SharedFolders(tmp_path)
    folder = one.make("name", fill)
    assert other.make("name", lambda folder: pytest.fail("made again")) == folder
    for folders in (one, other):
        folders.check_state()
        folders.check_content()


def test_a_folder_half_made_is_made_anew(tmp_path):
    def fail(folder):
        fill(folder)
        raise ValueError

    with pytest.raises(ValueError):
        SharedFolders(tmp_path).make("name", fail)
    assert files_below(SharedFolders(tmp_path).make("name", fill)) == {"inside/file"}


@pytest.mark.parametrize("change", ["written", "gone", "new"])
def test_a_change_of_a_shared_folder_is_found(tmp_path, change):
    folders = SharedFolders(tmp_path)
    path = folders.make("name", fill) / "inside" / "file"
    if change == "written":
        path.write_text("another")
    elif change == "gone":
        path.unlink()
    else:
        path = path.with_name("new")
        path.touch()
    for check in (folders.check_state, folders.check_content):
        with pytest.raises(AssertionError, match=rf"name is shared, yet .*inside/{path.name}"):
            check()


def test_other_bytes_under_an_old_time_are_found_at_the_end(tmp_path):
    folders = SharedFolders(tmp_path)
    path = folders.make("name", fill) / "inside" / "file"
    before = path.stat()
    path.write_text("as it is ")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    folders.check_state()
    with pytest.raises(AssertionError, match="inside/file"):
        folders.check_content()


# -- other helpers ----------------------------------------------------------------------------------------


def test_two_results_under_one_name_are_refused(digits, store):
    from longtail.pipeline.work.execute import run_stage_two

    run_stage_two(digits("representation.epochs=1", "classifiers=[ncm]"), store)
    assert list(results_by_classifier(store.root)) == ["ncm"]
    run_stage_two(digits("representation.epochs=1", "classifiers=[{name: ncm, feature: none}]"), store)
    with pytest.raises(AssertionError, match="several results under one"):
        results_by_classifier(store.root)


def test_work_beyond_what_is_allowed_stops_at_once():
    with at_most(10):
        sum([1, 2])
    done = []
    with pytest.raises(TooMuchWork), at_most(10):
        for n in range(1000):
            done.append(n)
    assert len(done) <= 10


def test_files_are_listed_without_what_tools_keep(tmp_path):
    for name in ("kept/file", ".git/config", "kept/__pycache__/a.pyc", "x.egg-info/PKG-INFO"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == {"kept/file"}
