"""Scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np

from longtail.stages.blocks import RESIDENT_BYTES
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.network import Head
from longtail.stages.parameters import Count, Positive


@CLASSIFIERS.register("logreg")
class LogReg(LinearClassifier):
    """scikit-learn's LogisticRegression with class_weight "balanced": an oracle and a baseline.

    Minimises C·Σ_i w_{y_i}·ℓ_i + ‖W‖²/2 with w_c = N/(K·n_c), K the classes present, the bias not penalised:
    up to that cRT's objective with weight decay 1/(C·N). `max_iter` bounds L-BFGS, whose tolerance is
    scikit-learn's default. scikit-learn holds a converted copy of all features: float64 up to 1 GiB of it,
    float32 beyond. For two classes its one row w becomes −w/2 and w/2, whose softmax is the same. A single
    class gets a zero row.

    Fitted: ``head_``, ``n_iter_`` of L-BFGS.

    Source: Pedregosa 2011 (arXiv 1201.0490), class_weight and defaults of the library.
    """

    def __init__(self, *, C: Positive = 1.0, max_iter: Count = 1000):
        self.C = C
        self.max_iter = max_iter

    def _fit(self, X, rows, head, validation):
        weight, bias = np.zeros((len(self.classes_), X.shape[1])), np.zeros(len(self.classes_))
        present = np.flatnonzero(self.class_counts_)
        self.n_iter_ = 0
        if len(present) > 1:
            model = self._fitted_model(X, rows)
            weight[present], bias[present] = coefficients(model)
            self.n_iter_ = int(model.n_iter_.max())
        if X.dtype != np.float64:
            weight, bias = weight.astype(np.float32), bias.astype(np.float32)
        self.head_ = Head(weight, bias)

    def _fitted_model(self, X, rows):
        from sklearn.linear_model import LogisticRegression

        dtype = np.float64 if X.size * 8 <= RESIDENT_BYTES else np.float32
        model = LogisticRegression(C=self.C, max_iter=self.max_iter, class_weight="balanced")
        return model.fit(X.astype(dtype, copy=False), rows)


def coefficients(model) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, D) and biases (K,) of a scikit-learn linear classifier of K classes, two rows for two."""
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
