"""Stage one: train a network, one epoch at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch

from stages.data.batches import Batch, Batches
from stages.losses.base import Loss
from stages.network import Network
from stages.schedules import Factor


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the weights are those before the step that would have used it."""


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of an epoch so far."""

    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Position:
    """How far training has come: `batch` batches of epoch `epoch` (from 0) are done."""

    epoch: int = 0
    batch: int = 0
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True)
class EpochSummary:
    """One finished epoch; `epoch` counts from 1. Loss and accuracy are means over its training samples,
    `learning_rate` is the last step's.

    `validation` is what ``validate(network)`` returned, None without one.
    """

    epoch: int
    loss: float
    learning_rate: float
    accuracy: float
    seconds: float
    images_per_second: float
    validation: dict | None


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
    clip_grad_norm: float | None = None,
    precision: str = "float32",
    compile: bool = False,
    after_step: Callable[[Position], None] | None = None,
) -> Iterator[EpochSummary]:
    """Train `network` in place, yielding after every epoch.

    `schedule` multiplies each parameter group's learning rate, which at the end is as it was. `start`
    continues from a position, given the network and optimiser of that moment. `precision` "bfloat16" runs
    forward passes under autocast; the loss is always computed in float32. `after_step` is called with the
    position after every step and may raise to stop.

    Raises :class:`NonFiniteLoss` before a step whose loss is NaN or infinite, naming epoch and batch.
    """
    position = start or Position()
    device = next(network.parameters()).device
    # A kernel for each shape: a dynamic one would depend on which batches this process has seen.
    forward = torch.compile(network, dynamic=False) if compile else network
    base_rates = [group["lr"] for group in optimizer.param_groups]

    def set_rate(step: int) -> None:
        factor = schedule(step, len(batches), epochs)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * factor

    def train_step(batch: Batch) -> tuple[float, torch.Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = forward(batch.inputs)
        logits = logits.float()  # (B, C)
        value = _loss(loss, logits, batch)
        current = value.item()
        if not math.isfinite(current):
            raise NonFiniteLoss(
                f"loss is {current} at epoch {position.epoch + 1}, batch {position.batch + 1}; "
                "a lower learning rate, a warm-up or gradient clipping may help"
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip_grad_norm)
        optimizer.step()
        return current, logits

    while position.epoch < epochs:
        network.train()
        loss.set_epoch(position.epoch)
        for batch in batches.epoch(position.epoch, position.batch):
            began = time.perf_counter()
            set_rate(position.epoch * len(batches) + position.batch)
            current, logits = train_step(batch)
            position = _advance(position, batch, logits, current, time.perf_counter() - began)
            if after_step is not None:
                after_step(position)
        done, totals = position.epoch + 1, position.totals
        validation = validate(network) if validate is not None else None
        if validation is not None:
            loss.set_class_accuracy(validation["class_accuracy"])
        position = Position(done)
        yield EpochSummary(
            epoch=done,
            loss=totals.loss / totals.seen,
            learning_rate=base_rates[0] * schedule(done * len(batches) - 1, len(batches), epochs),
            accuracy=totals.correct / totals.seen,
            seconds=totals.seconds,
            images_per_second=totals.seen / max(totals.seconds, 1e-9),
            validation=validation,
        )
    for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = rate


def _loss(loss: Loss, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    value = loss(logits, batch.labels)
    if batch.mixture is None:
        return value
    partner = batch.labels[torch.as_tensor(batch.mixture.partner, device=batch.labels.device)]
    share = batch.mixture.share
    return share * value + (1 - share) * loss(logits, partner)


def _advance(
    position: Position, batch: Batch, logits: torch.Tensor, value: float, seconds: float
) -> Position:
    totals, count = position.totals, len(batch.labels)
    correct = int((logits.detach().argmax(1) == batch.labels).sum())
    grown = Totals(
        loss=totals.loss + value * count,
        correct=totals.correct + correct,
        seen=totals.seen + count,
        seconds=totals.seconds + seconds,
    )
    return replace(position, batch=position.batch + 1, totals=grown)
