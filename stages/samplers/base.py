"""What every sampler shares: checked labels, epochs, resuming, and the two ways to draw inside a class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from longtail.stages.parameters import Count, Index, Seed, check_value
from longtail.stages.randomness import generator


class Sampler:
    """Dataset indices, one epoch at a time; see :mod:`longtail.stages.samplers` for the contract.

    A subclass says what an epoch holds (`epoch_indices`) and what that means for the classes
    (`class_probabilities`).

    Class attributes say what the program has to know of a sampler. They are literals, read from the source:

    - ``required_batch_size``: the one batch size it is made for, over all ranks, None for any; where a
      parameter decides it is a property, and an instance has to be asked;
    - ``changes_by_epoch``: True when ``class_probabilities`` depends on the epoch.

    labels: (N,) integers in 0..C−1, array-like or tensor. num_classes: C; a class may have no sample.
    seed: an integer ≥ 0. num_samples: draws an epoch, default N. Raises ValueError naming the field, the rule
    and the value.
    """

    required_batch_size: int | None = None
    changes_by_epoch = False

    def __init__(self, labels, num_classes: int, *, seed: int, num_samples: int | None = None):
        self.num_classes = _checked("num_classes", Count, num_classes)
        self.labels = _checked_labels(labels, self.num_classes)  # (N,)
        self.seed = _checked("seed", Seed, seed)
        self.num_samples = (
            len(self.labels) if num_samples is None else _checked("num_samples", Count, num_samples)
        )
        self.class_counts = np.bincount(self.labels, minlength=self.num_classes)  # (C,)
        self.present = np.flatnonzero(self.class_counts)  # (P,) classes with at least one sample
        self.epoch = self.start = 0

    def epoch_indices(self, epoch: int) -> np.ndarray:
        """The whole stream of an epoch, (len,) int64: a pure function of (seed, epoch)."""
        raise NotImplementedError

    def class_probabilities(self, epoch: int) -> np.ndarray:
        """The share of an epoch's draws each class expects, (C,) float64, summing to 1."""
        raise NotImplementedError

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Iterate over `epoch` (from 0) next, beginning at position `start` of its stream.

        Raises ValueError when `epoch` is negative or `start` lies outside 0..len.
        """
        epoch, start = _checked("epoch", Index, epoch), _checked("start", Index, start)
        if start > len(self):
            raise ValueError(f"start: must be ≤ {len(self)}, the length of an epoch, got {start}")
        self.epoch, self.start = epoch, start

    def indices(self) -> np.ndarray:
        """What iteration yields: the current epoch from `start` on, (len − start,) int64."""
        return self.epoch_indices(self.epoch)[self.start :]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices().tolist())

    def __len__(self) -> int:
        """Draws in a whole epoch, wherever iteration starts."""
        return self.num_samples

    # -- drawing ----------------------------------------------------------------------------------------

    def _generator(self, epoch: int) -> np.random.Generator:
        return generator(self.seed, "sampler", epoch)

    @cached_property
    def _rows(self) -> np.ndarray:
        """Dataset indices class after class, (N,); class c's begin at ``_first[c]``."""
        return np.argsort(self.labels, kind="stable")

    @cached_property
    def _first(self) -> np.ndarray:
        return np.cumsum(self.class_counts) - self.class_counts  # (C,)

    def _draw_classes(self, rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
        """Independent classes by `probabilities` (C,), one for each draw of an epoch, (len,)."""
        drawn = rng.choice(self.num_classes, size=len(self), p=probabilities)
        return drawn.astype(self.labels.dtype)

    def _draw_within(self, rng: np.random.Generator, drawn: np.ndarray) -> np.ndarray:
        """An independent uniform sample of each class in `drawn` (n,): dataset indices (n,)."""
        return self._rows[self._first[drawn] + rng.integers(self.class_counts[drawn])]

    def _walk(self, rng: np.random.Generator, drawn: np.ndarray) -> np.ndarray:
        """The next sample in its class's own cycle for each class in `drawn` (n,): dataset indices (n,).

        A cycle is a fresh shuffle each time round, so a class's samples differ by at most one in use.
        """
        draws = np.bincount(drawn, minlength=self.num_classes)  # (C,)
        items, begin = self._cycles(rng, -(-draws // np.maximum(self.class_counts, 1)))
        before = np.cumsum(draws) - draws  # (C,) draws of lower classes
        place = np.arange(len(drawn)) + np.repeat(begin - before, draws)
        walked = np.empty(len(drawn), np.int64)
        walked[np.argsort(drawn, kind="stable")] = items[place]
        return walked

    def _cycles(self, rng: np.random.Generator, rounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`rounds[c]` fresh shuffles of class c's samples for each class, end to end, and where each begins.

        rounds: (C,). Returns dataset indices (Σ rounds·n,) and offsets (C,) into them.
        """
        sizes = rounds * self.class_counts  # (C,)
        begin = np.cumsum(sizes) - sizes
        items = np.empty(sizes.sum(), np.int64)
        for c in np.flatnonzero(sizes):
            first, count = self._first[c], self.class_counts[c]
            lap = items[begin[c] : begin[c] + sizes[c]].reshape(rounds[c], count)
            lap[:] = self._rows[first : first + count]
            rng.permuted(lap, axis=1, out=lap)
        return items, begin


def _checked(field: str, rule: Any, value: Any) -> Any:
    try:
        return check_value(rule, value)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _checked_labels(labels, num_classes: int) -> np.ndarray:
    """Labels (N,) in the smallest unsigned type that holds C−1: little memory, and sorted by radix."""
    labels = np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)
    if labels.ndim != 1 or not labels.size:
        raise ValueError(
            f"labels: must be one integer a sample, shape (N,) with N ≥ 1, got shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels: must be integers, got {labels.dtype}")
    for extreme in (labels.min(), labels.max()):
        if not 0 <= extreme < num_classes:
            raise ValueError(f"labels: must lie in 0..{num_classes - 1} (num_classes − 1), got {extreme}")
    return labels.astype(np.min_scalar_type(num_classes - 1), copy=False)
