"""Learned sample weights in the training loop: clean batches, virtual passes, mean weights by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from longtail.stages.data import Part
from longtail.stages.data.pictures.batches import Batch
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.meta_weights.virtual import running_statistics_kept
from longtail.stages.randomness import generator, torch_seed

SUMS = "sums"  # beside the rule's own tensors in a checkpoint


class LearnedWeights:
    """Weighs the batches of a run by `rule` (a reweighting) on the held-out samples `meta`.

    The clean batch's loss is plain cross-entropy of scale·z, from which predictions are made: without the
    class weights, margins or priors of the training loss, since the batch is balanced. Virtual passes are in
    float32 whatever the precision of training, see each batch as the real pass does (batch-norm in training
    mode), and leave batch-norm's running statistics alone.

    `flipped` (N,) bool marks training samples whose labels are known to be wrong: their mean weight is
    recorded, the rule never sees it.
    """

    def __init__(self, rule, meta: Part, *, seed: int, num_classes: int, flipped=None, device="cpu"):
        self.rule, self.meta, self.seed = rule.to(device), meta.to(device), seed
        self.device, self.flipped = torch.device(device), flipped
        # Σ B·w (first row) and samples (second) of each class, then of clean and of flipped ones.
        self._sums = np.zeros((2, num_classes + 2))

    @property
    def clean_samples(self) -> int:
        """Samples in a clean batch."""
        return min(self.rule.batch_size, self.rule.per_class * len(np.unique(self.meta.labels)))

    def weigh(
        self, network: nn.Module, loss: Loss, batch: Batch, *, epoch: int, step: int, rate: float
    ) -> torch.Tensor:
        """Weights (B,) ≥ 0 of a batch, as the rule has them, for a step at learning rate `rate`."""
        rows = balanced_rows(self.meta.labels, self.clean_samples, generator(self.seed, "meta", epoch, step))
        inputs, labels = self.meta.batch(rows), torch.as_tensor(self.meta.labels[rows], device=self.device)

        def losses_at(params):
            loss.set_draws(self.seed, epoch, step)  # the same draws in each pass over the batch, by
            with torch_seed(self.seed, "network", epoch, step, device=self.device):  # dropout too
                return loss.per_sample(functional_call(network, params, (batch.inputs,)), batch.labels)

        def meta_loss_at(params):
            logits = loss.mask(functional_call(network, params, (inputs,)))
            return cross_entropy(loss.scale * logits, labels).mean()

        params = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}
        # Flash attention has no forward-mode derivative.
        with running_statistics_kept(network), sdpa_kernel(SDPBackend.MATH):
            weights = self.rule.weigh(losses_at, meta_loss_at, params, rate).detach()
        self._count(weights, batch)
        return weights

    def _count(self, weights: torch.Tensor, batch: Batch) -> None:
        values = weights.double().cpu().numpy() * len(weights)  # 1 is the mean
        groups = [batch.labels.cpu().numpy()]
        if self.flipped is not None:
            groups.append(self._sums.shape[1] - 2 + self.flipped[batch.indices].astype(np.int64))
        for group in groups:
            np.add.at(self._sums, (0, group), values)
            np.add.at(self._sums, (1, group), 1)

    def finish_epoch(self) -> dict[str, Any]:
        """Mean weight of each class, of clean and of flipped samples since the last call; 1 is the mean.

        None for a class that was not drawn, and for both groups without label noise. A batch whose weights
        are all 0, or do not add up to 1, counts as it is, so that the mean may lie below 1.
        """
        total, count = self._sums
        means = [float(t / n) if n else None for t, n in zip(total, count, strict=True)]
        self._sums = np.zeros_like(self._sums)
        return {"class_weights": means[:-2], "clean": means[-2], "flipped": means[-1]}

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to hold: the rule's tensors and the epoch's sums so far."""
        return {**self.rule.state(), SUMS: self._sums}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what :meth:`state` returned."""
        self.rule.load_state(state)
        self._sums = state[SUMS].copy()


def balanced_rows(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Positions (count,) in `labels`, as many of each class there as can be; a small class is repeated."""
    classes = rng.permutation(np.unique(labels))
    share, more = divmod(count, len(classes))
    picked = [
        np.resize(rng.permutation(np.flatnonzero(labels == c)), share + (n < more))
        for n, c in enumerate(classes)
    ]
    return np.concatenate(picked)
