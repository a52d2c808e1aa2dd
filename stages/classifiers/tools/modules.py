"""Fitted classifiers as torch modules: features (B, D) float32 to scores (B, C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from longtail.stages.classifiers.tools.linear_form import LinearForm, form_scores


def _buffer(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


class LinearScores(nn.Module):
    """A :class:`LinearForm`, its arrays as buffers."""

    def __init__(self, form: LinearForm):
        super().__init__()
        self.unit, self.distance = form.unit, form.distance
        for name in ("weight", "bias", "center", "offset"):
            values = getattr(form, name)
            self.register_buffer(name, None if values is None else _buffer(values))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return form_scores(self, features)


class Scored(nn.Module):
    """``score(arrays, features)`` of named arrays, and −∞ for the classes of `absent` (C,) bool.

    With a `base` module its output for the features is a third argument.
    """

    def __init__(
        self,
        score: Callable[..., torch.Tensor],
        arrays: Mapping[str, np.ndarray],
        absent: np.ndarray,
        base: nn.Module | None = None,
    ):
        super().__init__()
        self.score, self.names, self.base = score, tuple(arrays), base
        for name, values in arrays.items():
            self.register_buffer(name, _buffer(values))
        self.register_buffer("mask", _buffer(np.where(absent, -np.inf, 0.0)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        arrays = {name: getattr(self, name) for name in self.names}
        given = () if self.base is None else (self.base(features),)
        return self.score(arrays, features, *given) + self.mask


class Divided(nn.Module):
    """The scores of another module over a temperature."""

    def __init__(self, inner: nn.Module, temperature: float):
        super().__init__()
        self.inner, self.temperature = inner, temperature

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner(features) / self.temperature
