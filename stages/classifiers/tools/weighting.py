"""Cross-entropy weighted by class, for classifiers that re-weight instead of re-sampling."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F


class WeightedCrossEntropy:
    """Σ_i w_{y_i}·CE_i of scores (B, C) and labels (B,), over Σ_i w_{y_i} ("weights") or over B ("batch").

    `weights` (C,) are 0 for absent classes, which take no part in the softmax either.
    """

    def __init__(self, weights: np.ndarray, normalizer: Literal["weights", "batch"]):
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.absent = self.weights == 0
        self.normalizer = normalizer

    def __call__(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        scores = scores.masked_fill(self.absent, -torch.inf)
        if self.normalizer == "weights":
            return F.cross_entropy(scores, labels, weight=self.weights)
        return F.cross_entropy(scores, labels, weight=self.weights, reduction="sum") / len(labels)
