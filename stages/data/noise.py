"""Wrong labels, made on purpose."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import wrong
from longtail.stages.randomness import generator


def flip_labels(
    labels: np.ndarray, indices: np.ndarray, total: int, num_classes: int, *, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """`labels` (N,), each replaced with probability `share` by one of the other C − 1 classes.

    `indices` (N,) are the samples' positions in a pool of `total`. What happens to a sample depends on its
    position and `seed` alone, so that subsets of a pool share their wrong labels.

    Returns the labels (N,) and which of them are wrong (N,) bool. Raises ValueError for a single class.

    Source: Ren 2018 (arXiv 1803.09050), section 4.2, UniformFlip.
    """
    if num_classes < 2:
        raise wrong("label_noise", f"needs at least two classes, got {num_classes}")
    rng = generator(seed, "label noise")
    flipped = (rng.random(total) < share)[indices]
    step = rng.integers(1, num_classes, total)[indices]  # 1..C−1: never back to itself
    return np.where(flipped, (labels + step) % num_classes, labels), flipped
