"""Class priors from training counts."""

from __future__ import annotations

import numpy as np


def log_prior(class_counts: np.ndarray) -> np.ndarray:
    """log π_c = log(n_c/N), (C,) float64; 0 for a class without samples, masked where it matters."""
    return np.log(np.where(class_counts > 0, class_counts, class_counts.sum()) / class_counts.sum())
