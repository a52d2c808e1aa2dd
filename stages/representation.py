"""Stage one: train a network, one epoch at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch.optim.swa_utils import AveragedModel

from stages.data.batches import Batch, Batches
from stages.losses.base import Loss
from stages.meta_weights.learned import LearnedWeights
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
    weighing: float = 0.0  # seconds of those that learning sample weights took


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

    `validation` is what ``validate(network)`` returned, None without one; `loss_state` what a loss that
    adapts (CDB's class weights and τ) went by in this epoch; `learned_weights` the mean weights learned for
    its samples (:meth:`stages.meta_weights.learned.LearnedWeights.finish_epoch`) and `weighing_seconds` what
    learning them took.
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
    clip_grad_norm: float | None = None,
    accumulation: int = 1,
    average: AveragedModel | None = None,
    precision: str = "float32",
    compile: bool = False,
    reweighting: LearnedWeights | None = None,
    after_step: Callable[[Position], None] | None = None,
) -> Iterator[EpochSummary]:
    """Train `network` in place, yielding after every epoch.

    `schedule` multiplies each parameter group's learning rate, which at the end is as it was. `start`
    continues from a position, given the network and optimiser of that moment. `accumulation` works a batch
    off in so many pieces and adds their gradients up, each by its share of the batch: less memory for the
    same step, but for batch-norm's statistics, which are those of a piece. `average` follows the weights
    after every step and is what `validate` gets. `precision` "bfloat16" runs forward passes under autocast;
    the loss is always computed in float32. `reweighting` gives each sample of a batch a weight, w with sum 1,
    and the loss is Σ w_i ℓ_i; it goes with whole batches of unmixed inputs. `after_step` is called with the
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

    def backward(piece: Batch, whole: Batch, weights: torch.Tensor | None) -> tuple[float, int]:
        """Add the gradient of the piece's part in the batch's loss; that part, and how many are right."""
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = forward(piece.inputs)
        logits = logits.float()  # (B, C)
        if weights is None:
            value = _loss(loss, logits, piece, whole)
        else:
            value = (weights * loss.per_sample(logits, piece.labels)).sum()
        current = value.item()
        if not math.isfinite(current):
            raise NonFiniteLoss(
                f"loss is {current} at epoch {position.epoch + 1}, batch {position.batch + 1}; "
                "a lower learning rate, a warm-up or gradient clipping may help"
            )
        value.backward()
        return current, int((logits.detach().argmax(1) == piece.labels).sum())

    def weigh(batch: Batch) -> torch.Tensor | None:
        if reweighting is None:
            return None
        rate = optimizer.param_groups[0]["lr"]
        at = {"epoch": position.epoch, "step": position.batch}
        return reweighting.weigh(network, loss, batch, **at, rate=rate)

    def train_step(batch: Batch, weights: torch.Tensor | None) -> tuple[float, int]:
        optimizer.zero_grad(set_to_none=True)
        loss.set_draws(batches.seed, position.epoch, position.batch)
        total, correct = 0.0, 0
        for piece in batch.pieces(accumulation):
            current, right = backward(piece, batch, weights)
            total, correct = total + current, correct + right
        if clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip_grad_norm)
        optimizer.step()
        if average is not None:
            average.update_parameters(network)
        return total, correct

    while position.epoch < epochs:
        network.train()
        loss.set_epoch(position.epoch)
        for batch in batches.epoch(position.epoch, position.batch):
            began = time.perf_counter()
            set_rate(position.epoch * len(batches) + position.batch)
            weights = weigh(batch)
            weighed = time.perf_counter()
            current, correct = train_step(batch, weights)
            seconds = time.perf_counter() - began
            position = _advance(position, len(batch.labels), correct, current, seconds, weighed - began)
            if after_step is not None:
                after_step(position)
        done, totals = position.epoch + 1, position.totals
        judged = network if average is None else average.module
        validation = validate(judged) if validate is not None else None
        loss_state = loss.adapted()
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
            loss_state=loss_state,
            learned_weights=None if reweighting is None else reweighting.finish_epoch(),
            weighing_seconds=totals.weighing,
        )
    for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = rate


def _loss(loss: Loss, logits: torch.Tensor, piece: Batch, whole: Batch) -> torch.Tensor:
    """What a piece adds to the loss of the whole batch: all of it when the piece is the batch."""

    def part(mine: torch.Tensor, all_of_them: torch.Tensor) -> torch.Tensor:
        value = loss(logits, mine)
        if piece is whole:
            return value
        mass = loss.mass(all_of_them)
        return value * (loss.mass(mine) / mass) if mass else value

    value = part(piece.labels, whole.labels)
    if piece.partners is None:
        return value
    return piece.share * value + (1 - piece.share) * part(piece.partners, whole.partners)


def _advance(
    position: Position, count: int, correct: int, value: float, seconds: float, weighing: float
) -> Position:
    totals = position.totals
    grown = Totals(
        loss=totals.loss + value * count,
        correct=totals.correct + correct,
        seen=totals.seen + count,
        seconds=totals.seconds + seconds,
        weighing=totals.weighing + weighing,
    )
    return replace(position, batch=position.batch + 1, totals=grown)
