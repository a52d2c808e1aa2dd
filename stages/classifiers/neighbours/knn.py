"""k nearest neighbours."""

from __future__ import annotations

from typing import Literal

import numpy as np

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.linear_scores import unit_rows
from longtail.stages.parameters import Count

SPARE = 8  # candidates beyond k: faiss orders in float32, and what it takes for near equals is ordered again


@CLASSIFIERS.register("knn")
class KNN(Classifier):
    """Votes of the k nearest training features, found by faiss, each weighing 1/distance.

    The Euclidean distance is measured again in float64; where one of the k is 0, only those at 0 vote, 1
    each (scikit-learn's ``weights="distance"``). At equal distance the earlier training sample is nearer (of
    more than 8 equals, those faiss found). `k` beyond the number of training samples N means all. `vote`
    class_balanced divides a vote by the training samples of its class. `feature`: none; l2 (rows
    normalised); centered_l2 (the mean training feature subtracted, then rows normalised). Scores (N, C) are
    shares of the votes and sum to 1.

    Every training feature is kept, in float32: N·D·4 bytes.

    Fitted: ``features_`` (N, D) float32, ``rows_`` (N,) their classes, ``center_`` (D,).

    Scoring raises ValueError for features too large for float32 distances.

    Source: Dudani 1976 (IEEE Transactions on Systems, Man, and Cybernetics 6) for distance weights; Tan 2005
    (Expert Systems with Applications 28) for class_balanced; `feature` as in Kang 2020 (arXiv 1910.09217).
    """

    gives_logits = False

    def __init__(
        self,
        *,
        k: Count = 5,
        vote: Literal["plain", "class_balanced"] = "plain",
        feature: Literal["none", "l2", "centered_l2"] = "centered_l2",
    ):
        self.k = k
        self.vote = vote
        self.feature = feature

    def _fit(self, X, rows, head, validation):
        self.center_ = np.zeros(X.shape[1])
        if self.feature != "l2":  # no distance changes by it, but float32 keeps digits a common offset eats
            self.center_ = np.mean(X, axis=0, dtype=np.float64)
        self.features_ = np.empty(X.shape, np.float32)
        for block in row_blocks(len(X), X.shape[1]):
            self.features_[block] = self._transform(X[block])
        self.rows_ = rows.astype(np.int64)

    def _scores(self, X) -> np.ndarray:
        queries = self._transform(X)
        scores = np.empty((len(X), len(self.classes_)))
        candidates = min(self.k + SPARE, len(self.rows_))
        for block in row_blocks(len(X), candidates * X.shape[1]):
            scores[block] = self._shares(*self._neighbours(queries[block], candidates))
        return scores

    def _linear_form(self):
        raise ValueError(
            "knn: compares with every training feature, so that it has neither a linear form nor a module; "
            "every other classifier has"
        )

    def _neighbours(self, queries, candidates: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (B, k) float64 and indices (B, k) of the nearest training features."""
        import faiss

        _, nearby = faiss.knn(queries, self.features_, candidates)  # an index would copy the features
        if (nearby < 0).any():
            raise ValueError("features: distances leave float32's range; scale them or set feature: l2")
        nearby.sort(axis=1)  # ties go to the earlier sample
        apart = self.features_[nearby].astype(np.float64)
        apart -= queries[:, None]
        squared = np.square(apart, out=apart).sum(2)
        nearest = np.argsort(squared, axis=1, kind="stable")[:, : self.k]
        return np.take_along_axis(squared, nearest, 1), np.take_along_axis(nearby, nearest, 1)

    def _shares(self, squared, neighbours) -> np.ndarray:
        """Vote shares (B, C)."""
        exact = squared == 0
        votes = np.where(exact.any(1, keepdims=True), exact, 1 / np.sqrt(np.where(exact, 1.0, squared)))
        labels = self.rows_[neighbours]
        if self.vote == "class_balanced":
            votes = votes / self.class_counts_[labels]
        shares = np.zeros((len(votes), len(self.classes_)))
        np.add.at(shares, (np.arange(len(votes))[:, None], labels), votes)
        return shares / shares.sum(1, keepdims=True)

    def _transform(self, X) -> np.ndarray:
        features = X.astype(np.float64) - self.center_
        features = features if self.feature == "none" else unit_rows(features)
        return np.ascontiguousarray(features, np.float32)
