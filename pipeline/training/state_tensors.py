"""Networks and optimisers as arrays by name, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.errors import LongtailError
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np
    import torch


def network_tensors(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights and buffers as arrays; LongtailError when one is not finite."""
    import numpy as np

    tensors = {name: t.detach().cpu().numpy() for name, t in network.state_dict().items()}
    bad = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if bad:
        raise LongtailError(
            f"weights are not finite ({listed(bad)}): nothing is saved; "
            "a lower representation.optimizer.lr, a warm-up or clip_grad_norm may help"
        )
    return tensors


def load_network(network: torch.nn.Module, tensors: Mapping[str, np.ndarray], source: Path) -> None:
    """Put `tensors` into `network`; LongtailError unless names and shapes match exactly, both shown."""
    import torch

    own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    given = {name: array.shape for name, array in tensors.items()}
    if own != given:
        differing = sorted(name for name in {*own, *given} if own.get(name) != given.get(name))
        shown = listed((f"{n}: network {own.get(n)}, file {given.get(n)}" for n in differing), 3)
        raise LongtailError(f"{source}: does not fit the network ({shown})")
    network.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, np.ndarray], list]:
    """The optimiser's tensors by ``<parameter>.<name>``, and its plain values as [parameter, name, value]."""
    import torch

    tensors, plain = {}, []
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().numpy()
            else:
                plain.append([index, name, value])
    return tensors, plain


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, np.ndarray], plain: list) -> None:
    """Undo :func:`optimizer_tensors`."""
    import torch

    state: dict[int, dict[str, Any]] = {}
    for key, array in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = torch.tensor(array)
    for index, name, value in plain:
        state.setdefault(index, {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
