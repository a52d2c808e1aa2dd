"""Post-hoc logit adjustment, with its accuracy known exactly for every τ at once."""

from __future__ import annotations

from typing import Literal

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.paths import adjustment_path, fit_tau
from longtail.stages.network import Head
from longtail.stages.parameters import NonNegative
from longtail.stages.priors import log_prior


@CLASSIFIERS.register("logit_adjustment")
class LogitAdjustment(LinearClassifier):
    """Stage one's logits less those of the prior: z_c − τ·log π_c, bias kept.

    π (C,) are the training frequencies; a class without samples is left out. `tau` is a number ≥ 0 (0 is
    joint, 1 is Bayes-optimal for balanced accuracy where softmax(z) is the true posterior), or "validation":
    the τ of highest validation balanced accuracy, from the exact path. Without a head, a plain linear one is
    fitted and τ comes from 3-fold cross-validation. Fitted: ``tau_``, ``head_`` with the adjustment in its
    bias.

    Raises ValueError when τ is to be chosen for a given head without validation data.

    Source: Menon 2021 (arXiv 2007.07314), post-hoc (τ 1, or tuned on validation; here exactly).
    """

    presumes_prior = True

    def __init__(self, *, tau: NonNegative | Literal["validation"] = 1.0):
        self.tau = tau

    def _fit(self, X, rows, head, validation):
        counts = self.class_counts_
        head, self.tau_ = fit_tau(self.tau, X, rows, counts, self._path, head=head, validation=validation)
        self.head_ = shifted(head, -self.tau_ * log_prior(counts))

    def _path(self, X, rows, head):
        counts = self.class_counts_
        return adjustment_path(X, rows, head, log_prior(counts), class_counts=counts)


def shifted(head: Head, by: np.ndarray) -> Head:
    """`head` with `by` (C,) added to its logits, through the bias."""
    bias = 0.0 if head.bias is None else head.bias.astype(np.float64)
    bias = bias + by / head.scale  # logits are scale·(W f + b)
    return Head(head.weight, bias.astype(head.weight.dtype), head.scale, head.cosine)
