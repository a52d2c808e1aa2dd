"""The loop of every classifier that learns by steps: mini-batch SGD over frozen features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from longtail.stages.blocks import row_blocks
from longtail.stages.features import Features
from longtail.stages.registry import signature_parameters

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]
SETTINGS = ("lr", "momentum", "weight_decay", "batch_size", "epochs")


def sgd_settings(estimator) -> dict[str, Any]:
    """What :func:`fit_sgd` takes from an estimator's own parameters."""
    return {key: getattr(estimator, key) for key in SETTINGS}


def refuse_steps(estimator) -> None:
    """ValueError for a parameter only steps use, set on an `estimator` whose solver is lbfgs."""
    defaults = signature_parameters(type(estimator))
    for key in SETTINGS:
        value = getattr(estimator, key)
        if key != "weight_decay" and value != defaults[key].default:
            raise ValueError(f"{key}: solver lbfgs has none, got {value}; set solver: sgd or leave it out")


def as_seed(random_state) -> int:
    """A seed for samplers: an integer is one, anything else scikit-learn takes draws one."""
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


def fit_sgd(
    start: Mapping[str, np.ndarray],
    objective: Callable[[Tensors, torch.Tensor, torch.Tensor], torch.Tensor],
    sources: Sequence,
    rows: np.ndarray,
    sampler,
    *,
    owner: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    batch_size: int,
    epochs: int,
    scores: Callable[[Arrays, np.ndarray], np.ndarray],
    validation: Features | None = None,
    after_step: Callable[[Tensors], None] | None = None,
    loss=None,
    undecayed: Collection[str] = (),
) -> tuple[Arrays, int]:
    """Train the arrays of `start` in float32 under a cosine rate; (the trained arrays, their epoch from 1).

    ``objective(parameters, features (B, D), labels (B,))`` is a batch's scalar. Epoch e takes its batches
    from ``sources[e % len(sources)]``, anything whose rows come by index, in the order of `sampler`. With
    `validation`, the first epoch of highest balanced accuracy under ``scores(arrays, X) → (N, C)`` is kept,
    the last one without. ``after_step(parameters)`` may change them in place. `loss`, where given, is told
    the epoch about to begin, what its draws are made from, and each validation accuracy by class. Weight
    decay leaves the arrays named in `undecayed` alone.

    Raises ValueError, naming `owner`, when a parameter is no longer finite.
    """
    from longtail.stages.metrics.scores import evaluate
    from longtail.stages.training.schedules import SCHEDULES

    parameters = {
        name: torch.nn.Parameter(torch.tensor(array, dtype=torch.float32)) for name, array in start.items()
    }
    groups = [
        {"params": [p], "weight_decay": 0.0 if name in undecayed else weight_decay}
        for name, p in parameters.items()
    ]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum)
    factor = SCHEDULES.create("cosine")
    steps = -(-len(sampler) // batch_size)
    kept, kept_epoch, best = {}, 0, -1.0
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        if loss is not None:
            loss.set_epoch(epoch)
        order, X = sampler.indices(), sources[epoch % len(sources)]
        for step in range(steps):
            picked = order[step * batch_size : (step + 1) * batch_size]
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(epoch * steps + step, steps, epochs)
            if loss is not None:
                loss.set_draws(sampler.seed, epoch, step)
            features = torch.from_numpy(np.asarray(X[picked], np.float32))
            value = objective(parameters, features, torch.from_numpy(rows[picked]))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            if after_step is not None:
                with torch.no_grad():
                    after_step(parameters)
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in parameters.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(f"{owner}: training diverged in epoch {epoch + 1}; lower lr ({lr})")
        if validation is None:
            kept, kept_epoch = arrays, epoch + 1
            continue
        held = _masked(scores, arrays, validation.X, sampler.class_counts)
        reached = evaluate(held, validation.y, sampler.class_counts)
        if loss is not None:
            loss.set_class_accuracy(reached["class_accuracy"])
        if reached["balanced_accuracy"] > best:
            kept, kept_epoch, best = arrays, epoch + 1, reached["balanced_accuracy"]
    return kept, kept_epoch


def _masked(scores, arrays: Arrays, X: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    width = max(X.shape[1], len(class_counts))
    found = np.concatenate([scores(arrays, X[block]) for block in row_blocks(len(X), width)])
    return np.where(class_counts > 0, found, -np.inf)


def numpy_scores(function, arrays: Mapping[str, np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """``function(tensors, *inputs)`` as an array: in float64 when the first input is, else in float32."""
    dtype = np.float64 if inputs[0].dtype == np.float64 else np.float32
    tensors = {name: torch.from_numpy(array.astype(dtype)) for name, array in arrays.items()}
    with torch.no_grad():
        return function(tensors, *(torch.from_numpy(values.astype(dtype)) for values in inputs)).numpy()
