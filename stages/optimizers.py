"""Optimisers by name: ``OPTIMIZERS.create("sgd", parameters, lr=0.1)``."""

from __future__ import annotations

from stages.parameters import Fraction, NonNegative, Positive
from stages.registry import Registry

OPTIMIZERS = Registry("optimizer", "OPTIMIZERS", __name__)


@OPTIMIZERS.register("sgd")
def sgd(
    parameters,
    *,
    lr: Positive = 0.1,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 5e-4,
):
    """Stochastic gradient descent with momentum. Nesterov's form needs momentum > 0.

    Source: torch.optim.SGD; Sutskever 2013.
    """
    import torch

    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


@OPTIMIZERS.register("adamw")
def adamw(
    parameters,
    *,
    lr: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    weight_decay: NonNegative = 1e-2,
):
    """Adam with decoupled weight decay.

    Source: Loshchilov, Hutter 2019 (arXiv 1711.05101).
    """
    import torch

    return torch.optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)
