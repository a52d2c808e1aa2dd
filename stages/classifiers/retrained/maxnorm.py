"""Weight balancing under a MaxNorm constraint."""

from __future__ import annotations

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd
from longtail.stages.classifiers.tools.weighting import WeightedCrossEntropy
from longtail.stages.linear_scores import linear_scores
from longtail.stages.network import Head
from longtail.stages.parameters import BatchSize, Beta, Epochs, Fraction, NonNegative, Positive
from longtail.stages.priors import class_weights, effective_share

ABOVE_SMALLEST = 0.1  # Alshammari 2022's released code: δ lies a tenth of the way from min‖W‖ to max‖W‖


@CLASSIFIERS.register("maxnorm")
class MaxNorm(LinearClassifier):
    """Stage one's head trained on, no class's weights longer than δ: W_c ← W_c·min(1, δ/‖W_c‖) each step.

    δ = min‖W‖ + .1·(max‖W‖ − min‖W‖) over the classes present in the starting head; the bias is free.
    Minimises Σ w_{y_i}·ℓ_i/B over instance_balanced batches, w_c ∝ 1/E_{n_c}, the effective number
    E_n = (1 − beta^n)/(1 − beta), with a strong weight decay. Keeps the best epoch by validation balanced
    accuracy, the last without validation; uses one of the augmented views an epoch, in turn. A head without a
    bias stays without; a scale or cosine stays what it was (under cosine only the direction of W counts, and
    the cap changes no score).

    A weight decay of .1 is CIFAR-100's: the samples' pull on a row shrinks as 1/C, the decay's does not, and
    with many classes it can leave next to nothing of W. Choose it on validation.

    ℓ is cross-entropy; the paper's class-balanced "softmax" loss is binary cross-entropy on the softmax,
    averaged over the classes too.

    Fitted: ``head_``, ``delta_``, ``best_epoch_``.

    Source: Alshammari 2022 (arXiv 2203.14197); δ and the optimiser its released code's, the weights Cui 2019
    (1901.05555).
    """

    uses_views = True

    def __init__(
        self,
        *,
        beta: Beta = 0.9999,
        lr: Positive = 0.01,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 0.1,
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
        import torch

        from longtail.stages.samplers import SAMPLERS

        head = head or fit_plain_head(X, rows, len(self.classes_))
        self.delta_ = cap(head, self.class_counts_)
        weights = class_weights(self.class_counts_, lambda n: 1 / effective_share(n, self.beta))
        loss = WeightedCrossEntropy(weights, "batch")

        def objective(p, features, labels):
            kind = {"scale": head.scale, "cosine": head.cosine}
            return loss(linear_scores(features, p["weight"], p.get("bias"), **kind), labels)

        def shorten(p):
            norm = p["weight"].norm(dim=1, keepdim=True)
            p["weight"].mul_(torch.where(norm > self.delta_, self.delta_ / norm, 1.0))

        model = Model(
            "maxnorm",
            {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias}),
            objective,
            scores=lambda arrays, X: as_head(arrays, head).logits(X),
            after_step=shorten,
        )
        settings = SgdSettings.of(self)
        sampler = SAMPLERS.create("instance_balanced", rows, len(self.classes_), seed=settings.seed)
        learned, self.best_epoch_ = fit_sgd(
            model, views or [X], rows, sampler, settings, validation=validation
        )
        self.head_ = as_head(learned, head)


def cap(head: Head, class_counts: np.ndarray) -> float:
    """δ of a starting head: a tenth of the way from the shortest row of a class present to the longest."""
    norms = np.linalg.norm(head.weight[class_counts > 0].astype(np.float64), axis=1)
    return float(norms.min() + ABOVE_SMALLEST * (norms.max() - norms.min()))


def as_head(arrays: dict[str, np.ndarray], like: Head) -> Head:
    """Trained arrays as a head of the same kind as the one they started from."""
    return Head(arrays["weight"], arrays.get("bias"), like.scale, like.cosine)
