"""Sweeps and ablations killed at random moments end with the records of undisturbed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.kills import KILLS, killing
from tests.faults.processes import succeed
from tests.faults.sizes import full_only

pytestmark = full_only
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
    command, root = COMMANDS[what], tmp_path / "root"
    undisturbed = succeed(tmp_path / "whole", command)
    wanted = printed(tmp_path / "whole", command)

    def check_end() -> None:
        assert printed(root, command) == wanted

    kills = -(-KILLS // 4)
    kill = killing(root, command, undisturbed, kills, begin=root.mkdir, check_end=check_end)
    survey(f"kill at a random moment, {what}", range(kills), kill)
