"""On which open interval of τ a sample is classified correctly, for scores a rival overtakes at most once.

Two families of scores have it: z_c·exp(−τ a_c) and z_c − τ a_c. In both every rival c of a sample's class y
confines the τ at which y wins to a half-line, so y wins on one open interval (lo, hi) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from longtail.stages.blocks import row_blocks, working_type
from longtail.stages.classifiers.tools.linear import places
from longtail.stages.linear_scores import linear_scores

FLOAT64_PATH = 2e9  # multiplications: the scores of a path with no more are computed in float64
BLOCK_COPIES = 2  # (rows, C) arrays alive at once, in float64

Bounds = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """Scores that move with τ: `bounds` of one of the families, `a` (C,), and the classes that compete.

    `order` (K,) are these classes by ascending `a`. Samples of other classes win nowhere.
    """

    bounds: Bounds
    a: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, bounds: Bounds, a: np.ndarray, competing: np.ndarray) -> Family:
        """The family whose `competing` (K,) classes compete, in any order."""
        return cls(bounds, a, competing[np.argsort(a[competing], kind="stable")])

    def over_features(self, X, y, weight, bias=None) -> tuple[np.ndarray, np.ndarray]:
        """(lo, hi), each (N,), of features (N, D) with labels `y` (N,) under z = W f + b, in row blocks."""
        dtype = working_type(X, X.size * len(self.order), FLOAT64_PATH)
        W = weight[self.order].astype(dtype)
        b = None if bias is None else bias[self.order].astype(dtype)
        return self._over_rows(
            lambda rows: linear_scores(X[rows].astype(dtype, copy=False), W, b), X.shape[1], y
        )

    def over_scores(self, z, y) -> tuple[np.ndarray, np.ndarray]:
        """(lo, hi), each (N,), of scores at τ = 0 (N, C) with labels `y` (N,)."""
        return self._over_rows(lambda rows: z[np.ix_(rows, self.order)], len(self.a), np.asarray(y))

    def _over_rows(self, scores, width: int, y) -> tuple[np.ndarray, np.ndarray]:
        """(lo, hi) of every sample given its ``scores(rows)``, columns in `order`.

        `width` is what a row takes beside its scores.
        """
        place = places(self.order, len(self.a))
        lo, hi = np.full(len(y), np.inf), np.full(len(y), -np.inf)
        samples = np.flatnonzero(place[y] >= 0)
        samples = samples[
            np.argsort(place[y[samples]], kind="stable")
        ]  # by class: bounds are made class by class
        for block in row_blocks(len(samples), max(width, BLOCK_COPIES * len(self.order))):
            rows = samples[block]
            lo[rows], hi[rows] = self.bounds(scores(rows), place[y[rows]], self.a[self.order])
        return lo, hi


def exponential_bounds(z: np.ndarray, p: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds for z_c·exp(−τ a_c), as :func:`linear_bounds` has them for logarithms of scores of one sign."""
    own = z[np.arange(len(p)), p]
    lo, hi = np.full(len(p), np.inf), np.full(len(p), -np.inf)  # nowhere, until shown otherwise
    positive = own > 0
    rest = np.flatnonzero(~positive)
    if len(rest):  # a rival of no worse sign wins always
        alone = (z[rest] >= 0).sum(1) == (own[rest] == 0)
        zero, negative = rest[alone & (own[rest] == 0)], rest[alone & (own[rest] < 0)]
        lo[zero], hi[zero] = -np.inf, np.inf
        if len(negative):  # z_c < 0 throughout: smaller is better, so everything is mirrored
            sizes = -np.log(-z[negative, ::-1])
            lo[negative], hi[negative] = linear_bounds(sizes, len(a) - 1 - p[negative], -a[::-1])
    rows = np.flatnonzero(positive)
    if len(rows):
        sizes = z if len(rows) == len(z) else z[rows]
        np.maximum(sizes, 0, out=sizes)
        with np.errstate(divide="ignore"):
            np.log(sizes, out=sizes)  # −∞ where a rival bounds nothing
        lo[rows], hi[rows] = linear_bounds(sizes, p[rows], a)
    return lo, hi


def linear_bounds(z: np.ndarray, p: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds for z_c − τ a_c: `z` (n, C) is overwritten, `p` (n,) columns of y in runs, `a` ascending."""
    lo, hi = np.empty(len(p)), np.empty(len(p))
    for run in _runs(p):
        lo_, hi[run], beaten = _half_lines(z[run], p[run.start], a)
        lo[run] = np.where(beaten, np.inf, lo_)
    return lo, hi


def _half_lines(sizes: np.ndarray, own: int, a: np.ndarray):
    """(lo, hi, beaten) where τ·(a_c − a_y) > sizes_c − sizes_y for all c ≠ y; y = `own`, `a` ascending.

    `sizes` (n, C) is overwritten. A rival with y's own a beats it or not whatever τ is.
    """
    first, last = np.searchsorted(a, a[own], "left"), np.searchsorted(a, a[own], "right")
    sizes -= sizes[:, own : own + 1].copy()
    beaten = (sizes[:, first:last] >= 0).sum(1) > 1  # y itself is one
    with np.errstate(divide="ignore", invalid="ignore"):  # y's own columns, which are not looked at again
        sizes *= (1 / (a - a[own])).astype(sizes.dtype)
    lo = sizes[:, last:].max(1, initial=-np.inf)
    hi = sizes[:, :first].min(1, initial=np.inf)
    return lo, hi, beaten


def _runs(p: np.ndarray):
    """Slices of equal neighbours."""
    ends = np.flatnonzero(np.diff(p)) + 1
    return [slice(i, j) for i, j in zip([0, *ends], [*ends, len(p)], strict=True)]
