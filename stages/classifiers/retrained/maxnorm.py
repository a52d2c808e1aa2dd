"""Weight balancing under a MaxNorm constraint."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, validation_metrics
from longtail.stages.classifiers.tools.weighting import WeightedCrossEntropy
from longtail.stages.features import Features
from longtail.stages.linear_scores import linear_scores
from longtail.stages.network import Head
from longtail.stages.parameters import BatchSize, Beta, Epochs, Fraction, NonNegative, Positive
from longtail.stages.priors import class_mass, class_weights, effective_share
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds

ABOVE_SMALLEST = 0.1  # Alshammari 2022's released code: δ lies a tenth of the way from min‖W‖ to max‖W‖
DECAYS = (0.1, 0.03, 0.01, 0.003, 0.001)  # the strongest first, so that it is chosen among equally good ones


class Samples(NamedTuple):
    """What is trained on: matrices (N, D) of the same samples, their row numbers (N,), validation."""

    sources: list[np.ndarray]
    rows: np.ndarray
    validation: Features | None


class Trained(NamedTuple):
    """A head, the epoch it is of (from 1), its weight decay, and the class counts (C,) it was trained on."""

    head: Head
    epoch: int
    weight_decay: float
    class_counts: np.ndarray

    def balanced_accuracy(self, validation: Features) -> float:
        """On validation features, a fraction."""
        return validation_metrics(self.head.logits, validation, self.class_counts)["balanced_accuracy"]


@CLASSIFIERS.register("maxnorm")
class MaxNorm(LinearClassifier):
    """Stage one's head trained on, no class's weights longer than δ: W_c ← W_c·min(1, δ/‖W_c‖) each step.

    δ = min‖W‖ + .1·(max‖W‖ − min‖W‖) over the classes present in the starting head; the bias is free.
    Minimises Σ w_{y_i}·ℓ_i/B over instance_balanced batches, w_c ∝ 1/E_{n_c}, the effective number
    E_n = (1 − beta^n)/(1 − beta), with a strong weight decay. Keeps the best epoch by validation balanced
    accuracy, the last without validation; uses one of the augmented views an epoch, in turn. A head without a
    bias stays without; a scale or cosine stays what it was (under cosine only the direction of W counts, and
    the cap changes no score).

    `weight_decay` is a number ≥ 0, or "validation": the one of .1, .03, .01, .003 and .001 of highest
    balanced accuracy on validation, the strongest of equal ones; without a head, by 3-fold cross-validation.
    The best depends on the number of classes: the samples' pull on a row shrinks as 1/C, the decay's does
    not, and the paper's .1 for CIFAR-100 gains nothing with ten classes.

    ℓ is cross-entropy; the paper's class-balanced "softmax" loss is binary cross-entropy on the softmax,
    averaged over the classes too.

    Fitted: ``head_``, ``delta_``, ``best_epoch_``, ``weight_decay_``.

    Raises ValueError when the weight decay is to be chosen for a given head without validation data.

    Source: Alshammari 2022 (arXiv 2203.14197); δ and the optimiser its released code's, the weights Cui 2019
    (1901.05555).
    """

    uses_views = True
    in_every_id = ("weight_decay",)  # its default was .1 once

    def __init__(
        self,
        *,
        beta: Beta = 0.9999,
        lr: Positive = 0.01,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative | Literal["validation"] = "validation",
        batch_size: BatchSize = 64,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.beta = beta
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        start = head or fit_plain_head(X, rows, len(self.classes_))
        self.delta_ = cap(start, self.class_counts_)
        samples = Samples(views or [X], rows, validation)
        if self.weight_decay != "validation":
            trained = self._trained(start, samples, float(self.weight_decay))
        elif validation is not None:
            every = [self._trained(start, samples, decay) for decay in DECAYS]
            trained = max(every, key=lambda one: one.balanced_accuracy(validation))
        elif head is not None:
            raise ValueError(NEEDS_VALIDATION)
        else:
            trained = self._trained(start, samples, self._cross_validated_decay(X, samples))
        self.head_, self.best_epoch_, self.weight_decay_ = trained.head, trained.epoch, trained.weight_decay

    def _cross_validated_decay(self, X, samples: Samples) -> float:
        """The decay of highest balanced accuracy on the held-out samples of all folds together."""
        rows, num_classes = samples.rows, len(self.classes_)
        folds = round_robin_folds(rows)
        if not folds:
            raise ValueError(
                "weight_decay: cross-validation found no class with two samples (n_samples=1?); pass a number"
            )
        starts = [fit_plain_head(X[train], rows[train], num_classes) for train, _ in folds]
        rights = []
        for decay in DECAYS:
            right = np.zeros(len(rows))
            for start, (train, held) in zip(starts, folds, strict=True):
                fold = Samples([source[train] for source in samples.sources], rows[train], None)
                head = self._trained(start, fold, decay).head
                right[held] = head.logits(X[held]).argmax(1) == rows[held]
            rights.append(right)
        tested = np.concatenate([held for _, held in folds])
        share = class_mass(np.bincount(rows[tested], minlength=num_classes))[rows[tested]]
        return DECAYS[int(np.argmax([right[tested] @ share for right in rights]))]

    def _trained(self, start: Head, samples: Samples, decay: float) -> Trained:
        """`start` trained on with a weight decay; the caps are those of `start`."""
        import torch

        from longtail.stages.samplers import SAMPLERS

        counts = np.bincount(samples.rows, minlength=start.num_classes)
        longest = cap(start, counts)
        weights = class_weights(counts, lambda n: 1 / effective_share(n, self.beta))
        loss = WeightedCrossEntropy(weights, "batch")

        def objective(p, features, labels):
            kind = {"scale": start.scale, "cosine": start.cosine}
            return loss(linear_scores(features, p["weight"], p.get("bias"), **kind), labels)

        def shorten(p):
            norm = p["weight"].norm(dim=1, keepdim=True)
            p["weight"].mul_(torch.where(norm > longest, longest / norm, 1.0))

        model = Model(
            "maxnorm",
            {"weight": start.weight} | ({} if start.bias is None else {"bias": start.bias}),
            objective,
            scores=lambda arrays, X: as_head(arrays, start).logits(X),
            after_step=shorten,
        )
        settings = replace(SgdSettings.of(self), weight_decay=decay)
        sampler = SAMPLERS.create("instance_balanced", samples.rows, start.num_classes, seed=settings.seed)
        learned, epoch = fit_sgd(
            model, samples.sources, samples.rows, sampler, settings, validation=samples.validation
        )
        return Trained(as_head(learned, start), epoch, decay, counts)


def cap(head: Head, class_counts: np.ndarray) -> float:
    """δ of a starting head: a tenth of the way from the shortest row of a class present to the longest."""
    norms = np.linalg.norm(head.weight[class_counts > 0].astype(np.float64), axis=1)
    return float(norms.min() + ABOVE_SMALLEST * (norms.max() - norms.min()))


def as_head(arrays: dict[str, np.ndarray], like: Head) -> Head:
    """Trained arrays as a head of the same kind as the one they started from."""
    return Head(arrays["weight"], arrays.get("bias"), like.scale, like.cosine)
