"""Logit adjustment in the loss, and balanced softmax, which is the same with τ = 1."""

from __future__ import annotations

import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.parameters import NonNegative
from longtail.stages.priors import log_prior


@LOSSES.register("balanced_softmax", tau=1.0)
@LOSSES.register("logit_adjusted")
class LogitAdjusted(Loss):
    """CE(z + τ log π), π_c = n_c/N: the prior goes into the loss, so z itself is balanced.

    Balanced softmax, CE(z + log n), is τ = 1; τ = 0 is cross_entropy. logits (B, C), labels (B,) → scalar.
    Prediction is the largest z, unadjusted. A class without training samples takes no part.

    Source: Menon 2021 (arXiv 2007.07314), equation 10; Ren 2020 (2007.10740), equation 3.

    >>> loss = LOSSES.create("logit_adjusted", [30, 10])
    >>> round(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)  # −log(10/40)
    1.3863
    """

    corrects_prior = True

    def __init__(self, class_counts, *, tau: NonNegative = 1.0):
        super().__init__(class_counts)
        self.tau = tau
        self.per_class("shift", tau * log_prior(self.class_counts))

    def corrects_prior_at(self, epoch: int) -> bool:
        return self.tau > 0

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.mask(logits)
        return cross_entropy(logits + self.shift.to(logits.dtype), labels)
