"""One optimiser step of stage one."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.optim.swa_utils import AveragedModel

from longtail.stages.data.pictures.batches import Batch
from longtail.stages.losses.base import Loss
from longtail.stages.network import Network
from longtail.stages.randomness import torch_seed

if TYPE_CHECKING:
    from longtail.stages.meta_weights.learned import LearnedWeights


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the weights are those before the step that would have used it."""


class Step(NamedTuple):
    """What a step did: the batch's loss, how many of its `count` samples were right, and the time it took.

    `weighing` seconds of `seconds` went into learning sample weights.
    """

    loss: float
    correct: int
    count: int
    seconds: float
    weighing: float


class Stepper:
    """Takes steps on batches; see ``train_representation`` for the options."""

    def __init__(
        self,
        network: Network,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        *,
        seed: int,
        clip_grad_norm: float | None,
        accumulation: int,
        average: AveragedModel | None,
        precision: str,
        compile: bool,
        reweighting: LearnedWeights | None,
    ):
        self.network, self.loss, self.optimizer, self.seed = network, loss, optimizer, seed
        self.clip_grad_norm, self.accumulation, self.average = clip_grad_norm, accumulation, average
        self.reweighting = reweighting
        self.device = next(network.parameters()).device
        self.half = precision == "bfloat16"
        # A kernel for each shape: a dynamic one would depend on which batches this process has seen.
        self.forward = torch.compile(network, dynamic=False) if compile else network
        self._rates = [group["lr"] for group in optimizer.param_groups]

    @property
    def base_rate(self) -> float:
        """The first parameter group's learning rate, before any factor."""
        return self._rates[0]

    def set_rate(self, factor: float) -> None:
        """Multiply every group's own learning rate by `factor`."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def step(self, whole: Batch, *, epoch: int, batch: int) -> Step:
        """Learn from one batch, the `batch`-th of `epoch`, both from 0.

        Raises :class:`NonFiniteLoss` before weights change.
        """
        began = time.perf_counter()
        self.loss.set_draws(self.seed, epoch, batch)
        weights = None if self.reweighting is None else self._weigh(whole, epoch, batch)
        weighed = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with self._seeded(epoch, batch):
            total, correct = self._add_gradients(whole, weights, f"epoch {epoch + 1}, batch {batch + 1}")
        if self.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_grad_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return Step(total, correct, len(whole.labels), time.perf_counter() - began, weighed - began)

    def _seeded(self, epoch: int, batch: int):
        """What layers draw (dropout, stochastic depth) is a function of seed, epoch and batch, too."""
        return torch_seed(self.seed, "network", epoch, batch, device=self.device)

    def _add_gradients(self, whole: Batch, weights: torch.Tensor | None, where: str) -> tuple[float, int]:
        """Add the gradient of the batch's loss up, piece by piece; the loss, and how many are right."""
        total, correct = 0.0, 0
        for piece in whole.pieces(self.accumulation):
            value, logits = self._value(piece, whole, weights)
            current = value.item()
            if not math.isfinite(current):
                raise NonFiniteLoss(
                    f"loss is {current} at {where}; a lower learning rate, a warm-up or gradient clipping "
                    "may help"
                )
            value.backward()
            total, correct = total + current, correct + int((logits.argmax(1) == piece.labels).sum())
        return total, correct

    def _weigh(self, whole: Batch, epoch: int, batch: int) -> torch.Tensor:
        """Learned weights (B,) of the samples."""
        place = {"epoch": epoch, "step": batch, "rate": self.optimizer.param_groups[0]["lr"]}
        with self._seeded(epoch, batch):
            return self.reweighting.weigh(self.network, self.loss, whole, **place)

    def _value(
        self, piece: Batch, whole: Batch, weights: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The piece's part in the batch's loss, and its logits (B, C)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.forward(piece.inputs)
        logits = logits.float()
        if weights is not None:
            return (weights * self.loss.per_sample(logits, piece.labels)).sum(), logits.detach()
        return part_of_loss(self.loss, logits, piece, whole), logits.detach()


def part_of_loss(loss: Loss, logits: torch.Tensor, piece: Batch, whole: Batch) -> torch.Tensor:
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
