"""Classifier re-training."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.classifiers import CLASSIFIERS
from stages.classifiers.base import LinearClassifier
from stages.classifiers.linear import fit_linear
from stages.network import Head
from stages.parameters import Count, Fraction, LossSpec, NonNegative, Positive, SamplerSpec
from stages.registry import signature_parameters, split_spec


@CLASSIFIERS.register("crt")
class CRT(LinearClassifier):
    """cRT: a new linear head with bias, trained with every class weighing the same.

    ``sgd`` draws batches with `sampler` (class_balanced), as the reference does, and keeps the best epoch by
    validation balanced accuracy (the last without validation). ``lbfgs`` minimises what that converges to,
    Σ_i p_{y_i}/n_{y_i}·ℓ_i + weight_decay/2·(‖W‖² + ‖b‖²) with p the sampler's class probabilities (1/C for
    class_balanced): deterministic, no learning rate, and scikit-learn's C = 1/(N·weight_decay). It takes
    cross_entropy and samplers that do not change by epoch only; `lr`, `momentum`, `batch_size` and `epochs`
    are sgd's. Both start from zero weights. Of augmented views of the samples sgd uses one an epoch, in turn;
    for lbfgs ℓ_i is the mean over them.

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
        batch_size: Count = 512,
        epochs: Count = 10,
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
            sampler = self._sampler(rows, seed=0)  # only its probabilities matter
            if sampler.changes_by_epoch:
                raise ValueError(f"sampler: solver lbfgs knows no epochs, got {self.sampler!r}; use sgd")
            mass = sampler.class_probabilities(0) / np.maximum(self.class_counts_, 1)
            self.head_ = fit_linear(X, rows, mass, weight_decay=self.weight_decay, views=views)
        else:
            self.head_ = self._fit_sgd(views or [X], rows, validation)

    def _refuse_what_lbfgs_ignores(self) -> None:
        if split_spec(self.loss) != ("cross_entropy", {}):
            raise ValueError(f"loss: solver lbfgs takes cross_entropy only, got {self.loss!r}; use sgd")
        defaults = signature_parameters(type(self))
        for key in ("lr", "momentum", "batch_size", "epochs"):
            value = getattr(self, key)
            if value != defaults[key].default:
                raise ValueError(
                    f"{key}: solver lbfgs has none, got {value}; set solver: sgd or leave it out"
                )

    def _sampler(self, rows, seed: int):
        from stages.samplers import SAMPLERS

        name, params = split_spec(self.sampler)
        if "epochs" in SAMPLERS.describe(name).parameters:
            params.setdefault("epochs", self.epochs)
        return SAMPLERS.create(name, rows, len(self.classes_), seed=seed, **params)

    def _fit_sgd(self, sources, rows, validation) -> Head:
        import torch
        from sklearn.utils import check_random_state

        from stages.losses import LOSSES
        from stages.metrics import evaluate
        from stages.schedules import SCHEDULES

        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31)
        sampler = self._sampler(rows, int(seed))
        needed = sampler.required_batch_size
        if needed not in (None, self.batch_size):
            raise ValueError(
                f"batch_size: must be {needed} with sampler {self.sampler!r}, got {self.batch_size}"
            )
        name, params = split_spec(self.loss)
        loss = LOSSES.create(name, self.class_counts_, **params)
        linear = torch.nn.utils.skip_init(torch.nn.Linear, sources[0].shape[1], len(self.classes_))
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        optimizer = torch.optim.SGD(
            linear.parameters(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        factor = SCHEDULES.create("cosine")
        steps = -(-len(sampler) // self.batch_size)
        best_head, best = None, -1.0
        for epoch in range(self.epochs):
            sampler.set_epoch(epoch)
            loss.set_epoch(epoch)
            order, X = sampler.indices(), sources[epoch % len(sources)]
            for step in range(steps):
                picked = order[step * self.batch_size : (step + 1) * self.batch_size]
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * factor(epoch * steps + step, steps, self.epochs)
                features = torch.from_numpy(np.asarray(X[picked], np.float32))
                value = loss(linear(features), torch.from_numpy(rows[picked]))
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
            head = Head(linear.weight, linear.bias)
            if not np.isfinite(head.weight).all():
                raise ValueError(f"crt: training diverged in epoch {epoch + 1}; lower lr ({self.lr})")
            if validation is None:
                best_head, self.best_epoch_ = head, epoch + 1
                continue
            scores = np.where(self.class_counts_ > 0, head.logits(validation.X), -np.inf)
            reached = evaluate(scores, validation.y, self.class_counts_)
            loss.set_class_accuracy(reached["class_accuracy"])
            if reached["balanced_accuracy"] > best:
                best, best_head, self.best_epoch_ = reached["balanced_accuracy"], head, epoch + 1
        return best_head
