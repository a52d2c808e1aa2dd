"""What was verified once is not read again, and nothing else is ever shown."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.pipeline.files import checked_json
from longtail.pipeline.files.publish import sha256_of
from longtail.pipeline.store.records import result_index
from longtail.pipeline.store.records.result_index import INDEX
from longtail.pipeline.store.store import Store
from tests.command_line import ok
from tests.finished_runs import results_by_classifier
from tests.pipeline.store.many_results import many_results, result_number, write_result
from tests.places import CHECKOUT

COUNT = 12


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A root with some results, few enough and young enough to be indexed in a test."""
    monkeypatch.setattr(result_index, "WORTH_INDEXING", 3)
    monkeypatch.setattr(result_index, "SETTLED_NS", -(10**12))
    return many_results(tmp_path / "root", COUNT)


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """The records opened so far."""
    paths: list[Path] = []
    plain = checked_json.read_with_status
    monkeypatch.setattr(
        checked_json, "read_with_status", lambda path, most: paths.append(Path(path)) or plain(path, most)
    )
    return paths


def runs(store: Store, **which) -> list[str]:
    return [result.run for result in store.results(**which)]


def expected(*numbers: int) -> list[str]:
    return [result_number(number).run for number in numbers]


# -- how many files are opened ------------------------------------------------------------------------------


def test_results_are_read_once_and_no_more_until_they_change(store, opened):
    assert runs(store) == expected(*range(COUNT)) and len(opened) == 2 * COUNT
    opened.clear()
    assert runs(store) == expected(*range(COUNT)) and not opened
    assert list(store.results()) == [result_number(number) for number in range(COUNT)]
    folder = write_result(store, result_number(7, seconds=9.0))
    assert [result.seconds for result in store.results()][7] == 9.0
    assert {path.parent for path in opened} == {folder} and len(opened) == 2


def test_results_on_a_representation_or_on_features_are_asked_of_the_index(store, opened):
    runs(store)
    opened.clear()
    assert runs(store, representation=f"{1:016x}") == expected(5, 6, 7, 8, 9)
    assert runs(store, features=f"f{2:015x}") == expected(10, 11)
    assert runs(store, representation="none") == [] and not opened


def test_one_classifier_is_looked_up_by_its_id_alone(store, opened):
    assert f"features: f{0:015x}" in ok("--root", store.root, "show", result_number(3).run).out
    assert json.loads(ok("--root", store.root, "report", result_number(3).run, "--format", "json").out)
    assert {path.parent.name for path in opened} == set(expected(3))
    assert not (store.root / INDEX).exists()


def test_a_run_shown_by_its_configuration_opens_its_own_files_alone(short_run, copy_of, monkeypatch, opened):
    monkeypatch.setattr(result_index, "WORTH_INDEXING", 3)
    monkeypatch.setattr(result_index, "SETTLED_NS", -(10**12))
    root = copy_of(short_run)
    many_results(root, COUNT)
    list(Store(root).results())
    (one,) = (path.name for path in (root / "representations").iterdir())
    for command in (["show", one], ["report", one]):
        opened.clear()
        assert "ncm" in ok("--root", root, *command).out
        assert {path.parent.name for path in opened} <= {one}


def test_few_results_have_no_index(tmp_path):
    store = many_results(tmp_path / "root", 3)
    assert runs(store) == expected(0, 1, 2) and not (store.root / INDEX).exists()


# -- what is trusted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["result.json", "DONE"])
def test_a_file_changed_in_place_is_noticed_whatever_its_time_says(store, file):
    runs(store)
    path = store.folder("classifiers", result_number(4).run) / file
    before, content = path.stat(), bytearray(path.read_bytes())
    content[40] ^= 1
    with open(path, "r+b") as opened:
        opened.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    for _ in range(2):
        assert runs(store) == expected(*(set(range(COUNT)) - {4}))


