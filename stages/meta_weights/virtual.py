"""Derivatives of a virtual step: one that is computed but not taken.

Nothing is differentiated twice: ⟨∇ℓ_i(θ), g⟩ of every sample is the directional derivative of ℓ along g, one
forward pass in forward mode.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import jvp
from torch.nn.modules.batchnorm import _BatchNorm

Params = dict[str, torch.Tensor]


def along(losses_at: Callable[[Params], torch.Tensor], params: Params, direction: Params) -> torch.Tensor:
    """⟨∇ℓ_i(θ), direction⟩ of every sample, (B,)."""
    with warnings.catch_warnings():  # torch's own, when it first loads its forward-mode formulas
        warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")
        return jvp(losses_at, (params,), (direction,))[1]


def normalized(weights: torch.Tensor) -> torch.Tensor:
    """Weights (B,) ≥ 0 over their sum; as they are when that is 0."""
    total = weights.sum()
    return weights / (total + (total == 0))


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch-norm layers in training mode go by the batch inside the block, and update nothing."""
    layers = [
        m for m in network.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
