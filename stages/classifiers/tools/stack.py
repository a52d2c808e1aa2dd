"""Heads that share batches, trained as one: a step of K heads is one product instead of K."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.retrained.crt import CRT, is_plain
from longtail.stages.classifiers.tools.sgd import as_seed
from longtail.stages.network import Head

STACK_BYTES = 4 * 2**20  # of one batch's logits: beyond, products are large enough alone and caches too small


def stack_key(estimator: Classifier) -> Hashable | None:
    """What estimators must have in common to train in one stack; None for one that trains alone.

    cRT by sgd with cross_entropy, which may differ in `lr`, `momentum` and `weight_decay`.
    """
    if not isinstance(estimator, CRT) or estimator.solver != "sgd":
        return None
    if not is_plain(estimator.loss):
        return None
    shared = (str(estimator.sampler), estimator.batch_size, estimator.epochs, str(estimator.random_state))
    return ("crt", *shared)


def fit_stack(estimators: Sequence[CRT], X, y, *, head=None, validation=None, views=None) -> None:
    """Fit `estimators` of one :func:`stack_key` as ``fit`` would each, up to 1e-5 in their weights.

    Stacked while a batch's logits of all take at most 4 MB, otherwise in groups. Raises what ``fit`` raises.
    """
    assert len({stack_key(e) for e in estimators}) == 1 and stack_key(estimators[0]) is not None
    checked = [e.checked(X, y, head=head, validation=validation, views=views) for e in estimators]
    first = estimators[0]
    each = first.batch_size * len(first.classes_) * 4
    size = max(1, STACK_BYTES // each)
    for start in range(0, len(estimators), size):
        _fit_group(estimators[start : start + size], *checked[start])


def _fit_group(group: Sequence[CRT], X, rows, head, validation, views=None) -> None:
    first = group[0]
    seed = as_seed(first.random_state)
    sampler = first.make_sampler(rows, seed)
    heads = _Stack(group, X.shape[1], len(first.classes_), first.class_counts_ == 0)
    sources, steps = views or [X], -(-len(sampler) // first.batch_size)
    best = [-1.0] * len(group)
    for epoch in range(first.epochs):
        sampler.set_epoch(epoch)
        order, source = sampler.indices(), sources[epoch % len(sources)]
        for step in range(steps):
            picked = order[step * first.batch_size : (step + 1) * first.batch_size]
            features = torch.from_numpy(np.asarray(source[picked], np.float32))
            share = (epoch * steps + step) / (first.epochs * steps)
            heads.step(features, torch.from_numpy(rows[picked]), 0.5 * (1 + np.cos(np.pi * share)))
        reached = heads.validated(validation, first.class_counts_)
        for k, estimator in enumerate(group):
            found = heads.head(k)
            if not (np.isfinite(found.weight).all() and np.isfinite(found.bias).all()):
                raise ValueError(f"crt: training diverged in epoch {epoch + 1}; lower lr ({estimator.lr})")
            if reached is None or reached[k] > best[k]:
                best[k] = -1.0 if reached is None else reached[k]
                estimator.head_, estimator.best_epoch_ = found, epoch + 1


class _Stack:
    """K linear heads (K, C, D) with biases (K, C), each with its own rate, momentum and decay."""

    def __init__(self, group: Sequence[CRT], num_features: int, num_classes: int, absent: np.ndarray):
        self.shape = (len(group), num_classes, num_features)
        self.weight, self.bias = torch.zeros(self.shape), torch.zeros(self.shape[:2])
        self.speed = torch.zeros(self.shape), torch.zeros(self.shape[:2])
        self.lr, self.momentum, self.decay = (
            torch.tensor([float(getattr(e, key)) for e in group])
            for key in ("lr", "momentum", "weight_decay")
        )
        self.absent = torch.from_numpy(absent) if absent.any() else None

    def step(self, features: torch.Tensor, labels: torch.Tensor, factor: float) -> None:
        """One step of every head on features (B, D), labels (B,), under `factor` times its rate."""
        count, (heads, classes, width) = len(labels), self.shape
        flat = self.weight.view(heads * classes, width)
        shares = torch.addmm(self.bias.view(-1), features, flat.T).view(count, heads, classes)
        if self.absent is not None:
            shares.masked_fill_(self.absent, -torch.inf)
        shares = torch.softmax(shares, 2)
        shares[torch.arange(count), :, labels] -= 1  # the gradient of cross-entropy by the logits
        shares /= count
        slope = (shares.view(count, -1).T @ features).view(self.shape), shares.sum(0)
        for values, gradient, speed in zip((self.weight, self.bias), slope, self.speed, strict=True):
            each = (slice(None),) + (None,) * (values.ndim - 1)  # a setting of each head, over its entries
            gradient += self.decay[each] * values
            speed.mul_(self.momentum[each]).add_(gradient)
            values -= factor * self.lr[each] * speed

    def head(self, k: int) -> Head:
        """A copy of the k-th head."""
        return Head(self.weight[k], self.bias[k])

    def validated(self, validation, class_counts: np.ndarray) -> list[float] | None:
        """Balanced accuracy of each head on validation features, None without any."""
        from longtail.stages.metrics.scores import evaluate

        if validation is None:
            return None
        playing = class_counts > 0
        scores = (np.where(playing, self.head(k).logits(validation.X), -np.inf) for k in range(self.shape[0]))
        return [evaluate(s, validation.y, class_counts)["balanced_accuracy"] for s in scores]
