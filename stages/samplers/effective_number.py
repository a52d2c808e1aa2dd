"""Samples weighted by the inverse effective number of their class (CB-RS)."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import Beta
from longtail.stages.priors import effective_share
from longtail.stages.samplers import SAMPLERS
from longtail.stages.samplers.base import Sampler


@SAMPLERS.register("effective_number")
class EffectiveNumber(Sampler):
    """Every sample weighted by the inverse effective number of its class, with replacement.

    p_j ∝ n_j/E_{n_j}, E_n = (1 − β^n)/(1 − β), then uniform in the class. β = 0 gives class frequencies,
    β → 1 every class with samples the same.

    labels: (N,) integers in 0..C−1; num_classes: C; beta: β in [0, 1).

    Source: E_n: Cui et al. 2019 (arXiv 1901.05555), proposition 1; as resampling (CB-RS) with β = .9999:
    Cao et al. 2019 (1906.07413).

    >>> sampler = SAMPLERS.create("effective_number", [0, 0, 0, 0, 1], 2, seed=0, beta=0.5)
    >>> sampler.class_probabilities(0).round(3).tolist()
    [0.681, 0.319]
    """

    def __init__(
        self, labels, num_classes: int, *, seed: int, num_samples: int | None = None, beta: Beta = 0.9999
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        self.beta = beta

    def epoch_indices(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch)
        return self._draw_within(rng, self._draw_classes(rng, self.class_probabilities(epoch)))

    def class_probabilities(self, epoch: int) -> np.ndarray:
        counts = self.class_counts[self.present]
        mass = np.zeros(self.num_classes)
        mass[self.present] = counts / effective_share(counts, self.beta)
        return mass / mass.sum()
