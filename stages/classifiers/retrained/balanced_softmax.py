"""Balanced softmax on frozen features."""

from __future__ import annotations

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import fit_linear
from longtail.stages.parameters import NonNegative


@CLASSIFIERS.register("balanced_softmax")
class BalancedSoftmax(LinearClassifier):
    """A new linear head that learns under z + log n and predicts with z.

    Minimises mean_i CE(z_i + log n, y_i) + weight_decay/2·(‖W‖² + ‖b‖²), z = W f + b and n (C,) the training
    samples of each class, every sample weighing the same (instance_balanced). Convex; L-BFGS from zero
    weights, deterministic. With augmented views CE_i is the mean over a sample's. Without a decay the
    minimum is the plain head's with b − log n, which is logit_adjustment with τ 1; the decay, acting on
    other weights, is the difference between them.

    Fitted: ``head_``.

    Source: Ren 2020 (arXiv 2007.10740), no meta sampler; the decay Kang 2020's (1910.09217) released code.
    """

    uses_views = True

    def __init__(self, *, weight_decay: NonNegative = 5e-4):
        self.weight_decay = weight_decay

    def _fit(self, X, rows, head, validation, views=None):
        counts = self.class_counts_
        self.head_ = fit_linear(
            X,
            rows,
            np.where(counts > 0, 1 / len(rows), 0.0),
            weight_decay=self.weight_decay,
            views=views,
            offset=np.log(np.maximum(counts, 1)),
        )
