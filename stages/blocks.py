"""Large arrays processed in blocks of rows, in bounded memory, and in float64 while that is cheap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BLOCK_BYTES = 64 * 2**20
RESIDENT_BYTES = 2**30  # most that is kept between passes over an array; beyond, each pass computes it again


def row_blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, each small enough that (rows, width) float64 stays within the block size."""
    step = max(1, BLOCK_BYTES // (8 * max(width, 1)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def working_type(X: np.ndarray, work: float, limit: float) -> np.dtype:
    """float64 for features `X` in float64 and for `work` up to `limit`, else float32."""
    import numpy as np

    return np.dtype(np.float64 if X.dtype == np.float64 or work <= limit else np.float32)
