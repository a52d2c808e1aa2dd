"""Class-wise difficulty-balanced loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.parameters import Beta, NonNegative, Positive
from longtail.stages.priors import rescaled


@LOSSES.register("cdb")
class CDB(Loss):
    """CDB: −w_{y,t} log p_y, weights by how hard a class is at epoch t, not by how rare.

    v_c ∝ (1 − A_c)^τ, their sum the number of classes with training samples, A_c the class's validation
    accuracy after an epoch. The weights are a running mean, w ← `smoothing`·w + (1 − `smoothing`)·v, from 1
    each; `smoothing` 0 is the paper, where w = v. Without it training can fall into a cycle of two epochs: a
    class learned well has almost no weight in the next epoch and is forgotten, and then the others are.

    `tau` is a number or follows the accuracies: dynamic is the paper's 2/(1 + e^(−b)),
    b = max A/(min A + epsilon) − 1; cifar_code and imagenet_code are σ(max A/(min A + epsilon)) and
    2σ(max A/(min A + epsilon) − 1) of the released code, where epsilon is .01. A class without validation
    samples has the mean difficulty of the others; when every class is perfect each v is 1.

    `normalizer` batch divides the weighted sum by the batch size (the released code on CIFAR), weights by
    Σ w_y (on ImageNet). logits (B, C), labels (B,) → scalar. Classes without training samples take no part.

    Source: Sinha 2020 (arXiv 2010.01824), equations 1–5; the variants from its released code; `smoothing` is
    longtail's own.

    >>> loss = LOSSES.create("cdb", [30, 10], tau=1.0)
    >>> loss.set_class_accuracy([0.9, 0.7])
    >>> [round(w, 4) for w in loss.adapted()["class_weights"]]  # .8 of (1, 1) and .2 of (.5, 1.5)
    [0.9, 1.1]
    """

    needs_validation = True
    in_every_id = ("smoothing",)  # before it there was none

    def __init__(
        self,
        class_counts,
        *,
        tau: NonNegative | Literal["dynamic", "cifar_code", "imagenet_code"] = "dynamic",
        epsilon: Positive = 1e-4,
        smoothing: Beta = 0.8,
        normalizer: Literal["batch", "weights"] = "batch",
    ):
        super().__init__(class_counts)
        self.tau, self.epsilon, self.smoothing, self.normalizer = tau, epsilon, smoothing, normalizer
        self._tau: float | None = None  # the current τ; None before the first accuracies
        self._weigh((self.class_counts > 0).astype(np.float64))

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        losses = cross_entropy(self.mask(logits), labels)
        return losses * self.class_weights[labels].to(losses.dtype)

    def mass(self, labels: torch.Tensor) -> float:
        return len(labels) if self.normalizer == "batch" else float(self.class_weights[labels].sum())

    def set_class_accuracy(self, accuracy: Sequence[float | None]) -> None:
        """Move the weights by validation accuracies (C,) in [0, 1]; None or NaN for a class not validated."""
        reached = np.array([np.nan if a is None else float(a) for a in accuracy])
        present = self.class_counts > 0
        if reached.shape != present.shape or ((reached < 0) | (reached > 1)).any():
            raise ValueError(f"accuracy: must be {len(present)} fractions in [0, 1] or None, got {accuracy}")
        known = present & ~np.isnan(reached)
        if not known.any():
            return
        difficulty = np.where(known, 1 - reached, (1 - reached[known]).mean())
        self._tau = dynamic_tau(self.tau, reached[known], self.epsilon)
        raw = np.where(present, difficulty**self._tau, 0.0)
        if raw.sum() == 0:  # all perfect
            raw = present.astype(np.float64)
        fresh = rescaled(raw, self.class_counts)
        self._weigh(self.smoothing * self._weights + (1 - self.smoothing) * fresh)

    def _weigh(self, weights: np.ndarray) -> None:
        self._weights = weights  # (C,) float64: the running mean, for checkpoints and the record
        device = self.absent.device
        self.per_class("class_weights", weights)
        self.class_weights = self.class_weights.to(device)

    def adapted(self) -> dict[str, Any]:
        """The current weights (C,) and τ; τ is None before the first validation."""
        return {"class_weights": self._weights.tolist(), "tau": self._tau}

    def restore_adapted(self, adapted: Mapping[str, Any]) -> None:
        """Take up the weights and τ that :meth:`adapted` returned; nothing of what another loss returned."""
        weights = np.array(adapted.get("class_weights", []), np.float64)
        if weights.shape == self._weights.shape:  # else a run with another loss is continued
            self._tau = adapted.get("tau")
            self._weigh(weights)


def dynamic_tau(tau: float | str, accuracy: np.ndarray, epsilon: float) -> float:
    """τ for class accuracies (K,): a number as it is, else by the formula it names.

    Source: Sinha 2020 (arXiv 2010.01824), equation 5; see :class:`CDB`.
    """
    if not isinstance(tau, str):
        return float(tau)
    quotient = accuracy.max() / (accuracy.min() + epsilon)
    if tau == "cifar_code":
        return float(_sigmoid(quotient))
    return float(2 * _sigmoid(quotient - 1))


def _sigmoid(value: float) -> float:
    return 1 / (1 + np.exp(-value))
