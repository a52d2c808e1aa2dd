"""Accuracy as a function of one hyper-parameter τ, exactly, for every τ ≥ 0 at once.

The scores z_c·exp(−τ a_c) are :func:`exponential_path` (τ-normalisation, a = log‖W_c‖), z_c − τ a_c
:func:`linear_path` (logit adjustment, a = log π_c).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from longtail.stages.classifiers.tools.accuracy_path import TauPath
from longtail.stages.classifiers.tools.intervals import Bounds, Family, exponential_bounds, linear_bounds
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.features import Features
from longtail.stages.linear_scores import row_norms, unit_rows
from longtail.stages.network import Head
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds


def correct_intervals(z: np.ndarray, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where s_c(τ) = z_c·exp(−τ a_c) is strictly largest at c = y: the open (lo, hi), lo ≥ hi for nowhere.

    `z` (N, C), `y` (N,), `a` (C,) finite. A rival of y's own sign, positive or negative, bounds τ by
    (log|z_c| − log|z_y|)/(a_c − a_y) from below or above; with equal a it wins or loses throughout. A rival
    of the better sign wins always, one of the worse sign never. Computed in float64.
    """
    a = np.asarray(a, np.float64)
    return Family.of(exponential_bounds, a, np.arange(len(a))).over_scores(np.asarray(z, np.float64), y)


def exponential_path(z, y, a, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the scores z_c·exp(−τ a_c) for every τ ≥ 0; `z` (N, C), `y` (N,) row numbers, `a` (C,)."""
    return _path_of(exponential_bounds, z, y, a, class_counts, many, few)


def linear_path(z, y, a, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of the scores z_c − τ a_c for every τ ≥ 0; `z` (N, C), `y` (N,) row numbers, `a` (C,)."""
    return _path_of(linear_bounds, z, y, a, class_counts, many, few)


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
    counts, competing = _competing(y, class_counts, len(weight))
    a = np.log(row_norms(weight.astype(np.float64))[:, 0])  # a zero row scores 0 whatever a is
    lo, hi = Family.of(exponential_bounds, a, competing).over_features(X, y, weight)
    return TauPath(lo, hi, y, counts, many=many, few=few)


def adjustment_path(X, y, head, log_prior, *, class_counts=None, many: int = 100, few: int = 20) -> TauPath:
    """Accuracy of post-hoc logit adjustment, z_c − τ·log π_c, on features, for every τ ≥ 0.

    z are `head`'s logits of `X` (N, D), bias included; `log_prior` (C,). Classes whose prior is 0
    (``-inf``) or whose `class_counts` is 0 are left out. Otherwise as :func:`tau_path`.
    """
    X, y, weight = _features(X, y, head.weight)
    counts, competing = _competing(y, class_counts, len(weight))
    log_prior = np.asarray(log_prior, np.float64)
    competing = competing[np.isfinite(log_prior[competing])]
    if head.cosine:
        X, weight = unit_rows(X), unit_rows(weight)
    a = log_prior / head.scale  # scale·z − τ·log π orders classes as z − τ·(log π/scale) does
    lo, hi = Family.of(linear_bounds, a, competing).over_features(X, y, weight, head.bias)
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


def fit_tau(
    tau: float | str,
    X,
    rows,
    class_counts,
    path_of: Callable[[np.ndarray, np.ndarray, Head], TauPath],
    *,
    head: Head | None,
    validation: Features | None,
) -> tuple[Head, float]:
    """(`head`, or the plain linear one of the samples where it is None; `tau` as a number).

    A `tau` of "validation" is chosen: the best of ``path_of(X, rows, head)`` on the validation samples or,
    without a given head and without validation, of the folds' (:func:`cross_validated_path`). ValueError
    where a given head lacks validation.
    """
    base = head or fit_plain_head(X, rows, len(class_counts))
    if tau != "validation":
        return base, float(tau)
    if validation is not None:
        return base, path_of(validation.X, validation.y, base).best_tau
    if head is not None:
        raise ValueError(NEEDS_VALIDATION)
    return base, cross_validated_path(X, rows, class_counts, path_of).best_tau


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


def _competing(y, class_counts, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
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
    counts, competing = _competing(y, class_counts, len(a))
    lo, hi = Family.of(bounds, a, competing).over_scores(z.astype(np.float64), y)
    return TauPath(lo, hi, y, counts, many=many, few=few)
