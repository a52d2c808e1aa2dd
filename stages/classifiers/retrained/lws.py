"""Learnable weight scaling."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np

from longtail.stages.blocks import BLOCK_BYTES, row_blocks, working_type
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.frozen_logits import frozen_logits
from longtail.stages.classifiers.tools.given_loss import (
    make_loss,
    refuse_other_losses,
    warn_of_two_corrections,
)
from longtail.stages.classifiers.tools.linear import fit_plain_head, lbfgs, places
from longtail.stages.classifiers.tools.linear_form import LinearForm
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, refuse_steps
from longtail.stages.heads import is_cosine
from longtail.stages.linear_scores import linear_scores
from longtail.stages.network import Head
from longtail.stages.parameters import BatchSize, Epochs, Fraction, LossSpec, NonNegative, Positive
from longtail.stages.priors import class_mass
from longtail.stages.softmax import CACHED, weighted_cross_entropy

FLOAT64_LOGITS = 2e7  # up to this many logits are kept and worked on in float64


@CLASSIFIERS.register("lws")
class LWS(Classifier):
    """z = s ⊙ (W f): one learned scale for each class of stage one's weights.

    s starts at 1 and minimises Σ_i ℓ_i/(C·n_{y_i}) + weight_decay/2·‖s‖², W frozen: convex in s. ``lbfgs``
    finds that minimum on the cached logits: deterministic, no learning rate, cross_entropy only. ``sgd``
    takes class_balanced batches, any `loss` for linear heads, and keeps the best epoch by validation balanced
    accuracy, the last without validation; `lr`, `momentum`, `batch_size` and `epochs` are sgd's. With a
    `classifier_rate` r > 0 it also trains the head, at r times the scales' learning rate and under the same
    weight decay, as MiSLAS does in stage two (r .2).

    `bias` "scaled" is the reference's s ⊙ (W f + b). The reference decays s, which pulls it to 0; here
    nothing does by default. Of augmented views sgd uses one an epoch, in turn; for lbfgs ℓ_i is the mean over
    a sample's.

    Fitted: ``base_`` the head, ``scale_`` (C,); with sgd ``best_epoch_``.

    Source: Kang 2020 (arXiv 1910.09217), section 4.1; the trained head Zhong 2021 (2104.00466), released
    code.
    """

    uses_views = True

    def __init__(
        self,
        *,
        solver: Literal["lbfgs", "sgd"] = "lbfgs",
        bias: Literal["none", "scaled"] = "none",
        classifier_rate: NonNegative = 0.0,
        loss: LossSpec = "cross_entropy",
        lr: Positive = 0.2,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 0.0,
        batch_size: BatchSize = 512,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.solver = solver
        self.bias = bias
        self.classifier_rate = classifier_rate
        self.loss = loss
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        head = head or fit_plain_head(X, rows, len(self.classes_))
        bias = head.bias if self.bias == "scaled" else None
        self.base_ = Head(head.weight, bias, head.scale, head.cosine)
        if self.solver == "lbfgs":
            self._refuse_what_lbfgs_ignores()
            self._minimise(views or [X], rows)
        else:
            self._train(views or [X], rows, validation)

    def _refuse_what_lbfgs_ignores(self) -> None:
        refuse_other_losses(self.loss)
        refuse_steps(self)
        if self.classifier_rate:
            raise ValueError(
                f"classifier_rate: solver lbfgs learns scales alone, got {self.classifier_rate}; "
                "set solver: sgd or leave it out"
            )

    def _minimise(self, sources, rows) -> None:
        present = np.flatnonzero(self.class_counts_)
        targets = places(present, len(self.classes_))[rows]
        weights = class_mass(self.class_counts_)[rows] / len(sources)
        dtype = working_type(sources[0], len(sources) * len(rows) * len(present), FLOAT64_LOGITS)
        logits = frozen_logits(self.base_, sources, columns=present, dtype=dtype)
        resident = all(source.kept is not None for source in logits)
        width = sources[0].shape[1] + 2 * len(present)
        if resident:
            width = BLOCK_BYTES * len(present) // (8 * CACHED)
        blocks = list(product(logits, row_blocks(len(rows), width)))

        def objective(s: np.ndarray) -> tuple[float, np.ndarray]:
            """The loss at scales s (K,) of the classes present, and its gradient (K,)."""
            value, gradient = 0.5 * self.weight_decay * s @ s, self.weight_decay * s
            factor = s.astype(dtype)
            for source, block in blocks:
                z = source[block]
                loss, residual = weighted_cross_entropy(z * factor, targets[block], weights[block])
                value += loss
                gradient = gradient + np.einsum("nc,nc->c", residual, z)
            return value, gradient

        self.scale_ = np.ones(len(self.classes_))
        self.scale_[present] = lbfgs(objective, np.ones(len(present)), max_iter=1000)

    def _train(self, sources, rows, validation) -> None:
        from longtail.stages.samplers import SAMPLERS

        loss = make_loss(self.loss, self.class_counts_, validation)
        if is_cosine(loss.head_kind):
            raise ValueError(f"loss: must be one for linear heads, got {self.loss!r}, which is for cosines")
        settings = SgdSettings.of(self)
        sampler = SAMPLERS.create("class_balanced", rows, len(self.classes_), seed=settings.seed)
        warn_of_two_corrections("lws", loss, self.loss, sampler, "class_balanced", epoch=self.epochs - 1)
        base, trained = self.base_, {"weight": self.base_.weight}
        if base.bias is not None:
            trained["bias"] = base.bias
        if not self.classifier_rate:  # the head stays as it is: its logits are what a step starts from
            trained = {}
            every = np.arange(len(self.classes_))
            sources = frozen_logits(base, sources, columns=every, dtype=np.float32)

        def logits(p, given):
            if not trained:
                return p["scale"] * given
            kind = {"scale": base.scale, "cosine": base.cosine}
            return p["scale"] * linear_scores(given, p["weight"], p.get("bias"), **kind)

        def as_head(arrays) -> Head:
            return Head(arrays["weight"], arrays.get("bias"), base.scale, base.cosine) if trained else base

        model = Model(
            "lws",
            {"scale": np.ones(len(self.classes_))} | trained,
            objective=lambda p, given, labels: loss(logits(p, given), labels),
            scores=lambda arrays, X: arrays["scale"] * as_head(arrays).logits(X),
            rates=dict.fromkeys(trained, self.classifier_rate),
        )
        learned, self.best_epoch_ = fit_sgd(
            model, sources, rows, sampler, settings, validation=validation, loss=loss
        )
        self.base_, self.scale_ = as_head(learned), learned["scale"].astype(np.float64)

    def _scores(self, X) -> np.ndarray:
        scores = self.base_.logits(X)
        return scores * self.scale_.astype(scores.dtype)

    def _linear_form(self) -> LinearForm:
        return LinearForm.of_head(self.base_).scaled(self.scale_)
