"""Scores linear in (normalised) features, as one matrix: the form in which a classifier is exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from longtail.stages.linear_scores import linear_scores, unit_rows
from longtail.stages.network import Head

if TYPE_CHECKING:
    from longtail.stages.classifiers.tools.modules import LinearScores


@dataclass(frozen=True)
class LinearForm:
    """scores = g Wᵀ + b, g the feature less `center`, then of length 1 with `unit`, then less `offset`.

    `weight` W (C, D), `bias` b (C,), −∞ for a class that is never predicted; `center` and `offset` (D,) or
    None for zero; all float64. A zero vector has no length to divide by and stays zero. With `distance` ‖g‖²
    is taken off every score, so that these are the negative squared distances they were.
    """

    weight: np.ndarray
    bias: np.ndarray
    center: np.ndarray | None = None
    unit: bool = False
    offset: np.ndarray | None = None
    distance: bool = False

    @classmethod
    def of_head(cls, head: Head) -> LinearForm:
        """A head's logits: scale·(W f + b), both sides of length 1 first with ``cosine``."""
        weight = head.weight.astype(np.float64)
        bias = np.zeros(len(weight)) if head.bias is None else head.bias.astype(np.float64)
        weight = unit_rows(weight) if head.cosine else weight
        return cls(head.scale * weight, head.scale * bias, unit=head.cosine)

    def scaled(self, factor, shift=0.0) -> LinearForm:
        """factor·scores + shift, each a number or one a class (C,); not of distances."""
        assert not self.distance, "‖g‖² would have to be scaled, too"
        factor = np.broadcast_to(np.asarray(factor, np.float64), self.bias.shape)
        return replace(self, weight=factor[:, None] * self.weight, bias=factor * self.bias + shift)

    def without(self, absent: np.ndarray) -> LinearForm:
        """The same with −∞ for the classes of `absent` (C,) bool."""
        return replace(self, bias=np.where(absent, -np.inf, self.bias))

    def scores(self, X) -> np.ndarray:
        """Scores (N, C) float64 of features `X` (N, D)."""
        return form_scores(self, np.asarray(X, np.float64))


def form_scores(form: LinearForm | LinearScores, features):
    """Scores (N, C) of features (N, D): arrays by a :class:`LinearForm`, tensors by its torch module."""
    g = features if form.center is None else features - form.center
    g = unit_rows(g) if form.unit else g
    g = g if form.offset is None else g - form.offset
    scores = linear_scores(g, form.weight, form.bias)
    return scores - (g * g).sum(1)[:, None] if form.distance else scores
