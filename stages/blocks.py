"""Row blocks: large arrays are worked on piece by piece, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_BYTES = 64 * 2**20
RESIDENT_BYTES = 2**30  # what may be kept converted between passes, rather than made again in each


def row_blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of `count` rows, each small enough that (rows, width) float64 stays within the block size."""
    step = max(1, BLOCK_BYTES // (8 * max(width, 1)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
