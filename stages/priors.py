"""Class priors, and class weights that compensate for them, from training counts.

`class_counts` are the training samples of each class, (C,); a class without any takes no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def log_prior(class_counts: np.ndarray) -> np.ndarray:
    """log π_c = log(n_c/N), (C,) float64; 0 for a class without samples, masked where it matters."""
    return np.log(np.where(class_counts > 0, class_counts, class_counts.sum()) / class_counts.sum())


def class_weights(
    class_counts: np.ndarray, raw: Callable[[np.ndarray], np.ndarray], *, rescale: bool = True
) -> np.ndarray:
    """Weights (C,) float64: ``raw(counts of the classes present)``, 0 for the others.

    With `rescale` they are multiplied by what makes their sum the number of classes present.
    """
    class_counts = np.asarray(class_counts, np.float64)
    weights = np.zeros(len(class_counts))
    weights[class_counts > 0] = raw(class_counts[class_counts > 0])
    return rescaled(weights, class_counts) if rescale else weights


def rescaled(weights: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    """Weights (C,), not all 0, scaled to a sum that is the number of classes present."""
    return weights * ((class_counts > 0).sum() / weights.sum())


def power_weights(class_counts: np.ndarray, rho: float) -> np.ndarray:
    """Weights (C,) ∝ π_c^(−ρ), π_c = n_c/N; their sum is the number of classes present."""
    return class_weights(class_counts, lambda counts: (counts / counts.sum()) ** -rho)


def effective_share(counts: np.ndarray, beta: float) -> np.ndarray:
    """1 − β^n of counts n (C,), β in [0, 1): (1 − β) times the effective number E_n = (1 − β^n)/(1 − β).

    Without the digits that 1 − β^n loses for β near 1.

    Source: Cui 2019 (arXiv 1901.05555), proposition 1.
    """
    return -np.expm1(counts * (np.log(beta) if beta > 0 else -np.inf))


def uniform_bias(num_classes: int) -> float:
    """−log(C−1), the bias with which the sigmoid of each of C classes begins at 1/C; 0 for a single class.

    Source: Lin 2017 (arXiv 1708.02002), section 4.1.
    """
    return -math.log(max(num_classes - 1, 1))


def class_mass(class_counts: np.ndarray) -> np.ndarray:
    """Weight (C,) of one sample of each class when every class present weighs the same: 1/(K·n_c)."""
    present = class_counts > 0
    return np.where(present, 1 / (present.sum() * np.maximum(class_counts, 1)), 0.0)
