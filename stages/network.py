"""A network is a backbone and a head; a frozen head is three arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from longtail.stages.linear_scores import linear_scores


@dataclass(frozen=True)
class Head:
    """A trained linear classifier, frozen: logits = scale·(W f + b).

    `weight` (C, D) and `bias` (C,) or None become numpy float32 (float64 stays); tensors are accepted. With
    ``cosine`` both f and the rows of W are L2-normalised first, as the cosine head was trained. The arrays
    are copies: training on changes nothing.
    """

    weight: np.ndarray
    bias: np.ndarray | None
    scale: float = 1.0
    cosine: bool = False

    def __post_init__(self):
        weight = _array(self.weight).copy()
        bias = None if self.bias is None else _array(self.bias).copy()
        if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
            raise ValueError(
                "head: weight must be (C, D) and bias (C,) or None, "
                f"got {weight.shape} and {None if bias is None else bias.shape}"
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def num_classes(self) -> int:
        """C."""
        return self.weight.shape[0]

    @property
    def num_features(self) -> int:
        """D."""
        return self.weight.shape[1]

    def logits(self, X) -> np.ndarray:
        """Logits (N, C) of features (N, D), in float32 unless a side is float64."""
        return linear_scores(_array(X), self.weight, self.bias, scale=self.scale, cosine=self.cosine)


def _array(values) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values if values.dtype == torch.float64 else values.float()).numpy()
    values = np.asarray(values)
    return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)


class LinearHead(nn.Linear):
    """W f + b: features (B, D) to logits (B, C)."""

    def frozen(self, scale: float = 1.0) -> Head:
        """This head as arrays."""
        return Head(self.weight, self.bias, scale)


class CosineHead(nn.Module):
    """scale·cos(W_c, f): features (B, D) to logits (B, C), raw cosines by default: a margin loss scales them.

    Source: Cao 2019 (arXiv 1906.07413), section 3.2.
    """

    def __init__(self, in_features: int, out_features: int, *, scale: float = 1.0):
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # A margin loss multiplies by 30: cosines of half precision would take a handful of values.
        with torch.autocast(features.device.type, enabled=False):
            features = features if features.dtype == torch.float64 else features.float()
            return linear_scores(features, self.weight, scale=self.scale, cosine=True)

    def frozen(self, scale: float = 1.0) -> Head:
        """This head as arrays, with the scale its loss trained it under."""
        return Head(self.weight, None, self.scale * scale, cosine=True)


class Network(nn.Module):
    """`backbone` maps inputs (B, ...) to features (B, D), `head` maps those to logits (B, C)."""

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head
        self._frozen: list[nn.Module] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(inputs))

    def train_only(self, what: str) -> None:
        """Freeze the backbone outside of `what`: all (nothing is frozen), last_block or head.

        A frozen module gets no gradient and stays in evaluation mode, so that its batch-norm statistics do
        not move either. Raises ValueError for last_block under a backbone that does not name its own.
        """
        if what == "last_block" and not hasattr(self.backbone, "last_block"):
            name = type(self.backbone).__name__
            raise ValueError(f"trainable: {name} lacks last_block, the names of its last block's submodules")
        learning = {
            "all": {id(m) for m in self.backbone.modules()},
            "last_block": {
                id(m)
                for name in self.backbone.last_block
                for m in self.backbone.get_submodule(name).modules()
            },
            "head": set(),
        }[what]
        self._frozen = [m for m in self.backbone.modules() if id(m) not in learning]
        for module in self._frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        for module in self._frozen:
            module.training = False
        return self
