"""Learning-rate schedules: pure functions of the step, so a resumed run needs none of their state.

``SCHEDULES.create("cosine", warmup_epochs=5)`` returns ``factor(step, steps_per_epoch, epochs)``, what the
base learning rate is multiplied by for that step (from 0).

Every schedule takes `per`: with step the rate changes from batch to batch, with epoch it stays as it is
within an epoch, as where a scheduler of torch is stepped once an epoch. Warm-up then rises by whole epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from longtail.stages.parameters import Fraction, Index, NonNegative, Positive
from longtail.stages.registry import Registry

SCHEDULES = Registry("schedule", "SCHEDULES", __name__)

Factor = Callable[[int, int, int], float]


def _changing(per: str, factor: Factor) -> Factor:
    """`factor` as it is, or constant within an epoch: what it is for epochs of a single step."""
    if per == "step":
        return factor
    return lambda step, steps_per_epoch, epochs: factor(step // steps_per_epoch, 1, epochs)


def _after_warmup(warmup_epochs: float, decay: Callable[[float, float], float]) -> Factor:
    """Rise linearly to 1 over `warmup_epochs`, then follow ``decay(epoch, share)``.

    `epoch` is the fractional epoch since the start of training, `share` in [0, 1) the part of what remains
    after warm-up.
    """

    def factor(step: int, steps_per_epoch: int, epochs: int) -> float:
        warm, total = round(warmup_epochs * steps_per_epoch), epochs * steps_per_epoch
        if step < warm:
            return (step + 1) / warm
        return decay(step / steps_per_epoch, (step - warm) / max(total - warm, 1))

    return factor


@SCHEDULES.register("constant")
def constant(*, warmup_epochs: NonNegative = 0.0, per: Literal["step", "epoch"] = "step") -> Factor:
    """The base rate throughout, after a linear warm-up.

    Source: Goyal 2017 (arXiv 1706.02677) for the warm-up.
    """
    return _changing(per, _after_warmup(warmup_epochs, lambda epoch, share: 1.0))


@SCHEDULES.register("multi_step")
def multi_step(
    *,
    milestones: list[Index],
    gamma: Positive = 0.1,
    warmup_epochs: NonNegative = 0.0,
    per: Literal["step", "epoch"] = "step",
) -> Factor:
    """Times `gamma` from each of the epochs in `milestones` (counted from 0) on.

    Source: He 2016 (arXiv 1512.03385); with warm-up Cui 2019 (1901.05555), by whole epochs Cao 2019
    (1906.07413), released code.
    """
    decayed = _after_warmup(warmup_epochs, lambda epoch, share: gamma ** sum(epoch >= m for m in milestones))
    return _changing(per, decayed)


@SCHEDULES.register("cosine")
def cosine(*, warmup_epochs: NonNegative = 0.0, per: Literal["step", "epoch"] = "step") -> Factor:
    """½(1 + cos πt), t the share of training done, at this batch or at the beginning of its epoch.

    Source: Loshchilov, Hutter 2017 (arXiv 1608.03983); by epochs Kang 2020 (1910.09217), released code.
    """
    half_wave = _after_warmup(warmup_epochs, lambda epoch, share: (1 + math.cos(math.pi * share)) / 2)
    return _changing(per, half_wave)


@SCHEDULES.register("one_cycle")
def one_cycle(
    *,
    warmup_epochs: NonNegative | None = None,
    start: Fraction = 0.04,
    end: Fraction = 4e-6,
    per: Literal["step", "epoch"] = "step",
) -> Factor:
    """Half a cosine up from `start` times the base rate to it, half a cosine down to `end` times.

    The rise takes `warmup_epochs`, 30 % of the run when null. The defaults are torch's OneCycleLR without its
    cycling momentum.

    Source: Smith, Topin 2018 (arXiv 1708.07120).
    """

    def between(a: float, b: float, share: float) -> float:
        return b + (a - b) * (1 + math.cos(math.pi * share)) / 2

    def factor(step: int, steps_per_epoch: int, epochs: int) -> float:
        last = epochs * steps_per_epoch - 1
        peak = 0.3 * (last + 1) - 1 if warmup_epochs is None else warmup_epochs * steps_per_epoch - 1
        if step < peak:
            return between(start, 1.0, step / peak)
        return between(1.0, end, (step - max(peak, 0)) / max(last - max(peak, 0), 1))

    return _changing(per, factor)
