"""Logits that do not change while a classifier learns on top of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail.stages.blocks import RESIDENT_BYTES, row_blocks
from longtail.stages.network import Head


def frozen_logits(head: Head, sources: Sequence[np.ndarray], *, columns, dtype) -> list[FrozenLogits]:
    """Logits of `head` over each of `sources`, matrices (N, D), which share ``RESIDENT_BYTES`` of memory."""
    return [
        FrozenLogits(head, source, columns=columns, dtype=dtype, copies=len(sources)) for source in sources
    ]


class FrozenLogits:
    """Logits (N, K) of `head` over features `X` (N, D), K the classes in `columns`; rows come by index.

    They are computed once where `copies` such arrays fit ``RESIDENT_BYTES``, else again at each access.
    """

    def __init__(self, head: Head, X: np.ndarray, *, columns: np.ndarray, dtype, copies: int = 1):
        self.head, self.X, self.columns, self.dtype = head, X, columns, np.dtype(dtype)
        self.kept = None
        if copies * len(X) * len(columns) * self.dtype.itemsize <= RESIDENT_BYTES:
            kept = np.empty((len(X), len(columns)), dtype)
            for block in row_blocks(len(X), max(X.shape[1], head.num_classes)):
                kept[block] = self._computed(block)
            self.kept = kept

    def __getitem__(self, rows) -> np.ndarray:
        return self._computed(rows) if self.kept is None else self.kept[rows]

    def _computed(self, rows) -> np.ndarray:
        return self.head.logits(self.X[rows])[:, self.columns].astype(self.dtype, copy=False)
