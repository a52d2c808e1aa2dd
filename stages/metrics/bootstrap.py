"""The paired bootstrap: a confidence interval for the difference between two methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from longtail.stages.randomness import generator

DRAWS = 2000
LEVEL = 0.95


class Difference(NamedTuple):
    """Balanced accuracy of one method less the other's, fractions: its mean and a 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(
    one: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    same_samples: Sequence[object] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Difference in balanced accuracy of two methods over runs paired by seed, with a percentile interval.

    `one`, `other`: for each of S runs whether each test sample was classified correctly, (N_s,) bool;
    `labels` (N_s,) their classes. Test samples are drawn anew within their class, the same for both methods,
    and runs are drawn anew among the S. Runs with equal entries in `same_samples` (default: all) were judged
    on the same samples in the same order, which are then drawn together.

    Raises ValueError for runs of unequal number or length, and for runs with an equal entry in `same_samples`
    whose labels differ.

    Source: Efron, Tibshirani 1993, An introduction to the bootstrap, chapters 8 and 13 (percentile interval).
    """
    if not len(one) == len(other) == len(labels) or not len(one):
        raise ValueError(f"runs: must be paired, got {len(one)}, {len(other)} and {len(labels)}")
    groups = [0] * len(one) if same_samples is None else list(same_samples)
    gaps = [np.asarray(a, np.int8) - np.asarray(b, np.int8) for a, b in zip(one, other, strict=True)]
    if any(gap.shape != np.shape(y) for gap, y in zip(gaps, labels, strict=True)):
        raise ValueError("runs: hits and labels must have one entry a sample")
    first = {group: labels[groups.index(group)] for group in groups}
    if not all(np.array_equal(y, first[group]) for y, group in zip(labels, groups, strict=True)):
        raise ValueError("same_samples: runs on the same samples must have the same labels in the same order")
    rng = generator(seed, "paired bootstrap")
    observed, drawn = np.empty(len(gaps)), np.empty((draws, len(gaps)))
    for group in dict.fromkeys(groups):
        rows = [row for row, g in enumerate(groups) if g == group]
        observed[rows], drawn[:, rows] = _resample(
            np.stack([gaps[row] for row in rows], 1), np.asarray(first[group]), draws, rng
        )
    picked = rng.integers(len(gaps), size=(draws, len(gaps)))
    means = np.take_along_axis(drawn, picked, 1).mean(1)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Difference(float(observed.mean()), float(low), float(high))


def _resample(gaps: np.ndarray, labels: np.ndarray, draws: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Mean gap over classes of each run (R,), and of `draws` resamples (draws, R); `gaps` (N, R)."""
    observed, drawn = np.zeros(gaps.shape[1]), np.zeros((draws, gaps.shape[1]))
    classes = np.unique(labels)
    for c in classes:
        # Samples with the same gaps are alike: how often each kind is drawn is multinomial.
        kinds, counts = np.unique(gaps[labels == c], axis=0, return_counts=True)
        total = counts.sum()
        observed += counts @ kinds / total
        drawn += rng.multinomial(total, counts / total, size=draws) @ kinds / total
    return observed / len(classes), drawn / len(classes)
