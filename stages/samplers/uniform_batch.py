"""Mini-batches in which every class has the same number of samples."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import BatchSize
from longtail.stages.samplers import SAMPLERS
from longtail.stages.samplers.base import Sampler


@SAMPLERS.register("uniform_batch")
class UniformBatch(Sampler):
    """Every batch holds the same number of samples of every class.

    A batch is s = `per_class` samples of each of the P classes with samples, shuffled; the batch size, over
    all ranks, must be s·P. An epoch has max(1, ⌊N/(s·P)⌋) batches, with num_samples for N when it is set.

    Inside a batch a class is drawn without replacement while s ≤ n, else its cycle wraps. A class goes round
    one shuffled order, where any s ≤ n neighbours differ, and is shuffled afresh whenever a cycle and a batch
    end together, every lcm(s, n) draws: a shuffle in mid-batch could bring a sample twice. So a class's
    samples differ by at most one in use.

    labels: (N,) integers in 0..C−1; num_classes: C.

    Source: Park, Piao, Kim 2023 (A Study of a Method for Maintaining Accuracy Uniformity When Using
    Long-tailed Dataset), eq. 1, which leaves open how a class's samples are chosen.

    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    >>> sampler = SAMPLERS.create("uniform_batch", labels, 2, seed=0, per_class=2)
    >>> np.sort(labels[sampler.indices().reshape(-1, sampler.batch_size)], axis=1).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """

    def __init__(
        self, labels, num_classes: int, *, seed: int, num_samples: int | None = None, per_class: BatchSize = 1
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        self.per_class = per_class
        self.num_samples = max(1, self.num_samples // self.batch_size) * self.batch_size

    @property
    def batch_size(self) -> int:
        """s·P: samples in a batch, over all ranks."""
        return self.per_class * len(self.present)

    @property
    def required_batch_size(self) -> int:
        return self.batch_size

    def epoch_indices(self, epoch: int) -> np.ndarray:
        """The batches of an epoch one after another, `per_class` samples of every class in each."""
        rng = self._generator(epoch)
        batches = len(self) // self.batch_size
        draw = np.arange(batches * self.per_class)  # of one class in an epoch
        count = self.class_counts[self.present, None]  # (P, 1)
        period = np.lcm(count, self.per_class)  # (P, 1)
        rounds = np.zeros(self.num_classes, np.int64)
        rounds[self.present] = -(-len(draw) // period[:, 0])
        items, begin = self._cycles(rng, rounds)
        place = begin[self.present, None] + draw // period * count + draw % count  # (P, batches·s)
        by_class = items[place].reshape(len(self.present), batches, self.per_class)
        mixed = by_class.transpose(1, 0, 2).reshape(batches, self.batch_size)
        return rng.permuted(mixed, axis=1).ravel()

    def class_probabilities(self, epoch: int) -> np.ndarray:
        return (self.class_counts > 0) / len(self.present)
