"""A dead driver leaves no processes, a dead process is named, and a stopped twin does no harm."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.descendants import outliving, wait_for_descendants
from tests.faults.processes import Running, assert_one_line_error, succeed
from tests.faults.roots import assert_same, check_readable
from tests.faults.sizes import full_only

pytestmark = [
    *full_only,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc"),
]
KILLS = 8
WITHIN = 5.0  # seconds in which a process has to follow its driver
TRIALS = [{"name": "crt", "solver": "sgd", "epochs": 40, "lr": rate / 100} for rate in range(1, 9)]
SMALL = [
    "digits_lt",
    "representation.epochs=2",
    "system.threads=1",
    "system.device=cpu",
    "system.compile=off",
]
SWEEP = ["sweep", *SMALL, f"sweep={json.dumps(TRIALS)}", "--jobs", "2"]


def prepared(folder: Path) -> Path:
    """A root with the features that the trials are fitted on."""
    succeed(folder, ["extract", *SMALL])
    return folder


def test_a_killed_sweep_leaves_no_process(survey, tmp_path):
    draw = random.Random(0)
    base = prepared(tmp_path / "base")

    def check(number: int) -> None:
        root = Path(shutil.copytree(base, tmp_path / f"root-{number}"))
        running = Running(root, SWEEP)
        family = wait_for_descendants(running, 2)
        time.sleep(draw.uniform(0, 3))
        assert running.process.is_alive(), "it ended before it was killed"
        if number % 2:
            for process in family:
                os.kill(process, signal.SIGSTOP)
        running.process.kill()
        left = outliving(family, WITHIN)
        for process in left:
            os.kill(process, signal.SIGKILL)
        running.wait()
        assert not left, f"{len(left)} outlive their driver"
        check_readable(root)

    survey("driver of a sweep killed", range(KILLS), check)


def pictures(folder: Path) -> list[str]:
    """Two classes of small pictures, and the settings that train on them as they are decoded."""
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(60):
            pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    data = f"data={{name: image_folder, root: {folder}, image_size: 16, in_memory: false}}"
    return [data, "system.workers=2", "representation.epochs=1000", "representation.batch_size=8"]


def test_a_killed_training_leaves_no_process_that_decodes(survey, tmp_path):
    settings, draw = pictures(tmp_path / "pictures"), random.Random(1)

    def check(number: int) -> None:
        root = tmp_path / f"root-{number}"
        running = Running(root, ["represent", *SMALL, *settings])
        family = wait_for_descendants(running, 2)
        time.sleep(draw.uniform(0, 2))
        family = wait_for_descendants(running, 2)
        assert running.process.is_alive(), "it ended before it was killed"
        running.process.kill()
        left = outliving(family, WITHIN)
        for process in left:
            os.kill(process, signal.SIGKILL)
        running.wait()
        assert not left, f"{len(left)} outlive their driver"

    survey("driver of decoding killed", range(KILLS), check)


def test_a_killed_process_of_a_sweep_is_named_and_costs_one_trial(survey, tmp_path):
    base = prepared(tmp_path / "base")
    succeed(Path(shutil.copytree(base, tmp_path / "whole")), SWEEP)
    wanted = records(tmp_path / "whole")

    def check(seconds: float) -> None:
        root = Path(shutil.copytree(base, tmp_path / "root"))
        running = Running(root, SWEEP)
        family = wait_for_descendants(running, 2)
        time.sleep(seconds)
        os.kill(family[0], signal.SIGKILL)
        line = assert_one_line_error(running.wait(), 1)
        assert "was killed (SIGKILL)" in line and "the same command continues" in line
        assert seconds < 3 or "crt(" in line
        assert len(list(root.glob("classifiers/*/DONE"))) >= len(TRIALS) - 1
        check_readable(root)
        assert records(root) == wanted
        shutil.rmtree(root)

    survey("process of a sweep killed", [0.0, 0.5, 1.5, 3.0], check)


def records(root: Path) -> list[dict]:
    return json.loads(succeed(root, [*SWEEP, "--format", "json"]).out)


def test_a_stopped_twin_goes_on_over_what_the_other_has_finished(whole, survey, tmp_path):
    def check(operations: int) -> None:
        root = tmp_path / "root"
        first = Running(root, whole.command)
        while len(first.operations()) < operations:
            assert first.process.is_alive(), "it ended before it was stopped"
            time.sleep(0.001)
        first.signal(signal.SIGSTOP)
        succeed(root, whole.command)
        assert_same(root, whole.essence)
        first.signal(signal.SIGCONT)
        outcome = first.wait()
        assert outcome.status == 0, outcome.err[-500:]
        assert_same(root, whole.essence)
        check_readable(root)
        shutil.rmtree(root)

    total = len(whole.operations)
    survey("stopped twin", range(1, total - 10, max(1, total // 16)), check)
