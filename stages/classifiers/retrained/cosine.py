"""Cosine classifier re-trained on frozen features."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.sparse import csr_matrix

from longtail.stages.blocks import RESIDENT_BYTES, row_blocks, working_type
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import FLOAT64_EVALUATION, lbfgs, places
from longtail.stages.linear_scores import linear_scores, row_norms, unit_rows
from longtail.stages.network import Head
from longtail.stages.parameters import Positive
from longtail.stages.priors import class_mass
from longtail.stages.softmax import weighted_cross_entropy


@CLASSIFIERS.register("cosine")
class Cosine(LinearClassifier):
    """z_c = scale·cos(W_c, f): a new head of directions, no bias, every class weighing the same.

    W minimises cRT's Σ_i ℓ_i/(C·n_{y_i}) by L-BFGS from the class means' directions: deterministic; the
    objective is not convex, so this is the minimum below that start. There is no weight decay: the
    loss does not depend on ‖W_c‖, a decay would pull it to 0 and move no prediction. `scale` is what
    regularises instead, since no score leaves [−scale, scale]. A zero feature scores 0. With augmented views
    ℓ_i is the mean over a sample's.

    Fitted: ``head_``, its rows of length 1 (0 for a class without samples).

    Source: Gidaris 2018 (arXiv 1804.09458), for the classifier; scale 16 Liu 2019's (1904.05160)
    released code; the objective Kang 2020's (1910.09217) class-balanced re-training.
    """

    uses_views = True

    def __init__(self, *, scale: Positive = 16.0):
        self.scale = scale

    def _fit(self, X, rows, head, validation, views=None):
        directions = fit_directions(views or [X], rows, class_mass(self.class_counts_), float(self.scale))
        self.head_ = Head(directions, None, self.scale, cosine=True)


def fit_directions(sources: list[np.ndarray], rows: np.ndarray, mass: np.ndarray, scale: float) -> np.ndarray:
    """Unit rows (C, D) minimising the mean over `sources` of Σ_i mass[y_i]·CE(scale·cos(W, f_i), y_i).

    `sources` are matrices (N, D) of the same samples, `rows` (N,) labels, `mass` (C,) the weight of a sample
    of each class, 0 for classes that take no part (their rows come out zero).
    """
    X = sources[0]
    taking_part = np.flatnonzero(mass > 0)
    targets, weights = places(taking_part, len(mass))[rows], mass[rows] / len(sources)
    size = X.size * len(sources)
    dtype = working_type(X, size * len(taking_part), FLOAT64_EVALUATION)
    blocks = list(product(range(len(sources)), row_blocks(len(X), X.shape[1] + len(taking_part))))

    def unit_block(place) -> np.ndarray:
        number, block = place
        return unit_rows(sources[number][block].astype(dtype))

    kept = [unit_block(place) for place in blocks] if size * dtype.itemsize <= RESIDENT_BYTES else None

    def passes():
        """(features, targets, weights) of one block after another."""
        for number, place in enumerate(blocks):
            features = unit_block(place) if kept is None else kept[number]
            yield features, targets[place[1]], weights[place[1]]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss at W (K·D,), flattened, and its gradient (K·D,)."""
        W = flat.reshape(len(taking_part), -1)
        norms = row_norms(W)
        U = W / norms
        value, slope = 0.0, np.zeros_like(U)
        for features, labels, shares in passes():
            scores = linear_scores(features, U.astype(dtype), scale=scale)
            loss, residual = weighted_cross_entropy(scores, labels, shares)
            value += loss
            slope += residual.astype(dtype, copy=False).T @ features
        slope -= (slope * U).sum(1, keepdims=True) * U  # along W_c nothing changes
        return value, (scale * slope / norms).ravel()

    start = mean_directions(passes(), len(taking_part), X.shape[1])
    learned = lbfgs(objective, start.ravel(), max_iter=1000).reshape(start.shape)
    directions = np.zeros((len(mass), X.shape[1]))
    directions[taking_part] = unit_rows(learned)
    return directions if X.dtype == np.float64 else directions.astype(np.float32)


def mean_directions(blocks, num_classes: int, num_features: int) -> np.ndarray:
    """Directions (K, D) of the classes' mean unit feature; where that is zero any serves: (1, …, 1)."""
    sums = np.zeros((num_classes, num_features))
    for features, labels, _ in blocks:
        members = np.ones(len(features)), (labels, np.arange(len(features)))
        sums += csr_matrix(members, shape=(num_classes, len(features))) @ features
    sums[~sums.any(1)] = 1.0
    return unit_rows(sums)
