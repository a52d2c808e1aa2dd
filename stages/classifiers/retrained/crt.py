"""Classifier re-training."""

from __future__ import annotations

from typing import Literal

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.given_loss import (
    make_loss,
    refuse_other_losses,
    warn_of_two_corrections,
)
from longtail.stages.classifiers.tools.linear import fit_linear
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, refuse_steps
from longtail.stages.heads import is_cosine
from longtail.stages.linear_scores import linear_scores
from longtail.stages.network import Head
from longtail.stages.parameters import (
    BatchSize,
    Epochs,
    Fraction,
    LossSpec,
    NonNegative,
    Positive,
    SamplerSpec,
)
from longtail.stages.priors import uniform_bias
from longtail.stages.randomness import generator
from longtail.stages.registry import split_spec


@CLASSIFIERS.register("crt")
class CRT(LinearClassifier):
    """cRT: a new linear head with bias, trained with every class weighing the same.

    ``sgd`` draws batches with `sampler` (class_balanced), as the reference does, and keeps the best epoch
    by validation balanced accuracy (the last without validation). ``lbfgs`` minimises what that converges
    to, Σ_i p_{y_i}/n_{y_i}·ℓ_i + weight_decay/2·(‖W‖² + ‖b‖²) with p the sampler's class probabilities
    (1/C for class_balanced): deterministic, no learning rate, and scikit-learn's C = 1/(N·weight_decay).
    It takes cross_entropy and samplers that do not change by epoch only; `lr`, `momentum`, `batch_size`
    and `epochs` are sgd's. Both start from zero weights. Under ldam, margin and hinge the head is a
    cosine one, without bias and from random directions; under the sigmoid losses its bias starts at
    −log(C−1) and is not decayed. A loss that corrects for class counts wants ``sampler:
    instance_balanced``. Of augmented views of the samples sgd uses one an epoch, in turn; for lbfgs ℓ_i
    is the mean over them.

    Source: Kang 2020 (arXiv 1910.09217), section 4.1; sgd's defaults are its released code's.
    """

    uses_views = True

    def __init__(
        self,
        *,
        solver: Literal["lbfgs", "sgd"] = "lbfgs",
        sampler: SamplerSpec = "class_balanced",
        loss: LossSpec = "cross_entropy",
        lr: Positive = 0.2,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
        batch_size: BatchSize = 512,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.solver = solver
        self.sampler = sampler
        self.loss = loss
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        if self.solver == "lbfgs":
            self._refuse_what_lbfgs_ignores()
            sampler = self._make_sampler(rows, seed=0)  # only its probabilities matter
            if sampler.changes_by_epoch:
                raise ValueError(f"sampler: solver lbfgs knows no epochs, got {self.sampler!r}; use sgd")
            mass = sampler.class_probabilities(0) / np.maximum(self.class_counts_, 1)
            self.head_ = fit_linear(X, rows, mass, weight_decay=self.weight_decay, views=views)
        else:
            self.head_ = self._fit_sgd(views or [X], rows, validation)

    def _refuse_what_lbfgs_ignores(self) -> None:
        refuse_other_losses(self.loss)
        refuse_steps(self)

    def _make_sampler(self, rows, seed: int):
        """The sampler over labels `rows` (N,); ValueError when it needs another batch size."""
        from longtail.stages.samplers import SAMPLERS

        name, params = split_spec(self.sampler)
        if "epochs" in SAMPLERS.describe(name).parameters:
            params.setdefault("epochs", self.epochs)
        sampler = SAMPLERS.create(name, rows, len(self.classes_), seed=seed, **params)
        needed = sampler.required_batch_size
        if self.solver == "sgd" and needed not in (None, self.batch_size):
            raise ValueError(
                f"batch_size: must be {needed} with sampler {self.sampler!r}, got {self.batch_size}"
            )
        return sampler

    def _fit_sgd(self, sources, rows, validation) -> Head:
        settings = SgdSettings.of(self)
        sampler = self._make_sampler(rows, settings.seed)
        loss = make_loss(self.loss, self.class_counts_, validation)
        warn_of_two_corrections("crt", loss, self.loss, sampler, self.sampler, epoch=self.epochs - 1)
        shape = (len(self.classes_), sources[0].shape[1])
        cosine = is_cosine(loss.head_kind)
        if cosine:
            start = {"weight": generator(settings.seed, "crt").standard_normal(shape)}
        else:
            bias = uniform_bias(shape[0]) if loss.prior_bias else 0.0
            start = {"weight": np.zeros(shape), "bias": np.full(shape[0], bias)}

        def logits(p, features):
            return linear_scores(features, p["weight"], p.get("bias"), cosine=cosine)

        def as_head(arrays) -> Head:
            return Head(arrays["weight"], arrays.get("bias"), loss.scale, cosine=cosine)

        model = Model(
            "crt",
            start,
            objective=lambda p, features, labels: loss(logits(p, features), labels),
            scores=lambda arrays, X: as_head(arrays).logits(X),
            undecayed=("bias",) if loss.prior_bias else (),
        )
        learned, self.best_epoch_ = fit_sgd(
            model, sources, rows, sampler, settings, validation=validation, loss=loss
        )
        return as_head(learned)
