"""τ-normalised classifier, with its accuracy known exactly for every τ at once."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stages.blocks import row_blocks
from stages.classifiers import CLASSIFIERS
from stages.classifiers.base import LinearClassifier
from stages.classifiers.linear import fit_plain_head
from stages.network import Head
from stages.parameters import NonNegative
from stages.selection import NEEDS_VALIDATION, round_robin_folds
from stages.shots import shot_accuracies

NARROWEST = 1e-6  # cells below this width are left out: a best τ must survive rounding
LARGEST_POWER = 60.0  # float32 ends near e^±88; the rest is room for weights and features


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


def correct_intervals(z: np.ndarray, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where s_c(τ) = z_c·exp(−τ a_c) is strictly largest at c = y: the open (lo, hi), lo ≥ hi for nowhere.

    `z` (N, C), `y` (N,), `a` (C,) finite. A rival of y's own sign, positive or negative, bounds τ by
    (log|z_c| − log|z_y|)/(a_c − a_y) from below or above; with equal a it wins or loses throughout. A rival
    of the better sign wins always, one of the worse sign never. Computed in float64.
    """
    z = np.asarray(z, np.float64) + 0.0  # −0 becomes 0
    rows = np.arange(len(y))
    own = z[rows, y][:, None]  # (N, 1)
    sign = np.sign(own)
    rival = np.ones(z.shape, bool)
    rival[rows, y] = False
    same = rival & (np.sign(z) == sign)
    beaten = (rival & (np.sign(z) > sign)) | (same & (own == 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.log(np.abs(z))
        r = sign * (size - size[rows, y][:, None])  # y wins where d·τ > r
        d = sign * (a - a[y][:, None])
        bound = r / d
    same &= own != 0
    beaten |= same & (d == 0) & ~(r < 0)
    lo = np.where(same & (d > 0), bound, -np.inf).max(1, initial=-np.inf)
    hi = np.where(same & (d < 0), bound, np.inf).min(1, initial=np.inf)
    lo[beaten.any(1)] = np.inf
    return lo, hi


def tau_path(X, y, weight, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the τ-normalised classifier W_c/‖W_c‖^τ on features, for every τ ≥ 0.

    `X` (N, D) features, `y` (N,) row numbers, `weight` (C, D), `class_counts` (C,) training samples for the
    shot groups (those of `y` by default); a class with count 0 is never predicted. One matrix product in row
    blocks, no (N, C) array beyond a block. Raises ValueError for mismatched shapes and labels out of range.
    """
    X, y, weight = np.asarray(X), np.asarray(y), np.asarray(weight)
    if X.ndim != 2 or weight.ndim != 2 or X.shape[1] != weight.shape[1] or y.shape != X.shape[:1]:
        raise ValueError(
            f"X must be (N, D), y (N,) and weight (C, D), got {X.shape}, {y.shape} and {weight.shape}"
        )
    if not len(y) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= len(weight):
        raise ValueError(f"y: must be one or more integers in [0, {len(weight)})")
    counts = np.bincount(y, minlength=len(weight)) if class_counts is None else np.asarray(class_counts)
    if counts.shape != weight.shape[:1]:
        raise ValueError(f"class_counts must be (C,) = {weight.shape[:1]}, got {counts.shape}")
    playing = np.flatnonzero(counts > 0) if class_counts is not None else np.arange(len(weight))
    column = np.full(len(weight), -1)
    column[playing] = np.arange(len(playing))
    norms = np.linalg.norm(weight[playing].astype(np.float64), axis=1)
    a = np.log(np.where(norms > 0, norms, 1.0))  # a zero row scores 0 whatever a is
    lo, hi = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    W = weight[playing].astype(np.float64)
    for block in row_blocks(len(X), 8 * len(playing)):  # about eight (rows, C) arrays live at once
        able = np.flatnonzero(column[y[block]] >= 0) + block.start
        z = X[able].astype(np.float64) @ W.T
        lo[able], hi[able] = correct_intervals(z, column[y[able]], a)
    return TauPath(lo, hi, y, counts, many=many, few=few)


def _normalised(weight: np.ndarray, tau: float) -> np.ndarray:
    """W_c/‖W_c‖^τ (C, D). Where that leaves float32's range, what all rows share is divided out."""
    norms = np.linalg.norm(weight.astype(np.float64), axis=1, keepdims=True)
    power = -tau * np.log(np.where(norms > 0, norms, 1.0))  # (C, 1); a zero row stays zero
    if np.abs(power).max() > LARGEST_POWER:
        power -= power[norms > 0].max()  # a common factor changes no prediction
    return (weight * np.exp(power)).astype(weight.dtype)


@CLASSIFIERS.register("tau_norm")
class TauNorm(LinearClassifier):
    """Stage one's weights divided by their norms: W_c/‖W_c‖^τ, bias dropped; a zero row stays zero.

    `tau` is a number ≥ 0, or "validation": the τ of highest validation balanced accuracy, from the exact path
    (:func:`tau_path`) instead of a grid. Without a head, a plain linear one is fitted and τ comes from 3-fold
    cross-validation. Fitted: ``tau_``.

    Raises ValueError when τ is to be chosen for a given head without validation data.

    Source: Kang 2020 (arXiv 1910.09217), section 4.1 and appendix B.4 (grid there, exact here).
    """

    def __init__(self, *, tau: NonNegative | Literal["validation"] = "validation"):
        self.tau = tau

    def _fit(self, X, rows, head, validation):
        given = head is not None
        head = head if given else fit_plain_head(X, rows, len(self.classes_))
        if self.tau != "validation":
            self.tau_ = float(self.tau)
        elif head.cosine:
            self.tau_ = 0.0  # its rows have length 1 already: every τ predicts alike
        elif validation is not None:
            self.tau_ = self._path(validation.X, validation.y, head.weight).best_tau
        elif given:
            raise ValueError(NEEDS_VALIDATION)
        else:
            self.tau_ = self._cross_validated(X, rows)
        self.head_ = Head(_normalised(head.weight, self.tau_), None, head.scale, head.cosine)

    def _path(self, X, rows, weight) -> TauPath:
        return tau_path(X, rows, weight, class_counts=self.class_counts_)

    def _cross_validated(self, X, rows) -> float:
        """Best τ of the held-out samples of all folds together, each under its own fold's head."""
        lo, hi, y = [], [], []
        for train, held in round_robin_folds(rows):
            head = fit_plain_head(X[train], rows[train], len(self.classes_))
            path = self._path(X[held], rows[held], head.weight)
            lo.append(path.lo), hi.append(path.hi), y.append(path.y)
        if not y:
            raise ValueError(
                "tau: cross-validation found no class with two samples (n_samples=1?); pass a number"
            )
        pooled = TauPath(*(np.concatenate(parts) for parts in (lo, hi, y)), self.class_counts_)
        return pooled.best_tau
