"""Mini-batch SGD over frozen features, the training loop of every classifier that takes steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from longtail.stages.blocks import row_blocks
from longtail.stages.features import Features
from longtail.stages.losses.base import Loss
from longtail.stages.registry import signature_parameters
from longtail.stages.samplers.base import Sampler

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]

ONLY_STEPS_USE = ("lr", "momentum", "batch_size", "epochs")


@dataclass(frozen=True)
class SgdSettings:
    """How a classifier takes its steps: SGD with momentum, the rate falling along a cosine from `lr` to 0.

    `weight_decay` is the factor of ½‖θ‖², `batch_size` in samples, `seed` that of the samples' order.
    """

    lr: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    seed: int

    @classmethod
    def of(cls, estimator) -> SgdSettings:
        """The settings among an estimator's parameters; the seed is that of its `random_state`."""
        return cls(
            lr=estimator.lr,
            momentum=estimator.momentum,
            weight_decay=estimator.weight_decay,
            batch_size=estimator.batch_size,
            epochs=estimator.epochs,
            seed=as_seed(estimator.random_state),
        )


def as_seed(random_state) -> int:
    """A seed for samplers: an integer as it is, else one drawn from None or a RandomState."""
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def refuse_steps(estimator) -> None:
    """ValueError if an `estimator` with solver lbfgs sets a parameter that only sgd uses."""
    parameters = signature_parameters(type(estimator))
    for key in ONLY_STEPS_USE:
        value = getattr(estimator, key)
        if value != parameters[key].default:
            raise ValueError(f"{key}: solver lbfgs has none, got {value}; set solver: sgd or leave it out")


@dataclass(frozen=True)
class Model:
    """What is trained, and how it is scored.

    `start` are the arrays training starts from, by name. ``objective(tensors, features (B, D), labels (B,))``
    is a batch's scalar, ``scores(arrays, X (N, D))`` are (N, C). ``after_step(tensors)`` may change the
    tensors in place. Weight decay leaves those named in `undecayed` alone; `rates` are factors of the
    learning rate, 1 for the tensors it does not name. `owner` is named in errors.
    """

    owner: str
    start: Mapping[str, np.ndarray]
    objective: Callable[[Tensors, torch.Tensor, torch.Tensor], torch.Tensor]
    scores: Callable[[Arrays, np.ndarray], np.ndarray]
    after_step: Callable[[Tensors], None] | None = None
    undecayed: Collection[str] = ()
    rates: Mapping[str, float] = field(default_factory=dict)


def fit_sgd(
    model: Model,
    sources: Sequence,
    rows: np.ndarray,
    sampler: Sampler,
    settings: SgdSettings,
    *,
    validation: Features | None = None,
    loss: Loss | None = None,
) -> tuple[Arrays, int]:
    """Train `model` in float32; (its arrays, the epoch they are of, from 1).

    Epoch e takes its batches from ``sources[e % len(sources)]``, anything whose rows come by index, in the
    order of `sampler`; `rows` (N,) are the labels. With `validation` the first epoch of highest balanced
    accuracy is kept, without it the last. A given `loss` gets each epoch's number, the seed of its draws, and
    the validation accuracies of the classes.

    Raises ValueError, naming the model's owner, when a parameter is no longer finite.
    """
    training = _Training(model, rows, sampler, settings, loss)
    kept, kept_epoch, best = {}, 0, -1.0
    for epoch in range(settings.epochs):
        training.run_epoch(epoch, sources[epoch % len(sources)])
        arrays = training.finite_arrays(epoch)
        if validation is None:
            kept, kept_epoch = arrays, epoch + 1
            continue
        metrics = validation_metrics(partial(model.scores, arrays), validation, sampler.class_counts)
        if loss is not None:
            loss.set_class_accuracy(metrics["class_accuracy"])
        if metrics["balanced_accuracy"] > best:
            kept, kept_epoch, best = arrays, epoch + 1, metrics["balanced_accuracy"]
    return kept, kept_epoch


class _Training:
    """A model's tensors during training, and the optimiser that updates them."""

    def __init__(self, model: Model, rows, sampler: Sampler, settings: SgdSettings, loss: Loss | None):
        from longtail.stages.training.schedules import SCHEDULES

        self.model, self.rows, self.sampler = model, rows, sampler
        self.settings, self.loss = settings, loss
        self.tensors = {
            name: torch.nn.Parameter(torch.tensor(array, dtype=torch.float32))
            for name, array in model.start.items()
        }
        groups = [
            {"params": [tensor], "weight_decay": 0.0 if name in model.undecayed else settings.weight_decay}
            for name, tensor in self.tensors.items()
        ]
        self.optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
        self.schedule = SCHEDULES.create("cosine")

    def run_epoch(self, epoch: int, X) -> None:
        """Every step of an epoch (from 0) on rows of `X`."""
        size, epochs = self.settings.batch_size, self.settings.epochs
        self.sampler.set_epoch(epoch)
        if self.loss is not None:
            self.loss.set_epoch(epoch)
        order = self.sampler.indices()
        steps = -(-len(self.sampler) // size)
        for step in range(steps):
            picked = order[step * size : (step + 1) * size]
            if self.loss is not None:
                self.loss.set_draws(self.sampler.seed, epoch, step)
            features = torch.from_numpy(np.asarray(X[picked], np.float32))
            rate = self.settings.lr * self.schedule(epoch * steps + step, steps, epochs)
            self.step(features, torch.from_numpy(self.rows[picked]), rate)

    def step(self, features: torch.Tensor, labels: torch.Tensor, rate: float) -> None:
        """One step on features (B, D) and labels (B,) at a learning rate."""
        for group, name in zip(self.optimizer.param_groups, self.tensors, strict=True):
            group["lr"] = rate * self.model.rates.get(name, 1.0)
        value = self.model.objective(self.tensors, features, labels)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        if self.model.after_step is not None:
            with torch.no_grad():
                self.model.after_step(self.tensors)

    def finite_arrays(self, epoch: int) -> Arrays:
        """Copies of the tensors after an epoch (from 0); ValueError when one is not finite."""
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in self.tensors.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(
                f"{self.model.owner}: training diverged in epoch {epoch + 1}; lower lr ({self.settings.lr})"
            )
        return arrays


def validation_metrics(scores: Callable[[np.ndarray], np.ndarray], validation: Features, counts) -> dict:
    """The metrics of ``scores(X (N, D)) → (N, C)`` on validation features; `counts` (C,) training samples.

    A class without training samples is never predicted.
    """
    from longtail.stages.metrics.scores import evaluate

    X, width = validation.X, max(validation.X.shape[1], len(counts))
    given = np.concatenate([scores(X[block]) for block in row_blocks(len(X), width)])
    return evaluate(np.where(counts > 0, given, -np.inf), validation.y, counts)


def numpy_scores(function, arrays: Mapping[str, np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """``function(tensors, *inputs)`` as an array: in float64 when the first input is, else in float32."""
    dtype = np.float64 if inputs[0].dtype == np.float64 else np.float32
    tensors = {name: torch.from_numpy(array.astype(dtype)) for name, array in arrays.items()}
    with torch.no_grad():
        return function(tensors, *(torch.from_numpy(values.astype(dtype)) for values in inputs)).numpy()
