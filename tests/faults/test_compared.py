"""Sweeps and ablations killed at random moments end with the records of undisturbed ones."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.faults.processes import succeed
from tests.faults.roots import check_readable
from tests.faults.sizes import full_only
from tests.faults.test_random_kills import IN_A_ROW, killed

pytestmark = full_only
KILLS = int(os.environ.get("LONGTAIL_FAULTS_KILLS", "80")) // 4
SMALL = [
    "digits_lt",
    "representation.epochs=2",
    "system.threads=1",
    "system.device=cpu",
    "system.compile=off",
]
COMMANDS = {
    "sweep": [
        "sweep", *SMALL,
        "sweep=[joint, {name: crt, solver: sgd, lr: [0.1, 0.2]}, {name: crt, weight_decay: [1e-4, 1e-2]}]",
    ],
    "ablation": [
        "ablate", *SMALL, "classifiers=[joint, crt, ncm]",
        "--vary", "representation.sampler=instance_balanced,square_root", "--seeds", "2",
    ],
}  # fmt: skip


def printed(root: Path, command: list[str]) -> list[dict]:
    return json.loads(succeed(root, [*command, "--format", "json"]).out)


@pytest.mark.parametrize("what", COMMANDS)
def test_killed_at_random_moments_the_records_are_those_of_an_undisturbed_one(survey, tmp_path, what):
    command, draw = COMMANDS[what], random.Random(what)
    undisturbed = succeed(tmp_path / "whole", command)
    wanted = printed(tmp_path / "whole", command)
    first, last = undisturbed.operations[0].seconds, undisturbed.operations[-1].seconds
    root = tmp_path / "root"

    def kill(number: int) -> None:
        if number % IN_A_ROW == 0:
            shutil.rmtree(root, ignore_errors=True)
        killed(root, command, draw, 0.9 * first, last)
        check_readable(root)
        if number % IN_A_ROW == IN_A_ROW - 1:
            assert printed(root, command) == wanted

    survey(f"kill at a random moment, {what}", range(KILLS), kill)
