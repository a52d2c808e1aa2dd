"""Accuracy as a function of one hyper-parameter τ, exactly, for every τ ≥ 0 at once.

Two families of scores have it: z_c·exp(−τ a_c) (:func:`exponential_path`; τ-normalisation, a = log‖W_c‖) and
z_c − τ a_c (:func:`linear_path`; logit adjustment, a = log π_c). In both every rival c of a sample's class y
confines the τ at which y wins to a half-line, so y wins on one open interval (lo, hi) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from longtail.stages.blocks import row_blocks, working_type
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.linear_scores import linear_scores, row_norms, unit_rows
from longtail.stages.metrics.shots import shot_accuracies
from longtail.stages.network import Head
from longtail.stages.selection import round_robin_folds

NARROWEST = 1e-6  # cells below this width are left out: a best τ must survive rounding
FLOAT64_PATH = 2e9  # multiplications: the scores of a path with no more are computed in float64
BLOCK_COPIES = 2  # (rows, C) arrays alive at once, in float64


class TauPath:
    """For which τ ≥ 0 each sample is classified correctly: the open interval (lo, hi).

    `lo`, `hi` (N,) float64 as :func:`correct_intervals` gives them, `y` (N,) row numbers, `class_counts` (C,)
    training samples (for the shot groups). Recalls only: precision, top-5 and calibration need predictions.
    """

    def __init__(self, lo, hi, y, class_counts, *, many: int = 100, few: int = 20):
        self.lo, self.hi, self.y = lo, hi, y
        self.class_counts, self.many, self.few = np.asarray(class_counts), many, few
        tested = np.bincount(y, minlength=len(self.class_counts))
        self._tested = tested
        kept = (lo < hi) & (hi > 0)
        weight = 1 / ((tested > 0).sum() * np.maximum(tested, 1))[y]
        self._balanced = _Step(lo[kept], hi[kept], weight[kept])
        self._plain = _Step(lo[kept], hi[kept], np.full(kept.sum(), 1 / len(y)))

    @property
    def break_points(self) -> np.ndarray:
        """The positive τ, ascending, where some sample's correctness changes."""
        ends = np.concatenate([self._plain.lo, self._plain.hi])
        return np.unique(ends[(ends > 0) & np.isfinite(ends)])

    def accuracy(self, tau):
        """Accuracy at `tau`, a number or an array."""
        return self._plain(tau)

    def balanced_accuracy(self, tau):
        """Mean recall over classes with samples at `tau`, a number or an array."""
        return self._balanced(tau)

    def class_accuracy(self, tau: float) -> list[float | None]:
        """Recall of each class at `tau`, None without samples."""
        hit = np.bincount(self.y[(self.lo < tau) & (tau < self.hi)], minlength=len(self._tested))
        return [float(h / n) if n else None for h, n in zip(hit, self._tested, strict=True)]

    def shot_accuracies(self, tau: float) -> dict[str, float | None]:
        """Mean class accuracy of the many-, medium- and few-shot classes at `tau`."""
        counts = self.class_counts.tolist()
        return shot_accuracies(self.class_accuracy(tau), counts, many=self.many, few=self.few)

    @property
    def best_tau(self) -> float:
        """A τ of highest balanced accuracy, in the left-most best cell wider than 1e-6.

        0 when the cell contains it, else the cell's midpoint, or one past its left end when it is unbounded.
        """
        ends = np.concatenate([[0.0], self.break_points, [np.inf]])
        wide = np.diff(ends) > NARROWEST
        left, right = ends[:-1][wide], ends[1:][wide]
        middle = np.where(np.isinf(right), left + 1, (left + right) / 2)
        value = self._balanced(middle)
        first = int(np.flatnonzero(value >= value.max() - 1e-12)[0])
        if left[first] == 0 and self._balanced(0.0) >= value[first] - 1e-12:
            return 0.0
        return float(middle[first])


