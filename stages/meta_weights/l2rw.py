"""Learning to reweight."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.func import grad

from longtail.stages.meta_weights import REWEIGHTINGS
from longtail.stages.meta_weights.virtual import Params, along, normalized
from longtail.stages.parameters import BatchSize, Count


@REWEIGHTINGS.register("l2rw")
class L2RW:
    """Weights by how well a sample's gradient agrees with that of a clean batch; nothing to learn or keep.

    From ε = 0 a virtual step on Σ ε_i ℓ_i; w̃_i = max(−∂L_meta/∂ε_i, 0), w = w̃/(Σw̃ + [Σw̃ = 0]). At ε = 0
    that derivative is −rate·⟨∇L_meta(θ), ∇ℓ_i(θ)⟩, so the rate cancels.

    `per_class` images of each class (half of a small one) are held out of the training split; a clean batch
    is up to `batch_size` of them, the same number of each class.

    Source: Ren 2018 (arXiv 1803.09050), equations 4 to 7 and algorithm 1.
    """

    def __init__(self, *, per_class: Count = 10, batch_size: BatchSize = 100):
        self.per_class, self.batch_size = per_class, batch_size

    def weigh(
        self,
        losses_at: Callable[[Params], torch.Tensor],
        meta_loss_at: Callable[[Params], torch.Tensor],
        params: Params,
        rate: float,
    ) -> torch.Tensor:
        """w (B,); see :mod:`longtail.stages.meta_weights`."""
        toward = grad(meta_loss_at)(params)
        agreement = along(losses_at, params, toward)  # (B,)
        return normalized(agreement.clamp(min=0))

    def to(self, device) -> L2RW:
        """This rule, for weights on `device`."""
        return self

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to hold: nothing."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what :meth:`state` returned."""
