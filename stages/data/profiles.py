"""How many training samples each class gets: the long-tailed profiles."""

from __future__ import annotations

import numpy as np

from longtail.stages.parameters import Problem, Problems, wrong

UNUSED = {  # settings that a profile has no use for
    "exponential": ("total", "majority_ratio"),
    "step": ("total", "majority_ratio"),
    "binary": ("imbalance_factor", "max_count"),
    "none": ("imbalance_factor", "total", "majority_ratio"),
}
PROFILES = tuple(UNUSED)


def class_counts(
    profile: str,
    num_classes: int,
    max_count: int | None,
    imbalance_factor: float | None = None,
    *,
    total: int | None = None,
    majority_ratio: float | None = None,
) -> np.ndarray:
    """Training samples per class, (C,) int64, for classes in descending order of size.

    exponential: max(1, int(n_max·(1/IF)^(c/(C−1)))); step: the first C//2 classes n_max, the rest
    max(1, int(n_max/IF)); binary: [T − round(T·r), round(T·r)], the minority first; none: n_max each.

    Raises ValueError when a profile lacks what it needs or a value is out of range.

    Source: exponential Cui 2019 (arXiv 1901.05555) and Cao 2019 (1906.07413); step Cao 2019; binary Ren 2018
    (1803.09050).

    >>> class_counts("exponential", 10, 5000, 100).tolist()
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    _refuse_unknown(profile)
    if num_classes < 1:
        raise wrong("num_classes", f"must be ≥ 1, got {num_classes}")
    if profile == "binary":
        return _binary_counts(num_classes, total, majority_ratio)
    if max_count is None or max_count < 1:
        raise wrong("max_count", f"must be ≥ 1, got {max_count}")
    if profile == "none":
        return np.full(num_classes, max_count, np.int64)
    if imbalance_factor is None or not imbalance_factor >= 1:
        raise wrong("imbalance_factor", f"profile {profile} needs a number ≥ 1, got {imbalance_factor}")
    rarest = 1 / imbalance_factor
    if profile == "step":
        few = max(1, int(max_count * rarest))
        return np.where(np.arange(num_classes) < num_classes // 2, max_count, few).astype(np.int64)
    position = [c / (num_classes - 1) if num_classes > 1 else 0.0 for c in range(num_classes)]
    return np.array([max(1, int(max_count * rarest**p)) for p in position], np.int64)


def _binary_counts(num_classes: int, total: int | None, majority_ratio: float | None) -> np.ndarray:
    if num_classes != 2:
        raise wrong("profile", f"binary needs two classes, got {num_classes}; name them with `classes`")
    given = {"total": total, "majority_ratio": majority_ratio}
    missing = [key for key, value in given.items() if value is None]
    if missing:
        raise Problems([Problem(key, "is required by profile binary") for key in missing])
    if total < 2:
        raise wrong("total", f"must be ≥ 2 with profile binary, got {total}")
    if not 0.5 <= majority_ratio < 1:
        raise wrong("majority_ratio", f"must be in [.5, 1), got {majority_ratio}")
    majority = round(total * majority_ratio)
    return np.array([total - majority, majority], np.int64)


def refuse_unused(profile: str, **settings) -> None:
    """Problems for the settings a profile has no use for: better refused than ignored."""
    _refuse_unknown(profile)
    given = [key for key in UNUSED[profile] if settings[key] is not None]
    if given:
        rule = f"has no meaning with profile {profile}"
        raise Problems(
            [Problem(key, f"{rule}, got {settings[key]}; set `profile` or leave it out") for key in given]
        )


def _refuse_unknown(profile: str) -> None:
    if profile not in PROFILES:
        raise wrong("profile", f"must be one of {', '.join(PROFILES)}, got {profile!r}")
