"""Margins on cosines: LDAM and one margin for all."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import WeightedLoss, cross_entropy
from longtail.stages.parameters import Index, NonNegative, Positive, WeightingSpec


class MarginSoftmax(WeightedLoss):
    """−w_y log softmax(s·(z − m_y·onehot_y))_y of cosines z (B, C); a subclass sets ``margins`` (C,)."""

    head_kind = "cosine"

    def __init__(self, class_counts, scale: float, **weighting):
        super().__init__(class_counts, **weighting)
        self.scale = scale

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cosines = self.mask(logits)
        apart = cosines - F.one_hot(labels, cosines.shape[1]) * self.margins.to(cosines.dtype)
        return self.weighted(cross_entropy(self.scale * apart, labels), labels)


@LOSSES.register("ldam")
class LDAM(MarginSoftmax):
    """LDAM: softmax on scaled cosines with a larger margin for rarer classes.

    −w_y log softmax(s·(z − m_y·onehot_y))_y, m_c = max_margin·(n_min/n_c)^(1/4), z cosines of a head without
    bias, s = `scale`. logits (B, C) are the raw cosines, labels (B,) → scalar. Prediction is the largest
    cosine, without margin. Classes without training samples take no part.

    Source: Cao 2019 (arXiv 1906.07413), equations 10–13; margin and scale as in the released code.

    >>> loss = LOSSES.create("ldam", [160, 10], max_margin=0.5, scale=30.0)
    >>> loss.margins.tolist()
    [0.25, 0.5]
    """

    def __init__(
        self,
        class_counts,
        *,
        max_margin: NonNegative = 0.5,
        scale: Positive = 30.0,
        weighting: WeightingSpec = "none",
        normalizer: Literal["batch", "weights"] = "batch",
        start_epoch: Index = 0,
    ):
        super().__init__(
            class_counts, scale, weighting=weighting, normalizer=normalizer, start_epoch=start_epoch
        )
        self.per_class("margins", ldam_margins(self.class_counts, max_margin))


@LOSSES.register("margin")
class Margin(MarginSoftmax):
    """One margin for every class: ldam with m_c = margin (M in Cao's tables, with M-DRW).

    logits (B, C) are raw cosines, labels (B,) → scalar.

    Source: Cao 2019 (arXiv 1906.07413), its tables; Wang 2018 (1801.05599) as AM-softmax.
    """

    def __init__(
        self,
        class_counts,
        *,
        margin: NonNegative = 0.5,
        scale: Positive = 30.0,
        weighting: WeightingSpec = "none",
        normalizer: Literal["batch", "weights"] = "batch",
        start_epoch: Index = 0,
    ):
        super().__init__(
            class_counts, scale, weighting=weighting, normalizer=normalizer, start_epoch=start_epoch
        )
        self.per_class("margins", np.full(len(self.class_counts), margin))


def ldam_margins(class_counts: np.ndarray, max_margin: float) -> np.ndarray:
    """m_c = max_margin·(n_min/n_c)^(1/4), (C,); n_min over classes present, 0 for a class without samples."""
    present = class_counts > 0
    margins = np.zeros(len(class_counts))
    margins[present] = max_margin * (class_counts[present].min() / class_counts[present]) ** 0.25
    return margins
