"""Samplers: which training samples an epoch shows, and in which order.

``SAMPLERS.create("square_root", labels, num_classes, seed=0)`` is a ``Sampler``:

- iteration over dataset indices (python ints) from ``start`` of the current epoch on, ``indices()`` for the
  same as one (n,) int64 array, and ``len()`` for the draws of a whole epoch, ``num_samples`` or N;
- ``set_epoch(epoch, start=0)``, which resumes inside an epoch;
- ``class_probabilities(epoch)``, (C,) float64, the exact share of draws each class expects;
- ``required_batch_size``, the one global batch size the sampler is made for, or None for any.

Epoch e of seed s is one sequence, a pure function of (s, e), for any number of ranks: rank r of R takes
positions r, r + R, …, which is ``sampler.indices()[r::R]``. Empty classes are never drawn. No global random
state is read or written, and nothing breaks above 2^24 samples, where torch's WeightedRandomSampler does.
"""

from __future__ import annotations

from longtail.stages.registry import Registry

SAMPLERS = Registry("sampler", "SAMPLERS", "longtail.stages.samplers", supplied=("seed", "num_samples"))

__all__ = ["SAMPLERS"]
