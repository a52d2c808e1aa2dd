"""Vector scaling and class-dependent temperatures."""

from __future__ import annotations

import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.parameters import NonNegative
from longtail.stages.priors import log_prior


@LOSSES.register("cdt", tau=0.0)
@LOSSES.register("vector_scaling")
class VectorScaling(Loss):
    """CE(z/Δ + τ log π), Δ_c = (n_max/n_c)^γ: rare logits are shrunk in training, and shifted by the prior.

    CDT is τ = 0. γ = 0 is logit_adjusted. logits (B, C), labels (B,) → scalar. Prediction is the largest z,
    as it is. A class without training samples takes no part. CDT's γ was up to .4 on CIFAR-10, .2 on
    CIFAR-100, .1 on iNaturalist.

    Source: Kini 2021 (arXiv 2103.01550), equation 5 (γ .2 to .3 and τ 1.2 in its table 2); CDT: Ye 2020
    (2001.01385), equation 4.

    >>> loss = LOSSES.create("cdt", [160, 10], gamma=0.5)
    >>> loss.temperatures.tolist()
    [1.0, 4.0]
    """

    corrects_prior = True

    def __init__(self, class_counts, *, gamma: NonNegative = 0.2, tau: NonNegative = 1.2):
        super().__init__(class_counts)
        self.gamma, self.tau = gamma, tau
        counts = self.class_counts.clip(min=1)
        self.per_class("temperatures", (counts.max() / counts) ** gamma)
        self.per_class("shift", tau * log_prior(self.class_counts))

    def corrects_prior_at(self, epoch: int) -> bool:
        return self.gamma > 0 or self.tau > 0

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.mask(logits)
        scaled = logits / self.temperatures.to(logits.dtype)
        return cross_entropy(scaled + self.shift.to(logits.dtype), labels)
