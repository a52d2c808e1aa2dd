"""Everything that one training run works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.optim.swa_utils import AveragedModel

    from longtail.stages.data.pictures.batches import Batches
    from longtail.stages.losses.base import Loss
    from longtail.stages.meta_weights.learned import LearnedWeights
    from longtail.stages.network import Network


@dataclass
class Trainee:
    """Everything that one training run works with."""

    network: Network
    batches: Batches
    loss: Loss
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    reweighting: LearnedWeights | None
    device: str
    precision: str

    @property
    def extra_state(self) -> dict[str, Any]:
        """What a checkpoint holds beside network and optimiser, None where a run does without."""
        return {"average": self.average, "reweighting": self.reweighting}
