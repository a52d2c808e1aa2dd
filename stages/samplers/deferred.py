"""Instance-balanced first, another sampler later (DRS)."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import Index, Problem, Problems, SamplerSpec
from longtail.stages.registry import split_spec
from longtail.stages.samplers import SAMPLERS
from longtail.stages.samplers.base import Sampler
from longtail.stages.samplers.power import InstanceBalanced


@SAMPLERS.register("deferred")
class Deferred(Sampler):
    """Instance-balanced before an epoch, another sampler from it on (DRS).

    p_j = n_j/N for e < `start_epoch`, then that of the sampler `then` (a name or {name, ...parameters}) at e.
    It counts the run's epochs, so a progressively_balanced `then` begins at the λ of `start_epoch`; its
    `epochs` must be given. With a `then` made for one batch size (uniform_batch) every epoch has its length
    and needs that batch size.

    labels: (N,) integers in 0..C−1; num_classes: C. Raises ValueError for a `then` that cannot be made.

    Source: Cao et al. 2019 (arXiv 1906.07413), deferred re-balancing by resampling (DRS).

    >>> sampler = SAMPLERS.create("deferred", [0, 0, 0, 1], 2, seed=0, start_epoch=160)
    >>> [sampler.class_probabilities(e).tolist() for e in (159, 160)]
    [[0.75, 0.25], [0.5, 0.5]]
    """

    changes_by_epoch = True

    def __init__(
        self,
        labels,
        num_classes: int,
        *,
        seed: int,
        num_samples: int | None = None,
        start_epoch: Index,
        then: SamplerSpec = "class_balanced",
    ):
        super().__init__(labels, num_classes, seed=seed, num_samples=num_samples)
        self.start_epoch = start_epoch
        self.then = _create(then, self.labels, self.num_classes, seed=seed, num_samples=num_samples)
        self.num_samples = len(self.then)
        self.before = InstanceBalanced(self.labels, self.num_classes, seed=seed, num_samples=self.num_samples)

    @property
    def required_batch_size(self) -> int | None:
        return self.then.required_batch_size

    def epoch_indices(self, epoch: int) -> np.ndarray:
        return self._active(epoch).epoch_indices(epoch)

    def class_probabilities(self, epoch: int) -> np.ndarray:
        return self._active(epoch).class_probabilities(epoch)

    def _active(self, epoch: int) -> Sampler:
        return self.before if epoch < self.start_epoch else self.then


def _create(spec: str | dict, *args, **supplied) -> Sampler:
    """The sampler a name or {name, ...parameters} stands for; problems are reported under ``then``."""
    try:
        name, params = split_spec(spec)
        return SAMPLERS.create(name, *args, **supplied, **SAMPLERS.check(name, params))
    except Problems as error:
        raise Problems([problem.under("then") for problem in error.problems]) from None
    except ValueError as error:
        raise Problems([Problem("then", str(error))]) from None
