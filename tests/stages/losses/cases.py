"""What tests of losses share."""

import json

import pytest
import torch

from longtail.stages.losses import LOSSES
from tests.training_runs import folder_of

every_loss = pytest.mark.parametrize("name", LOSSES.names())
COUNTS = [30, 12, 0, 4, 1]  # an absent class
PRESENT = [0, 1, 3, 4]
LABELS = torch.tensor([0, 1, 3, 4, 0, 0, 1])


def make_loss(name, counts=COUNTS, **params):
    return LOSSES.create(name, counts, **params)


def history(config, store):
    lines = (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