class _Step:
    """Σ weight over the open intervals (lo, hi) that hold τ."""

    def __init__(self, lo: np.ndarray, hi: np.ndarray, weight: np.ndarray):
        self.lo, self._opened = self._sorted(lo, weight)
        self.hi, self._closed = self._sorted(hi, weight)

    @staticmethod
    def _sorted(ends: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(ends, kind="stable")
        sums = np.cumsum(weight[order], dtype=np.longdouble)
        return ends[order], np.concatenate([[0.0], sums])

    def __call__(self, tau):
        opened = self._opened[np.searchsorted(self.lo, tau, "left")]  # lo < τ
        closed = self._closed[np.searchsorted(self.hi, tau, "right")]  # hi ≤ τ
        value = np.asarray(opened - closed, np.float64)
        return float(value) if value.ndim == 0 else value


# -- the two families -------------------------------------------------------------------------------------


def correct_intervals(z: np.ndarray, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where s_c(τ) = z_c·exp(−τ a_c) is strictly largest at c = y: the open (lo, hi), lo ≥ hi for nowhere.

    `z` (N, C), `y` (N,), `a` (C,) finite. A rival of y's own sign, positive or negative, bounds τ by
    (log|z_c| − log|z_y|)/(a_c − a_y) from below or above; with equal a it wins or loses throughout. A rival
    of the better sign wins always, one of the worse sign never. Computed in float64.
    """
    return _over_scores(_exponential, np.asarray(z, np.float64), y, a)


def exponential_path(z, y, a, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the scores z_c·exp(−τ a_c) for every τ ≥ 0; `z` (N, C), `y` (N,) row numbers, `a` (C,)."""
    return _path_of(_exponential, z, y, a, class_counts, many, few)


def linear_path(z, y, a, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the scores z_c − τ a_c for every τ ≥ 0; `z` (N, C), `y` (N,) row numbers, `a` (C,)."""
    return _path_of(_linear, z, y, a, class_counts, many, few)


def tau_path(X, y, weight, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the τ-normalised classifier W_c/‖W_c‖^τ on features, for every τ ≥ 0.

    `X` (N, D) features, `y` (N,) row numbers, `weight` (C, D), `class_counts` (C,) training samples for the
    shot groups (those of `y` by default); a class with count 0 is never predicted. One matrix product in row
    blocks, no (N, C) array beyond a block. Up to 2e9 multiplications are done in float64; beyond, for
    features that are not float64, in float32, whose rounding (about 1e-6 of a score) moves a break point by
    about 1e-6/|log‖W_c‖ − log‖W_y‖|.

    Raises ValueError for mismatched shapes and labels out of range.
    """
    X, y, weight = _features(X, y, weight)
    counts, playing = _playing(y, class_counts, len(weight))
    a = np.log(row_norms(weight.astype(np.float64))[:, 0])  # a zero row scores 0 whatever a is
    lo, hi = _over_features(_exponential, X, y, weight, None, a, playing)
    return TauPath(lo, hi, y, counts, many=many, few=few)


def adjustment_path(X, y, head, log_prior, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of post-hoc logit adjustment, z_c − τ·log π_c, on features, for every τ ≥ 0.

    z are `head`'s logits of `X` (N, D), bias included; `log_prior` (C,). Classes whose prior is 0
    (``-inf``) or whose `class_counts` is 0 are left out. Otherwise as :func:`tau_path`.
    """
    X, y, weight = _features(X, y, head.weight)
    counts, playing = _playing(y, class_counts, len(weight))
    log_prior = np.asarray(log_prior, np.float64)
    playing = playing[np.isfinite(log_prior[playing])]
    if head.cosine:
        X, weight = unit_rows(X), unit_rows(weight)
    bias = np.zeros(len(weight)) if head.bias is None else head.bias
    a = log_prior / head.scale  # scale·z − τ·log π orders classes as z − τ·(log π/scale) does
    lo, hi = _over_features(_linear, X, y, weight, bias, a, playing)
    return TauPath(lo, hi, y, counts, many=many, few=few)


def cross_validated_path(
    X, rows, class_counts, path_of: Callable[[np.ndarray, np.ndarray, Head], TauPath]
) -> TauPath:
    """The path of the held-out samples of all folds together, each under its own fold's plain linear head.

    ``path_of(X, rows, head)`` is one fold's. ValueError when no class has two samples.
    """
    lo, hi, y = [], [], []
    for train, held in round_robin_folds(rows):
        head = fit_plain_head(X[train], rows[train], len(class_counts))
        path = path_of(X[held], rows[held], head)
        lo.append(path.lo), hi.append(path.hi), y.append(path.y)
    if not y:
        raise ValueError(
            "tau: cross-validation found no class with two samples (n_samples=1?); pass a number"
        )
    return TauPath(*(np.concatenate(parts) for parts in (lo, hi, y)), class_counts)


# -- intervals, a block of rows at a time -----------------------------------------------------------------

Bounds = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _over_features(bounds: Bounds, X, y, weight, bias, a, playing) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi) of every sample, scores computed in blocks."""
    order = _by_offset(a, playing)
    dtype = working_type(X, X.size * len(order), FLOAT64_PATH)
    W = weight[order].astype(dtype)
    b = None if bias is None else bias[order].astype(dtype)

    def scores(rows: np.ndarray) -> np.ndarray:
        return linear_scores(X[rows].astype(dtype, copy=False), W, b)

    return _over_rows(bounds, scores, X.shape[1], y, a, order)


def _over_scores(bounds: Bounds, z, y, a, playing=None) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi) of every row of scores (N, C)."""
    y, a = np.asarray(y), np.asarray(a, np.float64)
    order = _by_offset(a, np.arange(len(a)) if playing is None else playing)
    return _over_rows(bounds, lambda rows: z[np.ix_(rows, order)], len(a), y, a, order)


def _by_offset(a: np.ndarray, playing: np.ndarray) -> np.ndarray:
    return playing[np.argsort(a[playing], kind="stable")]


def _over_rows(bounds: Bounds, scores, width: int, y, a, order) -> tuple[np.ndarray, np.ndarray]:
    """(lo, hi) of every sample given its ``scores(rows)``, columns in `order`; nowhere for other classes.

    `width` is what a row takes beside its scores.
    """
    place = np.full(len(a), -1)
    place[order] = np.arange(len(order))
    lo, hi = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    able = np.flatnonzero(place[y] >= 0)
    able = able[np.argsort(place[y[able]], kind="stable")]  # rows by class: they share what depends on it
    for block in row_blocks(len(able), max(width, BLOCK_COPIES * len(order))):
        rows = able[block]
        lo[rows], hi[rows] = bounds(scores(rows), place[y[rows]], a[order])
    return lo, hi


def _exponential(z: np.ndarray, p: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds for z_c·exp(−τ a_c), as :func:`_linear` has them for logarithms of scores of one sign."""
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
            lo[negative], hi[negative] = _linear(sizes, len(a) - 1 - p[negative], -a[::-1])
    rows = np.flatnonzero(positive)
    if len(rows):
        sizes = z if len(rows) == len(z) else z[rows]
        np.maximum(sizes, 0, out=sizes)
        with np.errstate(divide="ignore"):
            np.log(sizes, out=sizes)  # −∞ where a rival bounds nothing
        lo[rows], hi[rows] = _linear(sizes, p[rows], a)
    return lo, hi


def _linear(z: np.ndarray, p: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


# -- checks -----------------------------------------------------------------------------------------------


def _features(X, y, weight):
    X, y, weight = np.asarray(X), np.asarray(y), np.asarray(weight)
    if X.ndim != 2 or weight.ndim != 2 or X.shape[1] != weight.shape[1] or y.shape != X.shape[:1]:
        raise ValueError(
            f"X must be (N, D), y (N,) and weight (C, D), got {X.shape}, {y.shape} and {weight.shape}"
        )
    return X, _labels(y, len(weight)), weight


def _labels(y: np.ndarray, num_classes: int) -> np.ndarray:
    if not len(y) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= num_classes:
        raise ValueError(f"y: must be one or more integers in [0, {num_classes})")
    return y


def _playing(y, class_counts, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(class counts, classes that may be predicted)."""
    counts = np.bincount(y, minlength=num_classes) if class_counts is None else np.asarray(class_counts)
    if counts.shape != (num_classes,):
        raise ValueError(f"class_counts must be (C,) = ({num_classes},), got {counts.shape}")
    return counts, np.arange(num_classes) if class_counts is None else np.flatnonzero(counts > 0)


def _path_of(bounds: Bounds, z, y, a, class_counts, many: int, few: int) -> TauPath:
    z, y, a = np.asarray(z), np.asarray(y), np.asarray(a, np.float64)
    if z.ndim != 2 or y.shape != z.shape[:1] or a.shape != z.shape[1:]:
        raise ValueError(f"z must be (N, C), y (N,) and a (C,), got {z.shape}, {y.shape} and {a.shape}")
    y = _labels(y, len(a))
    counts, playing = _playing(y, class_counts, len(a))
    lo, hi = _over_scores(bounds, z.astype(np.float64), y, a, playing)
    return TauPath(lo, hi, y, counts, many=many, few=few)
