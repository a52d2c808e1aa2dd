"""Whether loss and sampler correct for class counts; if both do, rare classes are favoured twice."""

from __future__ import annotations

import numpy as np

NOTICEABLE = 1e-6  # of a class probability


def resamples(sampler, epoch: int) -> bool:
    """True when `sampler` does not draw classes in proportion to their counts at `epoch` (from 0)."""
    share = sampler.class_counts / sampler.class_counts.sum()
    return bool(np.abs(sampler.class_probabilities(epoch) - share).max() > NOTICEABLE)


def corrects(loss, sampler, *, epoch: int) -> bool:
    """True when a head is trained to be balanced at `epoch` (from 0): by its loss or by its sampler."""
    return loss.corrects_prior_at(epoch) or resamples(sampler, epoch)


def corrected_twice(loss, loss_name: str, sampler, sampler_name: str, *, epoch: int) -> str | None:
    """A warning when both the loss and the sampler correct for class counts at `epoch`; None otherwise.

    Weights or a prior in the loss presume that samples come as they are: under balanced sampling they
    favour rare classes a second time. ``clipped_inverse_frequency`` is made for balanced batches, and CDB
    goes by difficulty, not by counts: neither counts as a correction here.
    """
    if not loss.corrects_prior_at(epoch) or not resamples(sampler, epoch):
        return None
    return (
        f"loss {loss_name} and sampler {sampler_name} both correct for class counts, so rare classes are "
        "favoured twice; keep one of the two"
    )
