"""Cross-entropy."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import WeightedLoss, cross_entropy


@LOSSES.register("cross_entropy")
class CrossEntropy(WeightedLoss):
    """−w_y log softmax(z)_y.

    logits (B, C), labels (B,) → scalar. Classes without training samples take no part.

    Source: the softmax baseline of Cui 2019 (arXiv 1901.05555) and Kang 2020 (1910.09217).

    >>> loss = LOSSES.create("cross_entropy", [30, 10])
    >>> round(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)
    0.6931
    """

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.weighted(cross_entropy(self.mask(logits), labels), labels)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.weighs:
            return super().forward(logits, labels)
        return F.cross_entropy(self.mask(logits), labels)  # one kernel
