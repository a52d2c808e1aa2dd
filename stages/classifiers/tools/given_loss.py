"""A training loss as a parameter of a classifier that takes steps."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from longtail.stages.losses.corrections import corrected_twice
from longtail.stages.registry import split_spec

if TYPE_CHECKING:
    from longtail.stages.features import Features
    from longtail.stages.losses.base import Loss
    from longtail.stages.samplers.base import Sampler


def make_loss(spec: str | dict, class_counts: np.ndarray, validation: Features | None) -> Loss:
    """The loss `spec` over training counts (C,); ValueError for one that lacks the validation it needs."""
    from longtail.stages.losses import LOSSES

    name, params = split_spec(spec)
    loss = LOSSES.create(name, class_counts, **params)
    if loss.needs_validation and validation is None:
        raise ValueError(f"loss: {name} goes by validation accuracy; pass validation=(X, y)")
    return loss


def warn_of_two_corrections(
    owner: str, loss: Loss, loss_spec: str | dict, sampler: Sampler, sampler_spec: str | dict, *, epoch: int
) -> None:
    """Warn, for a classifier `owner`, of a loss and a sampler that both make up for the imbalance."""
    names = split_spec(loss_spec)[0], split_spec(sampler_spec)[0]
    warning = corrected_twice(loss, names[0], sampler, names[1], epoch=epoch)
    if warning is not None:
        warnings.warn(f"{owner}: {warning}", stacklevel=6)


def refuse_other_losses(spec: str | dict) -> None:
    """ValueError for a loss that solver lbfgs does not minimise: any but cross-entropy without weights."""
    if not is_plain(spec):
        raise ValueError(f"loss: solver lbfgs takes cross_entropy only, got {spec!r}; use sgd")


def is_plain(loss: str | dict) -> bool:
    """True for cross-entropy without weights, however it is written."""
    from longtail.stages.losses import LOSSES

    name, params = split_spec(loss)
    known = LOSSES.describe("cross_entropy").parameters
    return name == "cross_entropy" and all(known[k].default == _unnamed(v) for k, v in params.items())


def _unnamed(value):
    """A component without parameters by its name alone."""
    return value["name"] if isinstance(value, dict) and set(value) == {"name"} else value
