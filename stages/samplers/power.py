"""The classes' share of an epoch as a power of their size: p_j = n_j^q / Σ n_i^q."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import BatchSize, NonNegative
from longtail.stages.samplers import SAMPLERS
from longtail.stages.samplers.base import Sampler


@SAMPLERS.register("instance_balanced")
class InstanceBalanced(Sampler):
    """Every sample equally often (q = 1): plain shuffling without replacement.

    p_j = n_j/N. With num_samples > N, fresh shuffles follow each other.

    labels: (N,) integers in 0..C−1; num_classes: C.

    Source: Kang et al. 2020 (arXiv 1910.09217), eq. 1 with q = 1.

    >>> sorted(SAMPLERS.create("instance_balanced", [0, 0, 0, 1], 2, seed=0))
    [0, 1, 2, 3]
    """

    def __init__(self, labels, num_classes: int, *, seed: int, num_samples: int | None = None):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)

    def epoch_indices(self, epoch: int) -> np.ndarray:
        rng, total = self._generator(epoch), len(self.labels)
        rounds = -(-len(self) // total)
        return np.concatenate([rng.permutation(total) for _ in range(rounds)])[: len(self)]

    def class_probabilities(self, epoch: int) -> np.ndarray:
        return self.class_counts / len(self.labels)


@SAMPLERS.register("class_balanced")
class ClassBalanced(Sampler):
    """Every class equally often (q = 0): a shuffled cycle over classes, a few samples of each at a time.

    p_j = 1/P over the P classes with samples. Classes follow in a shuffled cycle; each visit takes the next
    k = `samples_per_class` samples of that class's own shuffled cycle. Both cycles are shuffled afresh each
    time round, so classes differ by at most k draws in an epoch, and the samples of a class by at most one.

    labels: (N,) integers in 0..C−1; num_classes: C.

    Source: Shen, Lin, Huang 2016 (class-aware sampling, arXiv 1512.05830); Kang et al. 2020 (1910.09217),
    eq. 1 with q = 0. Kang's released code, with k = 4, draws C·n_max samples an epoch, this one num_samples.

    >>> sampler = SAMPLERS.create("class_balanced", [0, 0, 0, 0, 0, 1], 2, seed=0, num_samples=8)
    >>> [index == 5 for index in sampler].count(True)
    4
    """

    def __init__(
        self,
        labels,
        num_classes: int,
        *,
        seed: int,
        num_samples: int | None = None,
        samples_per_class: BatchSize = 4,
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        self.samples_per_class = samples_per_class

    def epoch_indices(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch)
        visits = -(-len(self) // self.samples_per_class)
        rounds = -(-visits // len(self.present))
        classes = np.tile(self.present.astype(self.labels.dtype), (rounds, 1))  # (rounds, P)
        visited = rng.permuted(classes, axis=1).ravel()[:visits]
        return self._walk(rng, np.repeat(visited, self.samples_per_class)[: len(self)])

    def class_probabilities(self, epoch: int) -> np.ndarray:
        return (self.class_counts > 0) / len(self.present)


@SAMPLERS.register("square_root", q=0.5)
@SAMPLERS.register("power")
class Power(Sampler):
    """Classes in proportion to a power of their size, independent draws with replacement.

    p_j = n_j^q / Σ n_i^q, then uniform in the class; q = 1/2 is square-root sampling, q = 1 gives class
    frequencies, q = 0 every class with samples the same.

    labels: (N,) integers in 0..C−1; num_classes: C.

    Source: Kang et al. 2020 (arXiv 1910.09217), eq. 1; q = 1/2 Mahajan et al. 2018 (1805.00932).

    >>> SAMPLERS.create("power", [0, 0, 0, 0, 1], 2, seed=0, q=0.5).class_probabilities(0).round(3).tolist()
    [0.667, 0.333]
    """

    def __init__(
        self, labels, num_classes: int, *, seed: int, num_samples: int | None = None, q: NonNegative = 0.5
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        self.q = q

    def epoch_indices(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch)
        return self._draw_within(rng, self._draw_classes(rng, self.class_probabilities(epoch)))

    def class_probabilities(self, epoch: int) -> np.ndarray:
        size = self.class_counts / self.class_counts.max()  # in [0, 1]: no power overflows
        mass = np.where(size > 0, size**self.q, 0.0)  # 0**0 is 1, yet an empty class has nothing to draw
        return mass / mass.sum()
