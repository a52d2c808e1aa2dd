"""Stage one: train a network, one epoch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from longtail.stages.data.pictures.batches import Batches
from longtail.stages.losses.base import Loss
from longtail.stages.network import Network
from longtail.stages.training.schedules import Factor
from longtail.stages.training.step import Step, StepOptions, Stepper


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of an epoch so far."""

    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    weighing: float = 0.0  # of `seconds`, those that went into learning sample weights


@dataclass(frozen=True)
class Position:
    """How far training has come: `batch` batches of epoch `epoch` (from 0) are done."""

    epoch: int = 0
    batch: int = 0
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True)
class EpochSummary:
    """One finished epoch; `epoch` counts from 1.

    `loss` and `accuracy` (a fraction) are means over its training samples, `learning_rate` is the last
    step's. `validation` is what ``validate(network)`` returned, None without such a function. `loss_state` is
    what a loss that adapts (CDB with its class weights and τ) used in this epoch. `learned_weights` are the
    mean weights learned for its samples (``LearnedWeights.finish_epoch``), and learning them took
    `weighing_seconds` of `seconds`.
    """

    epoch: int
    loss: float
    learning_rate: float
    accuracy: float
    seconds: float
    images_per_second: float
    validation: dict | None
    loss_state: dict | None = None
    learned_weights: dict | None = None
    weighing_seconds: float = 0.0


def train_representation(
    network: Network,
    batches: Batches,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    schedule: Factor,
    epochs: int,
    validate: Callable[[Network], dict] | None = None,
    start: Position | None = None,
    after_step: Callable[[Position], None] | None = None,
    **step_options: Any,
) -> Iterator[EpochSummary]:
    """Train `network` in place, yielding after every epoch.

    `schedule` gives the factor of each parameter group's learning rate, which at the end is as it was.
    ``validate(network)`` is called after every epoch, with the average of the weights if there is one.
    `start` continues from a position, given the network and optimiser of that moment. `after_step` is called
    with the position after every step and may raise to stop. `step_options` are the fields of
    :class:`~longtail.stages.training.step.StepOptions`: `clip_grad_norm`, `accumulation`, `average`,
    `precision`, `compile`, `reweighting`.

    Raises ``NonFiniteLoss`` before a step of NaN or infinite loss, naming epoch and batch.
    """
    options = StepOptions(**step_options)
    average, reweighting = options.average, options.reweighting
    stepper = Stepper(network, loss, optimizer, seed=batches.seed, options=options)

    def rate_factor(step: int) -> float:
        return schedule(step, len(batches), epochs)

    position = start or Position()
    while position.epoch < epochs:
        network.train()
        loss.set_epoch(position.epoch)
        for batch in batches.epoch(position.epoch, position.batch):
            stepper.set_rate(rate_factor(position.epoch * len(batches) + position.batch))
            position = _advance(position, stepper.step(batch, epoch=position.epoch, batch=position.batch))
            if after_step is not None:
                after_step(position)
        done, totals = position.epoch + 1, position.totals
        judged = network if average is None else average.module
        validation = None if validate is None else validate(judged)
        yield _summary(
            done,
            totals,
            learning_rate=stepper.base_rate * rate_factor(done * len(batches) - 1),
            validation=validation,
            loss_state=_adapt(loss, validation),
            learned_weights=None if reweighting is None else reweighting.finish_epoch(),
        )
        position = Position(done)
    stepper.set_rate(1.0)


def _adapt(loss: Loss, validation: dict | None) -> dict | None:
    """Give `loss` the class accuracies of the epoch; return what it had used in that epoch."""
    loss_state = loss.adapted()
    if validation is not None:
        loss.set_class_accuracy(validation["class_accuracy"])
    return loss_state


def _summary(epoch: int, totals: Totals, **measured) -> EpochSummary:
    """The summary of `epoch` (from 1): means of its `totals`, and what was `measured` after it."""
    return EpochSummary(
        epoch=epoch,
        loss=totals.loss / totals.seen,
        accuracy=totals.correct / totals.seen,
        seconds=totals.seconds,
        images_per_second=totals.seen / max(totals.seconds, 1e-9),
        weighing_seconds=totals.weighing,
        **measured,
    )


def _advance(position: Position, step: Step) -> Position:
    totals = position.totals
    grown = Totals(
        loss=totals.loss + step.loss * step.count,
        correct=totals.correct + step.correct,
        seen=totals.seen + step.count,
        seconds=totals.seconds + step.seconds,
        weighing=totals.weighing + step.weighing,
    )
    return replace(position, batch=position.batch + 1, totals=grown)
