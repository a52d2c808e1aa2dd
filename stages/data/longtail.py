"""Class-count profiles, hold-outs and long-tailed subsets.

Validation and test samples are held out before the imbalance is made, from a seed of their own, so that
changing the profile leaves them alone and smaller subsets lie inside larger ones.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from longtail.stages.data.noise import flip_labels
from longtail.stages.data.parts import SUPPLIED, Collection, Splits
from longtail.stages.parameters import Count, Fraction, Index, Positive, Problem, Problems
from longtail.stages.randomness import generator
from longtail.stages.registry import Registry

SPLITTERS = Registry("splitter", "SPLITTERS", __name__, supplied=SUPPLIED)
IDLE = {  # what each profile has no use for
    "exponential": ("total", "majority_ratio"),
    "step": ("total", "majority_ratio"),
    "binary": ("imbalance_factor", "max_count"),
    "none": ("imbalance_factor", "total", "majority_ratio"),
}
PROFILES = tuple(IDLE)


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
    if profile not in PROFILES:
        raise ValueError(f"profile: must be one of {', '.join(PROFILES)}, got {profile!r}")
    if num_classes < 1:
        raise ValueError(f"num_classes: must be ≥ 1, got {num_classes}")
    if profile == "binary":
        return _binary_counts(num_classes, total, majority_ratio)
    if max_count is None or max_count < 1:
        raise ValueError(f"max_count: must be ≥ 1, got {max_count}")
    if profile == "none":
        return np.full(num_classes, max_count, np.int64)
    if imbalance_factor is None or not imbalance_factor >= 1:
        raise ValueError(f"imbalance_factor: profile {profile} needs a number ≥ 1, got {imbalance_factor}")
    rarest = 1 / imbalance_factor
    if profile == "step":
        few = max(1, int(max_count * rarest))
        return np.where(np.arange(num_classes) < num_classes // 2, max_count, few).astype(np.int64)
    position = [c / (num_classes - 1) if num_classes > 1 else 0.0 for c in range(num_classes)]
    return np.array([max(1, int(max_count * rarest**p)) for p in position], np.int64)


def _binary_counts(num_classes: int, total: int | None, majority_ratio: float | None) -> np.ndarray:
    if num_classes != 2:
        raise ValueError(f"profile: binary needs two classes, got {num_classes}; name them with classes")
    if total is None or majority_ratio is None:
        raise ValueError("profile: binary needs total and majority_ratio")
    if total < 2 or not 0.5 <= majority_ratio < 1:
        raise ValueError(
            f"binary: total must be ≥ 2 and majority_ratio in [.5, 1), got {total}, {majority_ratio}"
        )
    majority = round(total * majority_ratio)
    return np.array([total - majority, majority], np.int64)


@SPLITTERS.register("longtail")
def make_splits(
    collection: Collection,
    *,
    profile: Literal["exponential", "step", "binary", "none"] = "none",
    imbalance_factor: Positive | None = None,
    max_count: Count | None = None,
    total: Count | None = None,
    majority_ratio: Fraction | None = None,
    classes: list[Index] | None = None,
    validation_per_class: Index | None = None,
    test_per_class: Index | None = None,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    label_noise: Fraction = 0.0,
    seed: Index = 0,
    meta_per_class: int = 0,
) -> Splits:
    """Hold out test and validation samples, then make what is left long-tailed.

    A part the data set brings itself is used as it is. Otherwise it is held out of the training pool:
    `*_per_class` samples of every class, or when that is null a stratified `*_fraction`, which leaves every
    class at least one training sample. A given `validation_per_class` or `test_per_class` also trims a part
    the data set brings to that many samples a class. `max_count` defaults to the smallest class after
    hold-out; with profile none it caps each class. `classes` keeps only those labels, renumbered in the order
    given. With `label_noise` each training label becomes, with that probability, one of the other classes;
    the counts that `max_count` and the profile ask for are those before.

    `meta_per_class` samples of each class leave the training part, labelled right, for a loss's weights to be
    learned on; a class with less than twice that gives half of its samples.

    Returns :class:`~longtail.stages.data.Splits`.

    Raises ValueError when a class is too small for what is asked.

    Source: the profiles' (:func:`class_counts`); holding out before the imbalance, Sinha 2020
    (arXiv 2010.01824); label noise Ren 2018 (1803.09050).
    """
    _refuse_idle(
        profile,
        imbalance_factor=imbalance_factor,
        max_count=max_count,
        total=total,
        majority_ratio=majority_ratio,
    )
    names = collection.class_names
    chosen = list(range(len(names))) if classes is None else classes
    if len(set(chosen)) != len(chosen) or not chosen or max(chosen) >= len(names):
        raise ValueError(f"classes: must be distinct labels below {len(names)}, got {classes}")

    pool = _by_class(collection.train.labels, chosen, seed, "split train")
    test = collection.test, test_per_class, test_fraction
    val = collection.val, validation_per_class, validation_fraction
    held = _held_parts(collection, pool, chosen, seed, test=test, val=val)
    counts = _counts(
        pool, [names[c] for c in chosen], profile, max_count, imbalance_factor, total, majority_ratio
    )
    rows = [indices[:n] for indices, n in zip(pool, counts, strict=True)]
    if meta_per_class:
        meta, rows = _set_apart(rows, [names[c] for c in chosen], meta_per_class)
        held["meta"] = collection.train, meta
    indices, labels = _in_order(rows)
    flipped = None
    if label_noise:
        noise = {"share": label_noise, "seed": seed}
        labels, flipped = flip_labels(labels, indices, len(collection.train), len(chosen), **noise)
    train = collection.train.take(indices, labels)
    parts = {name: part.take(*_in_order(rows)).normalized_like(train) for name, (part, rows) in held.items()}
    train = train.normalized_like(train)
    return Splits(
        train=train,
        val=parts["val"],
        test=parts["test"],
        num_classes=len(chosen),
        class_counts=np.bincount(train.labels, minlength=len(chosen)).astype(np.int64),
        class_names=[names[c] for c in chosen],
        input_shape=getattr(train, "input_shape", None) or tuple(train.batch([0]).shape[1:]),
        meta=parts.get("meta"),
        flipped=flipped,
    )


def _refuse_idle(profile: str, **given) -> None:
    """Problems for the settings a profile has no use for: better refused than ignored."""
    idle = [key for key in IDLE[profile] if given[key] is not None]
    if idle:
        said = "has no meaning with profile {}, got {}; set data.profile or leave it out"
        raise Problems([Problem(f"data.{key}", said.format(profile, given[key])) for key in idle])


def _by_class(labels: np.ndarray, chosen: list[int], seed: int, purpose: str) -> list[np.ndarray]:
    """Indices of each chosen class in an order of its own, drawn from (seed, class)."""
    found = [np.flatnonzero(labels == c) for c in chosen]
    return [generator(seed, purpose, c).permutation(rows) for c, rows in zip(chosen, found, strict=True)]


def _held_parts(collection, pool, chosen, seed, **wanted) -> dict[str, tuple]:
    """(source, indices by class) of test and validation; what is held out leaves `pool`."""
    held = {}
    for part, (given, per_class, fraction) in wanted.items():
        if given is None:
            names = collection.class_names
            held[part] = collection.train, _hold_out(pool, names, chosen, part, per_class, fraction)
        else:
            own = _by_class(given.labels, chosen, seed, f"split {part}")
            held[part] = given, [indices[:per_class] for indices in own]
    return held


def _hold_out(pool, names, chosen, part, per_class, fraction) -> list[np.ndarray]:
    """Take the first samples of each class out of `pool`, in place."""
    held = []
    for row, indices in enumerate(pool):
        if per_class is None:
            count = min(round(fraction * len(indices)), max(len(indices) - 1, 0))
        elif per_class < len(indices) or not per_class:
            count = per_class
        else:
            key = {"val": "validation_per_class", "test": "test_per_class"}[part]
            raise ValueError(
                f"data.{key}: must be below {len(indices)}, what class {names[chosen[row]]!r} has left, "
                f"got {per_class}"
            )
        held.append(indices[:count])
        pool[row] = indices[count:]
    return held


def _counts(pool, names, profile, max_count, imbalance_factor, total, majority_ratio) -> np.ndarray:
    available = np.array([len(indices) for indices in pool])
    if not available.sum():
        raise ValueError("data: no training sample is left")
    if profile == "none":
        return available if max_count is None else np.minimum(available, max_count)
    if max_count is None:
        max_count = max(1, int(available.min()))  # an empty class is then named below
    wanted = class_counts(
        profile, len(pool), max_count, imbalance_factor, total=total, majority_ratio=majority_ratio
    )
    short = np.flatnonzero(wanted > available)
    if len(short):
        c = short[0]
        raise ValueError(
            f"data.{'total' if profile == 'binary' else 'max_count'}: the profile asks for {wanted[c]} "
            f"training samples of class {names[c]!r}, which has {available[c]} left after hold-out"
        )
    return wanted


def _set_apart(rows, names, per_class: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each class's meta samples, at most half of what it has, and what is left for training."""
    for name, indices in zip(names, rows, strict=True):
        if len(indices) == 1:
            raise ValueError(
                f"representation.reweighting: class {name!r} has a single training sample, so none can be "
                "held out to learn weights on; lower data.imbalance_factor or leave the class out of "
                "data.classes"
            )
    taken = [min(per_class, len(indices) // 2) for indices in rows]
    meta = [indices[:n] for indices, n in zip(rows, taken, strict=True)]
    return meta, [indices[n:] for indices, n in zip(rows, taken, strict=True)]


def _in_order(by_class: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N,) of all classes in the data set's own order, and their labels (N,)."""
    indices = np.concatenate([*by_class, np.empty(0, np.int64)]).astype(np.int64)
    labels = np.repeat(np.arange(len(by_class)), [len(rows) for rows in by_class]).astype(np.int64)
    order = np.argsort(indices, kind="stable")  # reads of a memory map run forward
    return indices[order], labels[order]
