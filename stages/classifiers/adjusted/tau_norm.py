"""τ-normalised classifier, with its accuracy known exactly for every τ at once."""

from __future__ import annotations

from typing import Literal

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.accuracy_path import TauPath
from longtail.stages.classifiers.tools.paths import fit_tau, tau_path
from longtail.stages.linear_scores import row_norms
from longtail.stages.network import Head
from longtail.stages.parameters import NonNegative

LARGEST_POWER = 60.0  # float32 ends near e^±88; the rest is room for weights and features


def _normalised(weight: np.ndarray, tau: float) -> np.ndarray:
    """W_c/‖W_c‖^τ (C, D). Where that leaves float32's range, what all rows share is divided out."""
    power = -tau * np.log(row_norms(weight.astype(np.float64)))  # (C, 1)
    if np.abs(power).max() > LARGEST_POWER:
        power -= power[weight.any(axis=1)].max()  # a common factor changes no prediction
    return (weight * np.exp(power)).astype(weight.dtype)


@CLASSIFIERS.register("tau_norm")
class TauNorm(LinearClassifier):
    """Stage one's weights divided by their norms: W_c/‖W_c‖^τ, bias dropped; a zero row stays zero.

    `tau` is a number ≥ 0, or "validation": the τ of highest validation balanced accuracy, from the exact path
    (:func:`tau_path`) instead of a grid. Without a head, a plain linear one is fitted and τ comes from 3-fold
    cross-validation. Fitted: ``tau_``.

    Raises ValueError when τ is to be chosen for a given head without validation data.

    Source: Kang 2020 (arXiv 1910.09217), section 4.1 and appendix B.4 (grid there, exact here).
    """

    chooses_under_cosine = False  # the rows have length 1 already: every τ predicts alike

    def __init__(self, *, tau: NonNegative | Literal["validation"] = "validation"):
        self.tau = tau

    def _fit(self, X, rows, head, validation):
        # Of a head of cosines the rows have length 1 already: every τ predicts alike, and none is chosen.
        nothing_to_choose = head is not None and head.cosine and self.tau == "validation"
        tau, counts = 0.0 if nothing_to_choose else self.tau, self.class_counts_
        head, self.tau_ = fit_tau(tau, X, rows, counts, self._path, head=head, validation=validation)
        self.head_ = Head(_normalised(head.weight, self.tau_), None, head.scale, head.cosine)

    def _path(self, X, rows, head) -> TauPath:
        return tau_path(X, rows, head.weight, class_counts=self.class_counts_)