def test_removed_and_new_results_are_noticed(store):
    runs(store)
    shutil.rmtree(store.folder("classifiers", result_number(0).run))
    write_result(store, result_number(COUNT))
    assert runs(store) == expected(*range(1, COUNT + 1))
    assert runs(store, features=f"f{0:015x}") == expected(1, 2, 3, 4)
    write_result(store, result_number(0))
    assert runs(store) == expected(*range(COUNT + 1))


def test_what_was_written_a_moment_ago_is_not_remembered(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(result_index, "WORTH_INDEXING", 3)
    store = many_results(tmp_path / "root", COUNT)
    for _ in range(2):
        opened.clear()
        assert runs(store) == expected(*range(COUNT)) and len(opened) == 2 * COUNT


# -- an index that is damaged, in the way, or in use --------------------------------------------------------


def test_a_byte_changed_anywhere_in_the_index_changes_no_result(store):
    wanted = list(store.results())
    path = store.root / INDEX
    content = path.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        assert list(store.results()) == wanted, position
        assert list(store.results(features=f"f{1:015x}")) == wanted[5:10], position


@pytest.mark.parametrize("length", [0, 1, 100, 5000, 9000])
def test_a_cut_index_is_made_again(store, opened, length):
    wanted = list(store.results())
    path = store.root / INDEX
    path.write_bytes(path.read_bytes()[:length])
    assert list(store.results()) == wanted
    assert list(store.results()) == wanted
    opened.clear()
    assert list(store.results()) == wanted and not opened


def test_an_index_of_another_version_is_made_again(store, opened):
    runs(store)
    with sqlite3.connect(store.root / INDEX) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert runs(store) == runs(store)
    opened.clear()
    assert len(runs(store)) == COUNT and not opened


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_something_else_of_the_index_name_is_left_alone(store, make):
    make(store.root / INDEX)
    before = (store.root / INDEX).lstat()
    assert runs(store) == expected(*range(COUNT))
    assert (store.root / INDEX).lstat() == before


def test_a_store_that_only_reads_uses_an_index_and_writes_none(store, opened):
    assert runs(Store(store.root, read_only=True)) == expected(*range(COUNT))
    assert not (store.root / INDEX).exists()
    runs(store)
    digest = sha256_of(store.root / INDEX)
    write_result(store, result_number(COUNT))
    opened.clear()
    assert len(runs(Store(store.root, read_only=True))) == COUNT + 1 and len(opened) == 2
    assert sha256_of(store.root / INDEX) == digest


def test_an_index_that_another_process_keeps_busy_is_done_without(store, monkeypatch):
    runs(store)
    monkeypatch.setattr("longtail.pipeline.files.row_cache.WAIT", 0.01)
    busy = sqlite3.connect(store.root / INDEX, isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    write_result(store, result_number(COUNT))
    assert runs(store) == expected(*range(COUNT + 1))
    busy.execute("ROLLBACK")
    busy.close()
    assert runs(store) == expected(*range(COUNT + 1))


def test_processes_that_index_at_once_all_see_everything(store):
    code = (
        "import sys\n"
        "from longtail.pipeline.store.records import result_index\n"
        "from longtail.pipeline.store.store import Store\n"
        "result_index.WORTH_INDEXING, result_index.SETTLED_NS = 3, -10**12\n"
        "print(*{len(list(Store(sys.argv[1]).results())) for _ in range(10)})\n"
    )
    command = [sys.executable, "-c", code, store.root]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [str(COUNT)] * 3
    assert runs(store) == expected(*range(COUNT))


def test_clean_knows_the_index(store):
    runs(store)
    out = ok("--root", store.root, "clean").out
    assert "not ours" not in out and (store.root / INDEX).exists()


def test_results_of_a_run_are_the_same_with_and_without_an_index(short_run, copy_of, monkeypatch):
    wanted = results_by_classifier(short_run)
    monkeypatch.setattr(result_index, "WORTH_INDEXING", 1)
    monkeypatch.setattr(result_index, "SETTLED_NS", -(10**12))
    root = copy_of(short_run)
    for _ in range(2):
        assert results_by_classifier(root) == wanted
    assert (root / INDEX).exists()
