"""How few samples a network can be trained on at once."""

from __future__ import annotations

import copy

import torch

from longtail.stages.network import Network


def smallest_batch(network: Network, input_shape: tuple[int, ...]) -> int:
    """2 where `network` learns from two inputs of `input_shape` at once but not from one, else 1.

    Batch norm needs two values of each channel. Where pictures are reduced to a single position these are two
    samples; before that one sample has several of its own, and a layer that is frozen needs none. A copy is
    tried, in training mode, so that neither weights nor statistics move.
    """
    tried = copy.deepcopy(network).train()
    device = next(tried.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        needs_two = not _learns(tried, 1, input_shape, device) and _learns(tried, 2, input_shape, device)
    return 2 if needs_two else 1


def _learns(network: Network, count: int, input_shape: tuple[int, ...], device: torch.device) -> bool:
    try:
        network(torch.zeros(count, *input_shape, device=device))
    except ValueError:
        return False
    return True
