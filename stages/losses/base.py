"""What every loss shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from longtail.stages.losses.weightings import WEIGHTINGS, build_weights
from longtail.stages.parameters import Index, WeightingSpec
from longtail.stages.randomness import generator
from longtail.stages.registry import split_spec


class Loss(nn.Module):
    """Knows the training counts (C,); a class without samples is masked out of the logits.

    A subclass writes ``per_sample(logits (B, C), labels (B,)) → (B,)``; :meth:`forward` is its mean. Half
    precision is widened to float32, so that values and gradients stay finite.

    Class attributes tell the program about a loss. They are literals, read from the source:

    - ``head_kind``: the head its logits come from unless another is named, linear or cosine;
    - ``scale``: what it multiplies cosines by, so that stage one's head is stored with it;
    - ``prior_bias``: True when the head's bias starts at −log(C−1) and is not decayed;
    - ``prior_bias_with``: the parameter and its value, as in ("form", "sigmoid"), with which an instance has
      ``prior_bias`` where the class has not; None for a loss without such a parameter;
    - ``corrects_prior``: True when it compensates for class counts, by a prior or weights, with its defaults;
      for an instance ask :meth:`corrects_prior_at`;
    - ``needs_validation``: True when it adapts to the class accuracies of :meth:`set_class_accuracy`;
    - ``in_every_id``: the parameters that ids name even at their defaults, see CONTRIBUTING.

    Where a parameter decides (ldam's `scale`, focal's `form`) an instance has its own.

    Raises ValueError for counts that are negative, not one-dimensional, or all zero.
    """

    head_kind = "linear"
    scale = 1.0
    prior_bias = False
    prior_bias_with: tuple[str, str] | None = None
    corrects_prior = False
    needs_validation = False
    in_every_id: tuple[str, ...] = ()

    absent: torch.Tensor

    def __init__(self, class_counts):
        super().__init__()
        counts = torch.as_tensor(class_counts)
        if counts.ndim != 1 or not (counts >= 0).all() or not counts.any():
            raise ValueError(f"class_counts: must be (C,) counts ≥ 0, not all 0, got {counts.tolist()}")
        self.class_counts = counts.cpu().numpy().astype(np.float64)  # (C,)
        self.register_buffer("absent", counts == 0, persistent=False)
        self._any_absent = bool(self.absent.any())
        self._draws, self._calls = (0,), 0

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The batch's loss, a scalar: Σ_i ℓ_i over :meth:`mass`."""
        return self.per_sample(logits, labels).sum() / max(self.mass(labels), torch.finfo(torch.float32).tiny)

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """ℓ (B,), class weights included."""
        raise NotImplementedError

    def mass(self, labels: torch.Tensor) -> float:
        """What the sum over a batch is divided by: B here, Σ w_y under ``normalizer: weights``."""
        return len(labels)

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, C) in float32 at least, −inf for classes that have no training sample."""
        logits = self.widened(logits)
        return logits.masked_fill(self.absent, -torch.inf) if self._any_absent else logits

    def widened(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits in float32 at least."""
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def over_present(self, each: torch.Tensor) -> torch.Tensor:
        """Σ_j of (B, C) over classes that have training samples, (B,)."""
        return (each.masked_fill(self.absent, 0.0) if self._any_absent else each).sum(1)

    def per_class(self, name: str, values: np.ndarray) -> None:
        """Keep `values` (C,) as a float32 buffer that follows the module to its device."""
        self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)), persistent=False)

    def set_epoch(self, epoch: int) -> None:
        """The epoch about to begin, from 0."""

    def corrects_prior_at(self, epoch: int) -> bool:
        """True when its weights or a prior in it compensate for class counts at `epoch` (from 0)."""
        return self.corrects_prior

    def set_draws(self, seed: int, *position: int) -> None:
        """Key the random draws of the next batch by `seed` and position (epoch, batch), from 0."""
        self._draws, self._calls = (seed, *position), 0

    def generator(self, *, of_batch: bool = False) -> np.random.Generator:
        """For one forward pass or, with `of_batch`, the same for all passes over a batch.

        Without :meth:`set_draws` each call gives another one."""
        self._calls += 1
        seed, *position = self._draws
        one_for_all = of_batch and position
        return generator(seed, "loss", *position, 0 if one_for_all else self._calls)

    def set_class_accuracy(self, accuracy: Sequence[float | None]) -> None:
        """Validation accuracy of each class (C,), in [0, 1] or None, after each epoch."""

    def adapted(self) -> dict[str, Any] | None:
        """What an adaptive loss uses at this moment, for a training history; None for other losses.

        Plain values that JSON holds exactly: training is resumed from them.
        """
        return None

    def restore_adapted(self, adapted: Mapping[str, Any]) -> None:
        """Take up what :meth:`adapted` of an earlier process returned."""


class WeightedLoss(Loss):
    """A loss whose samples count w_y: ``weighting`` and ``normalizer``, from ``start_epoch`` on.

    `normalizer` batch divides the weighted sum by B, as the released class-balanced loss does; weights by
    Σ w_y, as torch's ``CrossEntropyLoss(weight)`` and LDAM's released code do (0 when that sum is 0). Before
    `start_epoch` every class present has weight 1 (DRW, Cao 2019, algorithm 1).
    """

    def __init__(
        self,
        class_counts,
        *,
        weighting: WeightingSpec = "none",
        normalizer: Literal["batch", "weights"] = "batch",
        start_epoch: Index = 0,
    ):
        super().__init__(class_counts)
        self.normalizer, self.start_epoch = normalizer, start_epoch
        weights = build_weights(weighting, self.class_counts)
        self._plain = bool((weights[self.class_counts > 0] == 1).all())
        facts = WEIGHTINGS.describe(split_spec(weighting)[0]).facts
        self._for_balanced_batches = facts.get("for_balanced_batches", False)
        self.per_class("class_weights", weights)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def weighs_at(self, epoch: int) -> bool:
        """True when class weights apply at `epoch` (from 0)."""
        return not self._plain and epoch >= self.start_epoch

    @property
    def weighs(self) -> bool:
        """True when class weights apply in the current epoch."""
        return self.weighs_at(self._epoch)

    def corrects_prior_at(self, epoch: int) -> bool:
        return self.weighs_at(epoch) and not self._for_balanced_batches

    def mass(self, labels: torch.Tensor) -> float:
        if self.normalizer == "batch" or not self.weighs:
            return len(labels)
        return float(self.class_weights[labels].sum())

    def weighted(self, losses: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """ℓ (B,) times w_y."""
        return losses * self.class_weights[labels].to(losses.dtype) if self.weighs else losses


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """−log softmax(z)_y, (B,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """BCE(z_j, [j = y]) of finite logits as (B, C), and the targets (B, C) with them."""
    targets = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none"), targets
