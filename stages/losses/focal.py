"""Focal loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import WeightedLoss, binary_cross_entropy, cross_entropy
from longtail.stages.parameters import Index, NonNegative, WeightingSpec


@LOSSES.register("focal")
class Focal(WeightedLoss):
    """Focal loss: what is nearly right counts less, by (1 − p)^γ.

    softmax: −w_y (1 − p_y)^γ log p_y; sigmoid: w_y Σ_j (1 − p_{t,j})^γ BCE(z_j, [j = y]), p_t the probability
    given to the truth of class j. γ = 0 is the cross_entropy or sigmoid loss, exactly. The modulator is not
    detached and p is unweighted. logits (B, C), labels (B,) → scalar; classes without training samples take
    no part. The sigmoid form's head bias starts at −log(C−1) and is not decayed.

    Source: Lin 2017 (arXiv 1708.02002), equation 5; the sigmoid form as the class-balanced loss uses it,
    Cui 2019 (1901.05555), equation 11 and released code.

    >>> loss = LOSSES.create("focal", [30, 10], gamma=2.0)
    >>> round(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)  # 0.25 · log 2
    0.1733
    """

    prior_bias_with = ("form", "sigmoid")

    def __init__(
        self,
        class_counts,
        *,
        form: Literal["softmax", "sigmoid"] = "softmax",
        gamma: NonNegative = 1.0,
        weighting: WeightingSpec = "none",
        normalizer: Literal["batch", "weights"] = "batch",
        start_epoch: Index = 0,
    ):
        super().__init__(class_counts, weighting=weighting, normalizer=normalizer, start_epoch=start_epoch)
        self.gamma = gamma
        self.prior_bias = form == "sigmoid"
        self._losses = self._sigmoid if form == "sigmoid" else self._softmax

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.weighted(self._losses(logits, labels), labels)

    def _softmax(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.mask(logits)
        losses = cross_entropy(logits, labels)
        if self.gamma == 0:
            return losses
        # 1 − p_y as a difference of log-sums: (1 − p)^γ has no gradient at p = 1 for γ < 1. The finite
        # stand-in for −inf keeps the gradient when no other class is left.
        lowest = torch.finfo(logits.dtype).min
        others = logits.scatter(1, labels[:, None], lowest)
        return torch.exp(self.gamma * (others.logsumexp(1) - logits.logsumexp(1))) * losses

    def _sigmoid(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.widened(logits)
        each, targets = binary_cross_entropy(logits, labels)
        if self.gamma != 0:
            # 1 − p_t = σ(z) for a wrong class and σ(−z) for the right one; −softplus is log σ.
            each = each * torch.exp(-self.gamma * F.softplus((2 * targets - 1) * logits))
        return self.over_present(each)
