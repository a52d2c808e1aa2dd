"""One optimiser step of stage one."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

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
    """What a step did: the batch's loss, how many of its `count` samples were right, and its duration.

    Of its `seconds`, `weighing` went into learning sample weights.
    """

    loss: float
    correct: int
    count: int
    seconds: float
    weighing: float


@dataclass(frozen=True)
class StepOptions:
    """How stage one takes its steps.

    `clip_grad_norm` is the largest L2 norm of a step's gradient, None for any. With `accumulation` > 1 a
    batch is worked through in that many pieces, whose gradients add up, each by its share of the batch: less
    memory for the same step, except that batch-norm's statistics are those of a piece. `average` follows the
    weights after every step. `precision` bfloat16 runs forward passes under autocast; the loss is always
    computed in float32. With `compile` forward passes are compiled. `reweighting` gives each sample of a
    batch a weight, and the loss is Σ w_i ℓ_i; it takes whole batches (`accumulation` 1) of
    unmixed inputs.

    Raises ValueError for `accumulation` together with `reweighting`.
    """

    clip_grad_norm: float | None = None
    accumulation: int = 1
    average: AveragedModel | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    reweighting: LearnedWeights | None = None

    def __post_init__(self):
        if self.reweighting is not None and self.accumulation != 1:
            rule = "must be 1 with reweighting, which weighs a whole batch"
            raise ValueError(f"accumulation: {rule}, got {self.accumulation}")


class Stepper:
    """Moves `network` by steps of `optimizer` on batches; what is random is drawn from `seed`."""

    def __init__(
        self,
        network: Network,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        *,
        seed: int,
        options: StepOptions,
    ):
        self.network, self.loss, self.optimizer, self.seed = network, loss, optimizer, seed
        self.options = options
        self.device = next(network.parameters()).device
        self.half = options.precision == "bfloat16"
        # A kernel for each shape: a dynamic one would depend on which batches this process has seen.
        self.forward = torch.compile(network, dynamic=False) if options.compile else network
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
        weights = None if self.options.reweighting is None else self._weigh(whole, epoch, batch)
        weighed = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with self._seeded(epoch, batch):
            total, correct = self._add_gradients(whole, weights, f"epoch {epoch + 1}, batch {batch + 1}")
        if self.options.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_grad_norm)
        self.optimizer.step()
        if self.options.average is not None:
            self.options.average.update_parameters(self.network)
        return Step(total, correct, len(whole.labels), time.perf_counter() - began, weighed - began)

    def _seeded(self, epoch: int, batch: int):
        """Make the draws of layers (dropout, stochastic depth) a function of seed, epoch and batch, too."""
        return torch_seed(self.seed, "network", epoch, batch, device=self.device)

    def _add_gradients(self, whole: Batch, weights: torch.Tensor | None, where: str) -> tuple[float, int]:
        """Sum the gradient of the batch's loss piece by piece; the loss, and how many samples are right."""
        total, correct = 0.0, 0
        for piece in whole.pieces(self.options.accumulation):
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
            return self.options.reweighting.weigh(self.network, self.loss, whole, **place)

    def _value(
        self, piece: Batch, whole: Batch, weights: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a piece adds to the batch's loss, a scalar, and its logits (B, C)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits = self.forward(piece.inputs)
        logits = logits.float()
        if weights is not None:
            return (weights * self.loss.per_sample(logits, piece.labels)).sum(), logits.detach()
        return part_of_loss(self.loss, logits, piece, whole), logits.detach()


def part_of_loss(loss: Loss, logits: torch.Tensor, piece: Batch, whole: Batch) -> torch.Tensor:
    """What a piece adds to the loss of the whole batch, a scalar; logits (B, C) are those of the piece."""

    def part(piece_labels: torch.Tensor, whole_labels: torch.Tensor) -> torch.Tensor:
        value = loss(logits, piece_labels)
        if piece is whole:
            return value
        mass = loss.mass(whole_labels)
        return value * (loss.mass(piece_labels) / mass) if mass else value

    value = part(piece.labels, whole.labels)
    if piece.partners is None:
        return value
    return piece.share * value + (1 - piece.share) * part(piece.partners, whole.partners)
