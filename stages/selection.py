"""Choosing a hyper-parameter without the data it will be evaluated on."""

from __future__ import annotations

import numpy as np

FOLDS = 3

NEEDS_VALIDATION = "the head was trained on these samples; pass validation=(X, y)"


def round_robin_folds(rows: np.ndarray, folds: int = FOLDS) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training indices, held-out indices) of each fold over labels `rows` (N,).

    Samples are dealt in turn within each class; a class's only sample is always in training, so every
    training side holds every class. Folds that hold nothing out are omitted.
    """
    fold = np.empty(len(rows), np.int64)
    for c in np.unique(rows):
        members = np.flatnonzero(rows == c)
        fold[members] = np.arange(len(members)) % folds if len(members) > 1 else -1
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    return [(train, held) for train, held in pairs if len(held)]
