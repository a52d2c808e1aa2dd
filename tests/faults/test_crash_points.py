"""SIGKILL at every single file operation of a run: nothing half-written is read, a rerun ends the same."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.faults.processes import run, succeed
from tests.faults.roots import assert_same, check_readable
from tests.faults.sizes import small_and_full

STAGES = {"training": "/representations", "extraction": "/features", "stage two": "/classifiers"}


@small_and_full
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_a_file_operation_a_rerun_ends_bitwise_equal(whole, survey, tmp_path, stage, full):
    root = tmp_path / "root"

    def check(number: int) -> None:
        shutil.rmtree(root, ignore_errors=True)
        died = run(root, whole.command, fault=f"any:{number}:kill")
        assert died.status == -signal.SIGKILL, died.err
        check_readable(root)
        succeed(root, whole.command)
        check_readable(root)
        assert_same(root, whole.essence)

    points = [n for n, done in enumerate(whole.operations, 1) if STAGES[stage] in done.path]
    survey(f"kill at a file operation, {stage}", points if full else points[7 :: len(points) // 2], check)


def test_every_file_of_a_run_is_synced_before_it_gets_its_name(whole):
    synced = set()
    for done in whole.operations:
        if done.name == "fsync":
            synced.add(done.path)
        if done.name == "replace":
            assert done.path in synced, done.path
    named = sum(done.name == "replace" for done in whole.operations)
    assert named == sum(done.name == "open" for done in whole.operations) > 20
