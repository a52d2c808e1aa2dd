"""Multi-class hinge on cosines."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss
from longtail.stages.losses.ldam import ldam_margins
from longtail.stages.parameters import NonNegative


@LOSSES.register("hinge")
class Hinge(Loss):
    """max(max_{j≠y} z_j − z_y + Δ_y, 0) on cosines, without a scale.

    `margins` uniform: Δ_c = margin (HG); ldam: Δ_c = margin·(n_min/n_c)^(1/4) (LDAM-HG). logits (B, C) are
    raw cosines, labels (B,) → scalar. Classes without training samples take no part. Published on CIFAR-10
    only; with many classes it hardly trains.

    Source: Cao 2019 (arXiv 1906.07413), equation 9 and table 2; the margin value is ldam's.

    >>> loss = LOSSES.create("hinge", [30, 10], margin=0.5)
    >>> round(loss(torch.tensor([[0.5, 0.25]]), torch.tensor([1])).item(), 4)
    0.75
    """

    head_kind = "cosine"

    def __init__(
        self, class_counts, *, margin: NonNegative = 0.5, margins: Literal["uniform", "ldam"] = "uniform"
    ):
        super().__init__(class_counts)
        counts = self.class_counts
        by_class = ldam_margins(counts, margin) if margins == "ldam" else np.full(len(counts), margin)
        self.per_class("margins", by_class)

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cosines = self.mask(logits)
        own = cosines.gather(1, labels[:, None])[:, 0]
        rival = cosines.scatter(1, labels[:, None], -torch.inf).amax(1)
        return (rival - own + self.margins[labels].to(cosines.dtype)).clamp(min=0)
