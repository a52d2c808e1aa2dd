"""Softmax of scores in numpy: probabilities, cross-entropy and its gradient.

A row's largest score is subtracted before exponentiation: no exponential overflows, and the largest is
exactly 1.
"""

from __future__ import annotations

import numpy as np

CACHED = 2**15  # scores processed at a time, so that several passes over them stay in the processor's cache


def less_largest(scores: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Scores (N, C) less the largest of their row."""
    return np.subtract(scores, scores.max(1, keepdims=True), out=out)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of scores (N, C); 0 for a score of −∞."""
    exponentials = np.exp(less_largest(scores))
    return exponentials / exponentials.sum(1, keepdims=True)


def largest_probability(scores: np.ndarray) -> np.ndarray:
    """The largest of each row's probabilities, (N,)."""
    return 1 / np.exp(less_largest(scores)).sum(1)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log softmax(z)_y, (N,), of scores (N, C) and labels (N,)."""
    z = less_largest(scores)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]


def weighted_cross_entropy(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """Σ_i w_i·CE_i over scores (N, C), and its gradient by the scores (N, C), in their type.

    labels (N,), weights w (N,).
    """
    gradient, value = np.empty_like(scores), 0.0
    step = max(1, CACHED // scores.shape[1])
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        part, weight = less_largest(scores[rows], out=gradient[rows]), weights[rows]
        own = np.arange(len(part)), labels[rows]
        z_own = part[own]
        np.exp(part, out=part)
        total = part.sum(1)
        value += float(weight @ (np.log(total) - z_own))
        part *= (weight / total)[:, None].astype(part.dtype)
        part[own] -= weight.astype(part.dtype)
    return value, gradient
