"""Learnable weight scaling."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np

from longtail.stages.blocks import BLOCK_BYTES, row_blocks, working_type
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.frozen_logits import frozen_logits
from longtail.stages.classifiers.tools.linear import (
    fit_plain_head,
    lbfgs,
    places,
)
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.network import Head
from longtail.stages.parameters import NonNegative
from longtail.stages.priors import class_mass
from longtail.stages.softmax import CACHED, weighted_cross_entropy

FLOAT64_LOGITS = 2e7  # up to this many logits are kept and worked on in float64


@CLASSIFIERS.register("lws")
class LWS(Classifier):
    """z = s ⊙ (W f): one learned scale for each class of stage one's frozen weights.

    s starts at 1 and minimises Σ_i ℓ_i/(C·n_{y_i}) + weight_decay/2·‖s‖², convex in s, by L-BFGS on the
    cached logits. `bias` "scaled" is the reference's s ⊙ (W f + b). The reference decays s, which pulls
    it to 0; here nothing does by default. With views ℓ_i is the mean over a sample's.
    Fitted: ``scale_`` (C,).

    Source: Kang 2020 (arXiv 1910.09217), section 4.1.
    """

    uses_views = True

    def __init__(self, *, bias: Literal["none", "scaled"] = "none", weight_decay: NonNegative = 0.0):
        self.bias = bias
        self.weight_decay = weight_decay

    def _fit(self, X, rows, head, validation, views=None):
        head = head or fit_plain_head(X, rows, len(self.classes_))
        bias = head.bias if self.bias == "scaled" else None
        self.base_ = Head(head.weight, bias, head.scale, head.cosine)
        present = np.flatnonzero(self.class_counts_)
        sources = views or [X]
        targets = places(present, len(self.classes_))[rows]
        weights = class_mass(self.class_counts_)[rows] / len(sources)
        dtype = working_type(X, len(sources) * len(X) * len(present), FLOAT64_LOGITS)
        logits = frozen_logits(self.base_, sources, columns=present, dtype=dtype)
        resident = all(source.kept is not None for source in logits)
        width = BLOCK_BYTES * len(present) // (8 * CACHED) if resident else X.shape[1] + 2 * len(present)
        blocks = list(product(logits, row_blocks(len(X), width)))

        def objective(s: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = 0.5 * self.weight_decay * s @ s, self.weight_decay * s
            factor = s.astype(dtype)
            for source, block in blocks:
                z = source[block]
                loss, residual = weighted_cross_entropy(z * factor, targets[block], weights[block])
                value += loss
                gradient = gradient + np.einsum("nc,nc->c", residual, z)
            return value, gradient

        self.scale_ = np.ones(len(self.classes_))
        self.scale_[present] = lbfgs(objective, np.ones(len(present)), max_iter=1000)

    def _scores(self, X) -> np.ndarray:
        scores = self.base_.logits(X)
        return scores * self.scale_.astype(scores.dtype)

    def _linear_form(self) -> LinearForm:
        return LinearForm.of_head(self.base_).scaled(self.scale_)
