"""Cross-entropy."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from stages.losses import LOSSES
from stages.losses.base import Loss


@LOSSES.register("cross_entropy")
class CrossEntropy(Loss):
    """−log softmax(z)_y, mean over the batch.

    logits (B, C), labels (B,) → scalar. Classes without training samples take no part.

    Source: the softmax baseline of Cui 2019 (arXiv 1901.05555) and Kang 2020 (1910.09217).
    """

    def __init__(self, class_counts):
        super().__init__(class_counts)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.mask(logits), labels)
