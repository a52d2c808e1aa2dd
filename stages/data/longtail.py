"""Hold-outs and long-tailed subsets.

Validation and test samples are held out before the imbalance is made, from a seed of their own, so that
changing the profile leaves them alone and smaller subsets lie inside larger ones.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from longtail.stages.data.noise import flip_labels
from longtail.stages.data.parts import SUPPLIED, Collection, Part, Splits
from longtail.stages.data.profiles import class_counts, refuse_unused
from longtail.stages.parameters import Count, Fraction, Index, Positive, Seed, wrong
from longtail.stages.randomness import generator
from longtail.stages.registry import Registry

SPLITTERS = Registry("splitter", "SPLITTERS", __name__, supplied=SUPPLIED)
PER_CLASS = {"val": "validation_per_class", "test": "test_per_class"}


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
    seed: Seed = 0,
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

    Raises ValueError for fewer than two classes, when a class is too small for what is asked, and for labels
    outside 0..C−1, C the number of class names.

    Source: the profiles' (:func:`class_counts`); holding out before the imbalance, Sinha 2020
    (arXiv 2010.01824); label noise Ren 2018 (1803.09050).
    """
    sizes = {"imbalance_factor": imbalance_factor, "max_count": max_count}
    sizes |= {"total": total, "majority_ratio": majority_ratio}
    refuse_unused(profile, **sizes)
    _refuse_unnamed_classes(collection)
    chosen = _chosen_labels(classes, len(collection.class_names))
    names = [collection.class_names[label] for label in chosen]
    _refuse_one_class(names, of_choice=classes is not None)
    train = _by_class(collection.train, chosen, names, seed, "train")
    if collection.test is None:
        test, train = _hold_out(train, "test", test_per_class, test_fraction)
    else:
        test = _by_class(collection.test, chosen, names, seed, "test").first(test_per_class)
    if collection.val is None:
        val, train = _hold_out(train, "val", validation_per_class, validation_fraction)
    else:
        val = _by_class(collection.val, chosen, names, seed, "val").first(validation_per_class)
    train = _long_tailed(train, profile, **sizes)
    meta = None
    if meta_per_class:
        meta, train = _set_apart(train, meta_per_class)
    return _splits(train, val, test, meta, label_noise, seed)


class Subset(NamedTuple):
    """Samples of `source` by class: for each of the `names` the indices of its samples, (N_c,) int64."""

    source: Part
    names: list[str]
    indices: list[np.ndarray]

    def first(self, count: int | None) -> Subset:
        """The first `count` samples of each class (None: all)."""
        return self._replace(indices=[rows[:count] for rows in self.indices])

    def cut(self, counts: list[int] | np.ndarray) -> tuple[Subset, Subset]:
        """The first counts[c] samples of each class c, and the rest."""
        first = [rows[:n] for rows, n in zip(self.indices, counts, strict=True)]
        rest = [rows[n:] for rows, n in zip(self.indices, counts, strict=True)]
        return self._replace(indices=first), self._replace(indices=rest)

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices (N,) of all samples in the source's own order, and their labels (N,)."""
        indices = np.concatenate([*self.indices, np.empty(0, np.int64)]).astype(np.int64)
        labels = np.repeat(np.arange(len(self.names)), [len(rows) for rows in self.indices])
        order = np.argsort(indices, kind="stable")  # reads of a memory map run forward
        return indices[order], labels.astype(np.int64)[order]


def _refuse_unnamed_classes(collection: Collection) -> None:
    """ValueError for a label without a class name, whose samples would otherwise be lost."""
    num_classes = len(collection.class_names)
    for name, part in (("train", collection.train), ("val", collection.val), ("test", collection.test)):
        if part is None or not len(part.labels):
            continue
        for extreme in (part.labels.min(), part.labels.max()):
            if not 0 <= extreme < num_classes:
                raise ValueError(
                    f"{name} part: labels must be in 0..{num_classes - 1}, as there are {num_classes} class "
                    f"names, got {extreme}"
                )


