"""Nearest class mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.linear_scores import unit_rows


@CLASSIFIERS.register("ncm")
class NCM(Classifier):
    """The class whose mean feature is nearest, found by faiss.

    `feature`: none; l2 (rows normalised); centered_l2 (the mean training feature subtracted, then rows
    normalised). Class means are of transformed features and are not normalised again. `distance`: euclidean;
    cosine (both sides normalised); dot (query · mean, the reference code's "cos"). A zero vector stays zero;
    a class without samples scores −∞. Scores are −‖f − μ‖², cosines or dot products.

    Fitted: ``centroids_`` (C, D) float64, ``center_`` (D,).

    Source: Kang 2020 (arXiv 1910.09217), section 4.1; its released code uses centered_l2, euclidean.
    """

    gives_logits = False

    def __init__(
        self,
        *,
        feature: Literal["none", "l2", "centered_l2"] = "centered_l2",
        distance: Literal["euclidean", "cosine", "dot"] = "euclidean",
    ):
        self.feature = feature
        self.distance = distance

    def _fit(self, X, rows, head, validation):
        self.center_ = np.zeros(X.shape[1])
        if self.feature == "centered_l2":
            self.center_ = np.mean(X, axis=0, dtype=np.float64)
        sums = np.zeros((len(self.classes_), X.shape[1]))
        for block in row_blocks(len(X), X.shape[1]):
            features = self._transform(X[block])
            members = np.ones(len(features)), (rows[block], np.arange(len(features)))
            sums += csr_matrix(members, shape=(len(self.classes_), len(features))) @ features
        self.centroids_ = sums / np.maximum(self.class_counts_, 1)[:, None]

    def _scores(self, X) -> np.ndarray:
        import faiss

        features, centroids = self._transform(X), self.centroids_
        if self.distance == "euclidean":
            middle = self._middle().astype(features.dtype)
            metric, features, centroids = faiss.METRIC_L2, features - middle, centroids - middle
        else:
            metric = faiss.METRIC_INNER_PRODUCT
            if self.distance == "cosine":
                features, centroids = unit_rows(features), unit_rows(centroids)
        scores = faiss.pairwise_distances(_single(features), _single(centroids), metric)
        return np.negative(scores, out=scores) if self.distance == "euclidean" else scores

    def _linear_form(self) -> LinearForm:
        center = self.center_ if self.feature == "centered_l2" else None
        if self.distance == "euclidean":  # −‖g − μ‖² = 2 g·μ − ‖μ‖² − ‖g‖²
            middle, unit = self._middle(), self.feature != "none"
            means = self.centroids_ - middle
            return LinearForm(2 * means, -np.square(means).sum(1), center, unit, middle, distance=True)
        cosine = self.distance == "cosine"
        means = unit_rows(self.centroids_) if cosine else self.centroids_
        return LinearForm(means, np.zeros(len(means)), center, unit=cosine or self.feature != "none")

    def _middle(self) -> np.ndarray:
        """The mean of the class means (D,): in float32, with it taken out, ‖f − μ‖² loses no digits to it."""
        return self.centroids_[self.class_counts_ > 0].mean(0)

    def _transform(self, X) -> np.ndarray:
        """Features (N, D) as they are compared, in float64 if `X` is, else in float32."""
        features = X.astype(np.float64 if X.dtype == np.float64 else np.float32, copy=False)
        if self.feature == "centered_l2":
            features = features - self.center_.astype(features.dtype)
        return features if self.feature == "none" else unit_rows(features)


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)
