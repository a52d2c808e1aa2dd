"""Margin calibration."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.frozen_logits import frozen_logits
from longtail.stages.classifiers.tools.linear import fit_plain_head, lbfgs, places
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, refuse_steps
from longtail.stages.classifiers.tools.weighting import WeightedCrossEntropy
from longtail.stages.network import Head
from longtail.stages.parameters import BatchSize, Epochs, Fraction, NonNegative, Positive
from longtail.stages.priors import power_weights
from longtail.stages.softmax import weighted_cross_entropy


@CLASSIFIERS.register("marc")
class MARC(Classifier):
    """MARC: z' = ω ⊙ z + β ⊙ ‖W‖, a scale and a margin for each class of stage one's frozen head.

    z are the head's logits with bias, ‖W‖ (C,) its row norms. ω starts at 1 and β at 0, which is joint, and
    they minimise Σ_i w_{y_i}·ℓ_i/Σ_i w_{y_i} + weight_decay/2·(‖ω‖² + ‖β‖²), w_c ∝ π_c^(−rho), convex in
    both. ``lbfgs`` finds that minimum: deterministic, no learning rate. ``sgd`` is the paper's way there
    (instance_balanced batches, each divided by its own Σ w) and keeps the best epoch by validation balanced
    accuracy, the last without validation; `lr`, `momentum`, `batch_size` and `epochs` are sgd's. The default
    is lbfgs: the same objective without the noise. An absent class keeps ω 1, β 0. A head with a scale has
    the norms of scale·W, a cosine one those of its unit rows. Of augmented views sgd uses one an epoch, in
    turn; for lbfgs ℓ_i is the mean over them.

    Fitted: ``base_`` the head, ``omega_`` and ``beta_`` (C,); with sgd ``best_epoch_``.

    Source: Wang 2022 (arXiv 2112.07225) and its settings; the weights Zhang 2021 (2103.16370).
    """

    uses_views = True

    def __init__(
        self,
        *,
        solver: Literal["lbfgs", "sgd"] = "lbfgs",
        rho: NonNegative = 1.2,
        lr: Positive = 0.05,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
        batch_size: BatchSize = 256,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.solver = solver
        self.rho = rho
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        if self.solver == "lbfgs":
            refuse_steps(self)
        self.base_ = head or fit_plain_head(X, rows, len(self.classes_))
        weights = power_weights(self.class_counts_, self.rho)
        self.omega_, self.beta_ = np.ones(len(weights)), np.zeros(len(weights))
        present = np.flatnonzero(self.class_counts_)
        if self.solver == "lbfgs":
            learned = self._minimum(views or [X], rows, weights, present)
        else:
            learned = self._trained(views or [X], rows, weights, validation)[:, present]
        self.omega_[present], self.beta_[present] = learned

    def _minimum(self, sources, rows, weights, present) -> np.ndarray:
        """ω and β of the classes present, (2, K)."""
        targets = places(present, len(weights))[rows]
        shares = weights[rows] / (weights[rows].sum() * len(sources))
        norms = head_norms(self.base_)[present]
        logits = frozen_logits(self.base_, sources, columns=present, dtype=np.float64)
        blocks = list(product(logits, row_blocks(len(rows), sources[0].shape[1] + 2 * len(present))))

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            """The loss at ω and β (2·K,), flattened, and its gradient (2·K,)."""
            omega, beta = flat.reshape(2, -1)
            value, gradient = 0.5 * self.weight_decay * flat @ flat, self.weight_decay * flat.reshape(2, -1)
            for source, block in blocks:
                z = source[block]
                loss, residual = weighted_cross_entropy(
                    omega * z + beta * norms, targets[block], shares[block]
                )
                value += loss
                gradient[0] += (residual * z).sum(0)
                gradient[1] += residual.sum(0) * norms
            return value, gradient.ravel()

        start = np.concatenate([self.omega_[present], self.beta_[present]])
        return lbfgs(objective, start, max_iter=1000).reshape(2, -1)

    def _trained(self, sources, rows, weights, validation) -> np.ndarray:
        """ω and β of all classes, (2, C)."""
        import torch

        from longtail.stages.samplers import SAMPLERS

        norms = head_norms(self.base_)
        margins = torch.from_numpy(norms.astype(np.float32))
        loss = WeightedCrossEntropy(weights, "weights")
        model = Model(
            "marc",
            {"omega": self.omega_, "beta": self.beta_},
            objective=lambda p, logits, labels: loss(p["omega"] * logits + p["beta"] * margins, labels),
            scores=lambda p, X: p["omega"] * self.base_.logits(X) + p["beta"] * norms,
        )
        settings = SgdSettings.of(self)
        sampler = SAMPLERS.create("instance_balanced", rows, len(weights), seed=settings.seed)
        logits = frozen_logits(self.base_, sources, columns=np.arange(len(weights)), dtype=np.float32)
        learned, self.best_epoch_ = fit_sgd(model, logits, rows, sampler, settings, validation=validation)
        return np.stack([learned["omega"], learned["beta"]])

    def _scores(self, X) -> np.ndarray:
        logits = self.base_.logits(X)
        margins = (self.beta_ * head_norms(self.base_)).astype(logits.dtype)
        return self.omega_.astype(logits.dtype) * logits + margins

    def _linear_form(self) -> LinearForm:
        return LinearForm.of_head(self.base_).scaled(self.omega_, self.beta_ * head_norms(self.base_))


def head_norms(head: Head) -> np.ndarray:
    """Norms (C,) float64 of the rows that make a head's logits: of scale·W, of unit rows with ``cosine``."""
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    return abs(head.scale) * ((norms > 0) if head.cosine else norms)
