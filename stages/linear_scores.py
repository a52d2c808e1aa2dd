"""Linear and cosine scores, of numpy arrays and torch tensors alike.

One rule for rows without a direction: a zero row divided by its norm stays zero, and its gradient is finite.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional as F

Rows = TypeVar("Rows", np.ndarray, torch.Tensor)


def row_norms(rows: Rows) -> Rows:
    """What rows (N, D) are divided by to have length 1, (N, 1): their L2 norms, 1 for a zero row."""
    if isinstance(rows, torch.Tensor):
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return torch.where(norms > 0, norms, 1.0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > 0, norms, 1)


def unit_rows(rows: Rows) -> Rows:
    """Rows (N, D) divided by their L2 norms; a zero row stays zero."""
    return rows / row_norms(rows)


def linear_scores(
    features: Rows, weight: Rows, bias: Rows | None = None, *, scale: float = 1.0, cosine: bool = False
) -> Rows:
    """scale·(W f + b), (N, C), of features (N, D), W (C, D) and b (C,) or None for zero.

    With `cosine` the features and the rows of W are divided by their norms first: scale·cos(W_c, f).
    """
    if cosine:
        features, weight = unit_rows(features), unit_rows(weight)
    if isinstance(features, torch.Tensor):
        scores = F.linear(features, weight, bias)
    else:
        scores = features @ weight.T
        if bias is not None:
            scores += bias
    return scores if scale == 1 else scores * scale
