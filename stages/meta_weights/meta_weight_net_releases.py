"""Meta-Weight-Net as its authors' two released codes compute it."""

from __future__ import annotations

import torch

from longtail.stages.meta_weights import REWEIGHTINGS
from longtail.stages.meta_weights.meta_weight_net import WeightNet, nesterov_sgd
from longtail.stages.parameters import BatchSize, Count, Fraction, NonNegative, Positive, Width


@REWEIGHTINGS.register("meta_weight_net_imbalance")
class MetaWeightNetImbalance(WeightNet):
    """Meta-Weight-Net as released for class imbalance: the virtual step differentiates through v, too.

    Like ``meta_weight_net``, except that in the virtual step ℓ_i enters the MLP as a function of θ. The step
    is then along ∇Σ ℓ_j w_j(ℓ), in which ∇ℓ_i counts ∂(Σ_j ℓ_j w_j)/∂ℓ_i instead of w_i; the real step has
    plain weights. Defaults are the release's: SGD with Nesterov's momentum, w = v/Σv, 10 images a class.

    Source: Shu 2019 (arXiv 1902.07379), section 4.1; its released code
    (xjtushujun/Meta-weight-net_class-imbalance).
    """

    def __init__(
        self,
        *,
        per_class: Count = 10,
        batch_size: BatchSize = 100,
        hidden: Width = 100,
        lr: Positive = 1e-5,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
    ):
        super().__init__(per_class, batch_size, hidden)
        self.optimizer = nesterov_sgd(self.mlp, lr, momentum, weight_decay)

    def influence(self, losses: torch.Tensor) -> torch.Tensor:
        """∂(Σ_j ℓ_j w_j)/∂ℓ_i, (B,), of losses (B,)."""
        entering = losses.clone().requires_grad_()
        total = (entering * self.weights(entering)).sum()
        return torch.autograd.grad(total, entering, create_graph=True)[0]


@REWEIGHTINGS.register("meta_weight_net_label_noise")
class MetaWeightNetLabelNoise(WeightNet):
    """Meta-Weight-Net as released for wrong labels: the mean of v_i ℓ_i, not normalised, and Adam.

    Like ``meta_weight_net``, except that w = v/B, so that a batch of doubtful samples counts less than
    another, and that the MLP is moved by Adam (its `weight_decay` added to the gradient). `per_class` is 10
    as in the other forms; the release sets apart 1,000 images in all, 100 of each of CIFAR-10's classes.

    Source: Shu 2019 (arXiv 1902.07379), section 4.2; its released code (xjtushujun/meta-weight-net).
    """

    def __init__(
        self,
        *,
        per_class: Count = 10,
        batch_size: BatchSize = 100,
        hidden: Width = 100,
        lr: Positive = 1e-3,
        weight_decay: NonNegative = 1e-4,
    ):
        super().__init__(per_class, batch_size, hidden)
        self.optimizer = torch.optim.Adam(self.mlp.parameters(), lr=lr, weight_decay=weight_decay)

    def weights(self, losses: torch.Tensor) -> torch.Tensor:
        """w (B,) of losses (B,): v/B."""
        return self.values(losses) / len(losses)
