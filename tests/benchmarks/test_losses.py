"""What a loss costs beyond cross-entropy in a stage-one step."""

from __future__ import annotations

import pytest
import torch

from longtail.stages.heads import build_head
from longtail.stages.losses import LOSSES
from longtail.stages.network import Network
from tests.benchmarks.measuring import report, rivals
from tests.benchmarks.trainees import trainee_for

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
STEPS = 10
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # CIFAR-10-LT, imbalance factor 100


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if name != "cross_entropy"])
def test_a_step_under_the_loss_over_a_step_under_cross_entropy(name):
    trainee = trainee_for("small_cnn", 1)
    batch = next(iter(trainee.batches.epoch(0)))
    weighted = "weighting" in LOSSES.describe(name).parameters
    losses = [
        LOSSES.create("cross_entropy", COUNTS),
        LOSSES.create(name, COUNTS, **({"weighting": "effective_number"} if weighted else {})),
    ]
    networks = [
        Network(trainee.network.backbone, build_head(loss, trainee.network.backbone.num_features, 10))
        for loss in losses
    ]

    def steps(which: int) -> None:
        for _ in range(STEPS):
            networks[which].zero_grad(set_to_none=True)
            value = losses[which](networks[which](batch.inputs), batch.labels)
            value.backward()
            torch.optim.SGD(networks[which].parameters(), lr=1e-4).step()

    ratio = rivals(lambda: steps(0), lambda: steps(1))
    report(f"a small-CNN step under {name} over one under cross_entropy", ratio)
    assert ratio < 1.5
