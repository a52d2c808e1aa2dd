"""From instance-balanced in the first epoch to class-balanced in the last."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import Epochs, Problem, Problems
from longtail.stages.samplers import SAMPLERS
from longtail.stages.samplers.base import Sampler


@SAMPLERS.register("progressively_balanced")
class ProgressivelyBalanced(Sampler):
    """From class frequencies in the first epoch to equal classes in the last.

    p_j = (1 − λ)·n_j/N + λ/P over the P classes with samples, λ = e/(E − 1) for epoch e = 0..E−1, 1 beyond,
    and 0 when E = 1. Independent classes, each walked in its own shuffled cycle.

    labels: (N,) integers in 0..C−1; num_classes: C; epochs: E, which a configured run fills in from its own.
    Raises ValueError without it.

    Source: Kang et al. 2020 (arXiv 1910.09217), eq. 2. The paper writes λ = t/T; its released code, as here,
    spaces λ evenly from 0 to 1 over the epochs.

    >>> sampler = SAMPLERS.create("progressively_balanced", [0, 0, 0, 1], 2, seed=0, epochs=3)
    >>> [sampler.class_probabilities(e).tolist() for e in range(3)]
    [[0.75, 0.25], [0.625, 0.375], [0.5, 0.5]]
    """

    changes_by_epoch = True

    def __init__(
        self,
        labels,
        num_classes: int,
        *,
        seed: int,
        num_samples: int | None = None,
        epochs: Epochs | None = None,
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        if epochs is None:
            rule = "must be an integer ≥ 1, the epochs progressively_balanced is spread over, got null"
            raise Problems([Problem("epochs", rule)])
        self.epochs = epochs

    def epoch_indices(self, epoch: int) -> np.ndarray:
        rng = self._generator(epoch)
        return self._walk(rng, self._draw_classes(rng, self.class_probabilities(epoch)))

    def class_probabilities(self, epoch: int) -> np.ndarray:
        progress = min(epoch / (self.epochs - 1), 1.0) if self.epochs > 1 else 0.0
        by_instance = self.class_counts / len(self.labels)
        by_class = (self.class_counts > 0) / len(self.present)
        return (1 - progress) * by_instance + progress * by_class
