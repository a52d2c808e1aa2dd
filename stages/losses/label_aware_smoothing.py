"""Label-aware smoothing."""

from __future__ import annotations

import numpy as np
import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss
from longtail.stages.parameters import Fraction


@LOSSES.register("label_aware_smoothing")
class LabelAwareSmoothing(Loss):
    """(1 − ε_y)(−log p_y) + ε_y·mean_j(−log p_j): labels of common classes are smoothed more.

    ε_c = tail + (head − tail)·sin(½π·(n_c − n_min)/(n_max − n_min)), `head` when all counts are the same. The
    mean runs over the classes with training samples. logits (B, C), labels (B,) → scalar. Made for stage two,
    with class-balanced sampling. The paper's head/tail: CIFAR-100 .4/.1, .3/0, .2/0 at imbalance 100, 50, 10;
    CIFAR-10 .3/0, .2/0, .1/0; ImageNet-LT and iNaturalist .3/0; Places-LT .4/.1.

    Source: Zhong 2021 (MiSLAS, arXiv 2104.00466), equations 4 and 6.
    """

    def __init__(self, class_counts, *, head: Fraction = 0.4, tail: Fraction = 0.1):
        super().__init__(class_counts)
        counts, present = self.class_counts, self.class_counts > 0
        low, high = counts[present].min(), counts.max()
        place = (counts - low) / (high - low) if high > low else np.ones(len(counts))
        self.per_class("smoothing", np.where(present, tail + (head - tail) * np.sin(np.pi / 2 * place), 0.0))
        self._classes = int(present.sum())

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        losses = -torch.log_softmax(self.mask(logits), 1)  # (B, C), inf for absent classes
        own = losses.gather(1, labels[:, None])[:, 0]
        smooth = self.smoothing[labels].to(losses.dtype)
        return (1 - smooth) * own + smooth * self.over_present(losses) / self._classes