def _refuse_one_class(names: list[str], *, of_choice: bool) -> None:
    """ValueError for a single class, of which every classifier is always right."""
    if len(names) > 1:
        return
    if of_choice:
        raise wrong("classes", f"must name two classes or more, got {names[0]!r} alone")
    raise ValueError(f"the data have one class, {names[0]!r}; there must be at least two")


def _chosen_labels(classes: list[int] | None, num_classes: int) -> list[int]:
    chosen = list(range(num_classes)) if classes is None else classes
    if len(set(chosen)) != len(chosen) or not chosen or max(chosen) >= num_classes:
        raise wrong("classes", f"must be distinct labels below {num_classes}, got {classes}")
    return chosen


def _by_class(source: Part, chosen: list[int], names: list[str], seed: int, part: str) -> Subset:
    """The chosen classes' samples, each class in an order of its own drawn from (seed, part, class)."""
    indices = [np.flatnonzero(source.labels == label) for label in chosen]
    shuffled = [
        generator(seed, f"split {part}", label).permutation(rows)
        for label, rows in zip(chosen, indices, strict=True)
    ]
    return Subset(source, names, shuffled)


def _hold_out(pool: Subset, part: str, per_class: int | None, fraction: float) -> tuple[Subset, Subset]:
    """The first samples of each class, held out as `part`, and those that are left.

    ValueError when `per_class` would leave a class no sample.
    """
    counts = []
    for name, rows in zip(pool.names, pool.indices, strict=True):
        if per_class is None:
            counts.append(min(round(fraction * len(rows)), max(len(rows) - 1, 0)))
        elif per_class < len(rows) or not per_class:
            counts.append(per_class)
        else:
            rule = f"must be below {len(rows)}, what class {name!r} has left"
            raise wrong(PER_CLASS[part], f"{rule}, got {per_class}")
    return pool.cut(counts)


def _long_tailed(pool: Subset, profile: str, *, max_count: int | None, **sizes) -> Subset:
    """As many samples of each class as the profile asks for; ValueError when a class has fewer."""
    available = np.array([len(rows) for rows in pool.indices])
    if not available.sum():
        raise ValueError("no training sample is left after hold-out")
    if profile == "none":
        return pool.first(max_count)
    if max_count is None:
        max_count = max(1, int(available.min()))  # an empty class is then named below
    wanted = class_counts(profile, len(pool.names), max_count, **sizes)
    short = np.flatnonzero(wanted > available)
    if len(short):
        c = short[0]
        raise wrong(
            "total" if profile == "binary" else "max_count",
            f"the profile asks for {wanted[c]} training samples of class {pool.names[c]!r}, which has "
            f"{available[c]} left after hold-out",
        )
    return pool.cut(wanted)[0]


def _set_apart(train: Subset, per_class: int) -> tuple[Subset, Subset]:
    """Each class's meta samples, at most half of what it has, and what is left for training."""
    for name, rows in zip(train.names, train.indices, strict=True):
        if len(rows) == 1:
            raise wrong(
                "meta_per_class",
                f"class {name!r} has a single training sample, so none can be held out to learn weights on; "
                "lower `imbalance_factor` or leave the class out of `classes`",
            )
    return train.cut([min(per_class, len(rows) // 2) for rows in train.indices])


def _splits(
    train: Subset, val: Subset, test: Subset, meta: Subset | None, label_noise: float, seed: int
) -> Splits:
    """The parts, normalised as the training part is, whose labels get the noise."""
    num_classes = len(train.names)
    indices, labels = train.in_order()
    flipped = None
    if label_noise:
        noise = {"share": label_noise, "seed": seed}
        labels, flipped = flip_labels(labels, indices, len(train.source), num_classes, **noise)
    trained = train.source.take(indices, labels)

    def part(subset: Subset) -> Part:
        return subset.source.take(*subset.in_order()).normalized_like(trained)

    normalized = trained.normalized_like(trained)
    return Splits(
        train=normalized,
        val=part(val),
        test=part(test),
        num_classes=num_classes,
        class_counts=np.bincount(labels, minlength=num_classes).astype(np.int64),
        class_names=train.names,
        input_shape=getattr(normalized, "input_shape", None) or tuple(normalized.batch([0]).shape[1:]),
        meta=None if meta is None else part(meta),
        flipped=flipped,
    )
