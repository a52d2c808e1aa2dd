"""Binary cross-entropy of each class."""

from __future__ import annotations

import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import WeightedLoss, binary_cross_entropy


@LOSSES.register("sigmoid")
class Sigmoid(WeightedLoss):
    """w_y Σ_j BCE(z_j, [j = y]): every class is a question of its own.

    logits (B, C), labels (B,) → scalar. The sum runs over the classes with training samples. The head's bias
    starts at −log(C−1), so that each class begins at probability 1/C, and is not decayed.

    Source: Cui 2019 (arXiv 1901.05555), section 4.2; the bias Lin 2017 (1708.02002), section 4.1.

    >>> loss = LOSSES.create("sigmoid", [30, 10])
    >>> round(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)
    1.3863
    """

    prior_bias = True

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        each, _ = binary_cross_entropy(self.widened(logits), labels)
        return self.weighted(self.over_present(each), labels)
