"""Optimisers by name: ``OPTIMIZERS.create("sgd", parameters, lr=0.1)``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from longtail.stages.parameters import Fraction, NonNegative, Positive
from longtail.stages.registry import Registry

if TYPE_CHECKING:
    from longtail.stages.network import Network

OPTIMIZERS = Registry("optimizer", "OPTIMIZERS", __name__)
NORMS = ("BatchNorm", "GroupNorm", "LayerNorm", "InstanceNorm")  # how torch calls them


def parameter_groups(network: Network, exempt: Collection[str]) -> list[dict]:
    """The trainable parameters of `network` as an optimiser's groups, the `exempt` ones without weight decay.

    `exempt` holds any of bias (every bias), norm (scales and shifts of normalisation layers) and head_bias.
    A group that would be empty is left out.

    Source: exempting biases and norms He 2019 (arXiv 1812.01187), section 3.1; the head's bias Sinha 2020
    (2010.01824), released code.
    """
    decayed, plain = [], []
    for path, module in network.named_modules():
        is_norm = any(name in type(module).__name__ for name in NORMS)
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            kinds = {"norm"} if is_norm else {name}
            if name == "bias":
                kinds |= {"bias", "head_bias"} if path == "head" else {"bias"}
            (plain if kinds & set(exempt) else decayed).append(parameter)
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


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
