"""Accuracy as a function of one hyper-parameter τ ≥ 0: a step function, known exactly."""

from __future__ import annotations

import numpy as np

from longtail.stages.metrics.shots import shot_accuracies

NARROWEST = 1e-6  # cells below this width are left out: a best τ must survive rounding


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
