"""No room and no permission to write: one line, status 1, old results intact, and on it goes afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.processes import assert_one_line_error, run, succeed
from tests.faults.roots import assert_same, check_readable, copy, files, temporaries
from tests.faults.sizes import full_only, small_and_full

DURING = {"training": (), "extraction": ("representations",), "stage two": ("representations", "features")}


def snapshot(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in files(root)}


def check_fails_cleanly(root: Path, whole, before: dict[Path, bytes], **fault) -> None:
    """The command fails with one line and harms nothing; once the fault is gone it ends as it should."""
    assert_one_line_error(run(root, whole.command, **fault), 1)
    assert temporaries(root) == []
    check_readable(root)
    assert all(path.read_bytes() == content for path, content in before.items())
    succeed(root, whole.command)
    assert_same(root, whole.essence)
    shutil.rmtree(root)


@pytest.mark.parametrize(
    ("stage", "full"),
    [("stage two", False), *(pytest.param(stage, True, marks=full_only) for stage in DURING)],
)
def test_disk_that_fills_up_leaves_old_results_and_no_temporary(whole, survey, tmp_path, stage, full):
    root = tmp_path / "root"
    timed = succeed(copy(whole.root, root, DURING[stage]), whole.command)
    shutil.rmtree(root)
    counts = {name: sum(o.name == name for o in timed.operations) for name in ("write", "fsync")}
    step = max(1, counts["write"] // 8)
    cases = [(name, n, "ENOSPC") for name in counts for n in range(1, counts[name] + 1, step)]

    def check(case: tuple[str, int, str]) -> None:
        copy(whole.root, root, DURING[stage])
        operation, number, error = case
        check_fails_cleanly(root, whole, snapshot(root), fault=f"{operation}:{number}:{error}+")

    survey(f"disk full, {stage}", cases if full else cases[3:4], check)


@small_and_full
def test_file_that_may_not_grow_leaves_old_results_and_no_temporary(whole, survey, tmp_path, full):
    sizes = sorted({path.stat().st_size for path in whole.root.rglob("*") if path.is_file()})
    limits = [size - 1 for size in sizes if size > 3000]  # the message itself goes to a file too

    def check(limit: int) -> None:
        root = tmp_path / "root"
        root.mkdir()
        check_fails_cleanly(root, whole, {}, file_bytes=limit)

    survey("file size limit", limits if full else limits[-1:], check)


@pytest.mark.parametrize(
    "stage", ["training", *(pytest.param(stage, marks=full_only) for stage in ("extraction", "stage two"))]
)
def test_root_that_turns_read_only_is_left_as_it_is(whole, survey, tmp_path, stage):
    def check(number: int) -> None:
        root = copy(whole.root, tmp_path / "root", DURING[stage])
        before = snapshot(root)
        said = assert_one_line_error(run(root, whole.command, fault=f"any:{number}:EROFS+"), 1)
        assert "Read-only" in said
        check_readable(root)
        assert snapshot(root) == before
        succeed(root, whole.command)
        assert_same(root, whole.essence)
        shutil.rmtree(root)

    survey(f"read-only root, {stage}", [1], check)


def test_finished_run_is_reported_from_a_read_only_root(whole):
    before = snapshot(whole.root)
    found = run(whole.root, whole.command, fault="any:1:EROFS+")
    assert found.status == 0 and "joint" in found.out, found.err
    assert snapshot(whole.root) == before
