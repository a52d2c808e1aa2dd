"""SIGKILL at random moments, again and again on one root: a rerun goes on, and ends the same to the bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.faults.processes import Running, succeed
from tests.faults.roots import assert_same, check_readable, copy, essence
from tests.faults.sizes import full_only

pytestmark = full_only
KILLS = int(os.environ.get("LONGTAIL_FAULTS_KILLS", "80"))  # in all
IN_A_ROW = 3  # kills of one root before it is left to end
MANY_STATES = [
    "representation.epochs=4", "representation.optimizer={name: adamw, lr: 1e-2}", "representation.ema=0.9",
    "representation.augment={pad: 1, flip: true, mixup: 0.2}", "representation.accumulation=2",
    "representation.sampler=progressively_balanced",
]  # fmt: skip
STAGES = {  # what is done before, and what more is asked for
    "training": ((), []),
    "training with averages, Adam's moments and mixup": ((), MANY_STATES),
    "extraction": (("representations",), []),
    "stage two": (("representations", "features"), []),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_random_moments_a_rerun_ends_bitwise_equal(whole, survey, tmp_path, stage):
    before, more = STAGES[stage]
    command, root = [*whole.command, *more], tmp_path / "root"
    undisturbed = succeed(copy(whole.root, tmp_path / "timed", before), command)
    wanted = essence(tmp_path / "timed")
    first, last = undisturbed.operations[0].seconds, undisturbed.operations[-1].seconds
    draw = random.Random(stage)

    def kill(number: int) -> None:
        if number % IN_A_ROW == 0:
            shutil.rmtree(root, ignore_errors=True)
            copy(whole.root, root, before)
        killed(root, command, draw, 0.9 * first, 1.05 * last)
        check_readable(root)
        if number % IN_A_ROW == IN_A_ROW - 1 or number == kills - 1:
            succeed(root, command)
            check_readable(root)
            assert_same(root, wanted)

    kills = -(-KILLS // len(STAGES))
    survey(f"kill at a random moment, {stage}", range(kills), kill)


def killed(root: Path, command: list[str], draw: random.Random, earliest: float, latest: float) -> None:
    """Start `command` until it is killed at a moment it is still at work; a finished root is emptied."""
    while True:
        running = Running(root, command)
        running.process.join(draw.uniform(earliest, latest))
        if running.process.exitcode is None:
            running.process.kill()
        found = running.wait()
        assert found.status in (0, -signal.SIGKILL), found.err
        if found.status:
            return
        latest = max(earliest * 1.01, latest * 0.8)  # it had less to do than a whole run
        if found.operations == []:  # nothing at all
            shutil.rmtree(root)
