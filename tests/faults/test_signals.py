"""Asked to stop, and trained into the void: what is left can be continued, and says where it stopped."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.clean import UNTOUCHED
from tests.faults.processes import LIMIT, Running, assert_one_line_error, run, succeed
from tests.faults.roots import assert_same, check_readable, essence, files
from tests.faults.sizes import full_only

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = ["representation.epochs=30"]


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@pytest.mark.parametrize("number", [pytest.param(number, marks=full_only) for number in STATUS])
def test_signal_in_the_middle_of_training_ends_with_its_status_and_a_rerun_goes_on(
    whole, survey, tmp_path, number
):
    root, command = tmp_path / "root", [*whole.command, *LONG]
    succeed(tmp_path / "undisturbed", command)
    wanted = essence(tmp_path / "undisturbed")

    def check(operations: int) -> None:
        running = Running(root, command)
        wait_until(lambda: len(running.operations()) > operations)
        running.signal(number)
        found = running.wait()
        assert_one_line_error(found, STATUS[number])
        assert "the same command continues" in found.err
        check_readable(root)
        assert not list(root.glob("representations/*/DONE")), "it had ended already"
        again = succeed(root, command)
        assert len(again.operations) < len(whole.operations) * 10
        assert_same(root, wanted)
        shutil.rmtree(root)

    survey(f"{signal.Signals(number).name} while training", range(20, 200, 20), check)


@pytest.mark.parametrize("number", STATUS)
def test_second_signal_ends_the_process_at_once(whole, survey, tmp_path, number):
    def check(operation: int) -> None:
        root = tmp_path / "root"
        running = Running(root, whole.command, fault=f"any:{operation}:stall")
        wait_until(lambda: len(running.operations()) == operation)
        time.sleep(0.05)
        running.signal(number)
        time.sleep(0.05)
        assert running.process.is_alive(), "the first one lets the step end"
        running.signal(number)
        assert running.wait().status == -number  # the step it is stalled in is longer than it is waited for
        check_readable(root)
        succeed(root, whole.command)
        assert_same(root, whole.essence)
        shutil.rmtree(root)

    saves = [n for n, o in enumerate(whole.operations, 1) if o.name == "fsync" and "-batch-" in o.path]
    survey(f"second {signal.Signals(number).name}", saves[2:4], check)


@pytest.mark.parametrize("number", [pytest.param(number, marks=full_only) for number in STATUS])
def test_signal_outside_training_ends_at_once(whole, survey, tmp_path, number):
    def check(operation: int) -> None:
        root = tmp_path / "root"
        running = Running(root, whole.command, fault=f"any:{operation}:stall")
        wait_until(lambda: len(running.operations()) == operation)
        time.sleep(0.05)
        running.signal(number)
        assert_one_line_error(running.wait(), STATUS[number])
        check_readable(root)
        succeed(root, whole.command)
        assert_same(root, whole.essence)
        shutil.rmtree(root)

    stages = ("/features", "/classifiers")
    syncs = [
        [n for n, o in enumerate(whole.operations, 1) if o.name == "fsync" and s in o.path] for s in stages
    ]
    survey(f"{signal.Signals(number).name} in extraction and stage two", [s[4] for s in syncs], check)


@pytest.mark.faults
def test_clean_beside_a_stopped_training_takes_nothing_from_it(whole, survey, tmp_path):
    def check(operations: int) -> None:
        root = tmp_path / f"root-{operations}"
        running = Running(root, whole.command)
        wait_until(lambda: len(running.operations()) > operations)
        running.signal(signal.SIGSTOP)
        then = time.time() - 2 * UNTOUCHED
        for path in [root, *root.rglob("*")]:
            os.utime(path, (then, then))
        before = files(root)
        succeed(root, ["clean", "--unfinished"])
        assert files(root) == before
        running.signal(signal.SIGCONT)
        assert running.wait().status == 0
        check_readable(root)
        assert_same(root, whole.essence)
        shutil.rmtree(root)

    count = len(whole.operations)
    survey("clean beside a stopped run", range(count // 20, count - 2, count // 10), check)


def finite(path: Path) -> bool:
    return all(np.isfinite(array).all() for array in load_tensors(path)[0].values())


def test_loss_that_is_not_finite_stops_and_the_last_finite_checkpoint_stays(whole, survey, tmp_path):
    def check(rate: str) -> None:
        root = tmp_path / rate
        command = [*whole.command, f"representation.optimizer.lr={rate}", "representation.schedule=constant"]
        for _ in range(2):  # a rerun comes to the same end
            said = assert_one_line_error(run(root, command), 1)
            assert re.search(r"epoch 1, batch [23]", said), said
            check_readable(root)
            weights = [p for p in files(root) if p.suffix == ".safetensors"]
            assert weights and all(map(finite, weights))
        shutil.rmtree(root)

    survey("loss not finite", ["1e15", "1e20", "1e30"], check)
