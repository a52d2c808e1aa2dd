"""Distribution alignment."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, numpy_scores
from longtail.stages.classifiers.tools.weighting import WeightedCrossEntropy
from longtail.stages.parameters import BatchSize, Epochs, Fraction, NonNegative, Positive
from longtail.stages.priors import power_weights

CONFIDENCE_START = 0.1  # every entry of u: Zhang 2021's released code


@CLASSIFIERS.register("disalign")
class DisAlign(Classifier):
    """DisAlign: z' = (1 + σ·s) ⊙ z + σ·t on stage one's frozen logits z, σ = sigmoid(u·f + u₀) of a sample.

    A magnitude s and a margin t for each class, mixed in by a confidence σ learned from the features. They
    minimise cross-entropy with weights w_c ∝ π_c^(−rho), divided by the Σ w of the batch, over
    instance_balanced batches. s starts at 1, t at 0, u at .1: each sample's logits are then multiplied by one
    number > 0, so that predictions equal joint's. Keeps the best epoch by validation balanced accuracy, the
    last without validation; uses one of the augmented views an epoch, in turn. An absent class keeps s 1,
    t 0.

    u₀ starts at 0, where the released code draws it from ±1/√D: it decides nothing at the start and a fit
    depends on the order of samples alone.

    Fitted: ``base_`` the head, ``magnitude_`` s and ``margin_`` t (C,), ``confidence_weight_`` u (D,),
    ``confidence_bias_`` u₀ (1,), ``best_epoch_``.

    Source: Zhang 2021 (arXiv 2103.16370); the starting values its released code's.
    """

    uses_views = True

    def __init__(
        self,
        *,
        rho: NonNegative = 1.2,
        lr: Positive = 0.1,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
        batch_size: BatchSize = 256,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.rho = rho
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        import torch

        from longtail.stages.samplers import SAMPLERS

        self.base_ = base = head or fit_plain_head(X, rows, len(self.classes_))
        num_classes = len(self.classes_)
        loss = WeightedCrossEntropy(power_weights(self.class_counts_, self.rho), "weights")

        def objective(p, features, labels):
            logits = torch.from_numpy(base.logits(features.numpy()).astype(np.float32, copy=False))
            return loss(aligned(p, features, logits), labels)

        start = {
            "magnitude": np.ones(num_classes),
            "margin": np.zeros(num_classes),
            "confidence_weight": np.full(X.shape[1], CONFIDENCE_START),
            "confidence_bias": np.zeros(1),
        }
        model = Model(
            "disalign",
            start,
            objective,
            scores=lambda arrays, X: numpy_scores(aligned, arrays, X, base.logits(X)),
        )
        settings = SgdSettings.of(self)
        sampler = SAMPLERS.create("instance_balanced", rows, num_classes, seed=settings.seed)
        learned, self.best_epoch_ = fit_sgd(
            model, views or [X], rows, sampler, settings, validation=validation
        )
        absent = self.class_counts_ == 0
        self.magnitude_ = np.where(absent, np.float32(1), learned["magnitude"])
        self.margin_ = np.where(absent, np.float32(0), learned["margin"])
        self.confidence_weight_ = learned["confidence_weight"]
        self.confidence_bias_ = learned["confidence_bias"]

    def _scores(self, X) -> np.ndarray:
        return numpy_scores(aligned, self._arrays(), X, self.base_.logits(X))

    def as_module(self):
        from longtail.stages.classifiers.tools.modules import LinearScores, Scored

        check_is_fitted(self)
        base = LinearScores(LinearForm.of_head(self.base_))
        return Scored(aligned, self._arrays(), self.class_counts_ == 0, base)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "magnitude": self.magnitude_,
            "margin": self.margin_,
            "confidence_weight": self.confidence_weight_,
            "confidence_bias": self.confidence_bias_,
        }


def aligned(p, features, logits):
    """(1 + σ·s) ⊙ z + σ·t, (B, C), of features (B, D) and logits z (B, C), all tensors."""
    confidence = (features @ p["confidence_weight"] + p["confidence_bias"]).sigmoid()[:, None]  # (B, 1)
    return (1 + confidence * p["magnitude"]) * logits + confidence * p["margin"]
