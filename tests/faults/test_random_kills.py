"""SIGKILL at random moments, again and again on one root: a rerun goes on, and ends the same to the bit."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults.kills import KILLS, killing
from tests.faults.processes import succeed
from tests.faults.roots import assert_same, check_readable, copy, essence
from tests.faults.sizes import full_only

pytestmark = full_only
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

    def check_end() -> None:
        succeed(root, command)
        check_readable(root)
        assert_same(root, wanted)

    kills = -(-KILLS // len(STAGES))
    begin = partial(copy, whole.root, root, before)
    kill = killing(root, command, undisturbed, kills, begin=begin, check_end=check_end)
    survey(f"kill at a random moment, {stage}", range(kills), kill)
