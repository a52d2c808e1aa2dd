"""Convex objectives over linear scores, minimised by L-BFGS."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from longtail.stages.blocks import RESIDENT_BYTES, row_blocks, working_type
from longtail.stages.network import Head
from longtail.stages.softmax import weighted_cross_entropy

WEIGHT_DECAY = 5e-4  # Kang 2020's released code, for every classifier it trains
STALLED = 1e-4  # scikit-learn's default tolerance: a line search that gives up above it found no optimum
FLOAT64_EVALUATION = 2e10  # multiplications: an evaluation of the objective with no more is in float64


def places(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Each class's place among `classes` (K,), (num_classes,); −1 for the others."""
    place = np.full(num_classes, -1)
    place[classes] = np.arange(len(classes))
    return place


def fit_linear(
    X: np.ndarray,
    rows: np.ndarray,
    mass: np.ndarray,
    *,
    weight_decay: float,
    views: list[np.ndarray] | None = None,
    offset: np.ndarray | None = None,
    max_iter: int = 1000,
) -> Head:
    """The head minimising Σ_i mass[y_i]·CE_i + weight_decay/2·(‖W‖² + ‖b‖²).

    `X` (N, D), `rows` (N,) labels, `mass` (C,) the weight of a sample of each class, 0 for classes that take
    no part (their rows come out zero). With `views`, each (N, D), CE_i is the mean over a sample's views.
    CE is that of W f + b + `offset` (C,), the head W f + b alone. Deterministic: starts from zero. Warns when
    `max_iter` runs out.
    """
    sources = views or [X]
    taking_part = np.flatnonzero(mass > 0)
    targets, weights = places(taking_part, len(mass))[rows], mass[rows] / len(sources)
    shift = 0.0 if offset is None else offset[taking_part]
    shape = (len(taking_part), X.shape[1] + 1)
    size = X.size * len(sources)
    dtype = working_type(X, size * len(taking_part), FLOAT64_EVALUATION)
    blocks = list(row_blocks(len(X), X.shape[1] + len(taking_part)))
    if size * dtype.itemsize <= RESIDENT_BYTES:
        sources = [source.astype(dtype) for source in sources]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss at W and b (K·(D + 1),), flattened, and its gradient, as long."""
        theta = flat.reshape(shape)
        W, b = theta[:, :-1].astype(dtype), theta[:, -1]
        value, gradient = 0.5 * weight_decay * flat @ flat, weight_decay * theta
        for source, block in product(sources, blocks):
            features = source[block].astype(dtype, copy=False)
            loss, residual = weighted_cross_entropy(
                features @ W.T + (b + shift), targets[block], weights[block]
            )
            value += loss
            gradient[:, :-1] += residual.astype(dtype, copy=False).T @ features
            gradient[:, -1] += residual.sum(0)
        return value, gradient.ravel()

    theta = lbfgs(objective, np.zeros(shape).ravel(), max_iter=max_iter).reshape(shape)
    weight = np.zeros((len(mass), X.shape[1]))
    bias = np.zeros(len(mass))
    weight[taking_part], bias[taking_part] = theta[:, :-1], theta[:, -1]
    if X.dtype != np.float64:
        weight, bias = weight.astype(np.float32), bias.astype(np.float32)
    return Head(weight, bias)


def fit_plain_head(X: np.ndarray, rows: np.ndarray, num_classes: int) -> Head:
    """A linear head fitted with every sample weighing the same: what stage one's head would be."""
    mass = np.where(np.bincount(rows, minlength=num_classes) > 0, 1 / len(rows), 0.0)
    return fit_linear(X, rows, mass, weight_decay=WEIGHT_DECAY)


def lbfgs(objective, start: np.ndarray, *, max_iter: int, tolerance: float = 1e-7) -> np.ndarray:
    """Minimise `objective(x) → (value, gradient)` until no gradient entry exceeds `tolerance`."""
    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "maxls": 50, "gtol": tolerance, "ftol": 1e-14}
    result = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    stalled = not result.success and np.abs(result.jac).max() > STALLED  # else: as far as rounding allows
    if result.status == 1 or stalled:
        message = f"L-BFGS stopped after {result.nit} iterations ({result.message})"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    return result.x
