"""Over- and under-sampling of features: ``RESAMPLERS.create("smote", X, y, random_state=0)`` → (X, y).

Features `X` (N, D) and row numbers `y` (N,); classes without samples stay without. Over-samplers keep every
sample, in order, and make each class as large as the largest, n_max, by new samples behind them; the number
of neighbours k is clamped to the n_c − 1 others a class holds, and one-sample classes are repeated. float16
becomes float32. Deterministic for an integer `random_state`. All but random_over and random_under need
imbalanced-learn (extra ``imbalance``; ImportError without it).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from longtail.stages.parameters import Count
from longtail.stages.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    Resampled = tuple[np.ndarray, np.ndarray]
    Synthesis = Callable[[np.ndarray, np.ndarray, int, np.random.RandomState], np.ndarray]

RESAMPLERS = Registry("resampler", "RESAMPLERS", __name__, supplied=("random_state",))

NEEDS_EXTRA = "resampling needs imbalanced-learn: pip install 'longtail[imbalance]'"


@RESAMPLERS.register("random_over")
def random_over(X, y, *, random_state=None) -> Resampled:
    """Samples repeated until every class is as large as the largest.

    A sample of class c stands ⌊n_max/n_c⌋ times, n_max mod n_c of them, drawn without replacement, once
    more. Where n_c divides n_max each then weighs exactly n_max/n_c; draws with replacement
    (imbalanced-learn's RandomOverSampler) give that on average only.

    Source: Buda 2018 (arXiv 1710.05381), section 2.1.
    """
    return _over_sampled(X, y, random_state, None)


@RESAMPLERS.register("random_under")
def random_under(X, y, *, random_state=None) -> Resampled:
    """Samples left out, drawn without replacement, until every class is as small as the smallest.

    Source: Buda 2018 (arXiv 1710.05381), section 2.1.
    """
    import numpy as np

    X, y, rng = _checked(X, y, random_state)
    classes, counts = np.unique(y, return_counts=True)
    kept = [rng.choice(np.flatnonzero(y == c), counts.min(), replace=False) for c in classes]
    kept = np.sort(np.concatenate(kept))
    return X[kept], y[kept]


@RESAMPLERS.register("smote")
def smote(X, y, *, random_state=None, k_neighbors: Count = 5) -> Resampled:
    """SMOTE: new samples x + u·(x' − x), x' one of the k nearest of x in its class, u uniform on [0, 1).

    Source: Chawla 2002 (arXiv 1106.1813), section 4.2.
    """
    library = _imblearn("over_sampling")

    def between(X, member, wanted, rng):
        own = X[member == 1]
        maker = library.SMOTE(
            sampling_strategy={1: wanted}, k_neighbors=min(k_neighbors, len(own) - 1), random_state=rng
        )
        # Samples of other classes play no part, but the library asks for a second class.
        return _made(maker, *_with_another(own))

    return _over_sampled(X, y, random_state, between)


@RESAMPLERS.register("borderline_smote")
def borderline_smote(
    X, y, *, random_state=None, k_neighbors: Count = 5, m_neighbors: Count = 10
) -> Resampled:
    """SMOTE from the samples in danger: of their m nearest of all classes half or more, not all, are foreign.

    x' is one of the k nearest in the class (Borderline-SMOTE1). A class without a sample in danger is
    repeated instead, with a warning. Compares every sample of a smaller class with all N.

    Source: Han 2005 (doi 10.1007/11538059_91), section 3.
    """
    library = _imblearn("over_sampling")

    def from_border(X, member, wanted, rng):
        maker = library.BorderlineSMOTE(
            sampling_strategy={1: wanted},
            k_neighbors=min(k_neighbors, member.sum() - 1),
            m_neighbors=min(m_neighbors, len(X) - 1),
            random_state=rng,
        )
        return _made(maker, X, member)

    return _over_sampled(X, y, random_state, from_border, otherwise="holds no sample in danger")


@RESAMPLERS.register("adasyn")
def adasyn(X, y, *, random_state=None, k_neighbors: Count = 5) -> Resampled:
    """ADASYN: SMOTE, a sample's new ones in proportion to the foreign among its k nearest of all classes.

    The shares are rounded: what is too many is left out at random, what is missing is repeated. A class with
    no foreign neighbour, or whose shares all round to none, is repeated instead, with a warning. Compares
    every sample of a smaller class with all N.

    Source: He 2008 (doi 10.1109/IJCNN.2008.4633969).
    """
    library = _imblearn("over_sampling")

    def by_density(X, member, wanted, rng):
        maker = library.ADASYN(
            sampling_strategy={1: wanted}, n_neighbors=min(k_neighbors, member.sum() - 1), random_state=rng
        )
        try:
            return _made(maker, X, member)
        except (RuntimeError, ValueError):  # no share is above 0, or none once rounded: X and y were checked
            return X[:0]

    return _over_sampled(
        X, y, random_state, by_density, otherwise="has no neighbours of other classes to go by"
    )


@RESAMPLERS.register("smote_tomek")
def smote_tomek(X, y, *, random_state=None, k_neighbors: Count = 5) -> Resampled:
    """SMOTE, then both samples of every Tomek link left out: two of different class, each other's nearest.

    Classes end no larger than the largest was, and may differ. A class that would lose its last sample keeps
    all, with a warning. Compares all C·n_max samples with each other.

    Source: Batista 2004 (doi 10.1145/1007730.1007735).
    """
    import numpy as np

    tomek = _imblearn("under_sampling").TomekLinks(sampling_strategy="all")
    X, y = smote(X, y, random_state=random_state, k_neighbors=k_neighbors)
    if len(np.unique(y)) < 2:
        return X, y
    tomek.fit_resample(X, y)
    kept = tomek.sample_indices_
    emptied = np.setdiff1d(y, y[kept])
    if len(emptied):
        named = ", ".join(str(c) for c in emptied)
        warnings.warn(f"all of class {named} is in Tomek links: its samples are kept", stacklevel=2)
        kept = np.union1d(kept, np.flatnonzero(np.isin(y, emptied)))
    return X[kept], y[kept]


# -- class by class ---------------------------------------------------------------------------------------


def _over_sampled(X, y, random_state, synthesis: Synthesis | None, otherwise: str = "") -> Resampled:
    """Every class filled up to n_max: by ``synthesis(X, member (N,) 0 or 1, n_max, rng)``, else by copies.

    `otherwise` says of a class why `synthesis` made nothing.
    """
    import numpy as np

    X, y, rng = _checked(X, y, random_state)
    classes, counts = np.unique(y, return_counts=True)
    largest = int(counts.max())
    features, labels = [X], [y]
    for c, count in zip(classes, counts, strict=True):
        missing = largest - count
        if not missing:
            continue
        new = X[:0]
        if synthesis is not None and count > 1:
            new = synthesis(X, (y == c).astype(np.int64), largest, rng)
            if not len(new):
                warnings.warn(f"class {c} {otherwise}: its samples are repeated", stacklevel=3)
        if len(new) > missing:
            new = new[np.sort(rng.choice(len(new), missing, replace=False))]
        copied = _repeated(np.flatnonzero(y == c), missing - len(new), rng)
        features += [new, X[copied]]
        labels.append(np.full(missing, c, y.dtype))
    return np.concatenate(features), np.concatenate(labels)


def _repeated(members: np.ndarray, count: int, rng) -> np.ndarray:
    """`count` of `members` (n,), each ⌊count/n⌋ times and a draw without replacement of the rest."""
    import numpy as np

    whole, rest = divmod(count, len(members))
    return np.concatenate([np.tile(members, whole), rng.choice(members, rest, replace=False)])


def _made(maker, X, member) -> np.ndarray:
    """The new samples of class 1 that an over-sampler of imbalanced-learn makes from (X, member)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "After over-sampling")  # a class outgrowing those shown is meant
        return maker.fit_resample(X, member)[0][len(X) :]


def _with_another(own: np.ndarray) -> Resampled:
    """(`own` (n, D) and one row more, labels (n + 1,): 1 and for that row 0)."""
    import numpy as np

    return np.concatenate([own, own[:1]]), np.append(np.ones(len(own), np.int64), 0)


def _checked(X, y, random_state) -> tuple[np.ndarray, np.ndarray, np.random.RandomState]:
    """Finite float features, integer labels and a generator; ValueError for anything else."""
    import numpy as np
    from sklearn.utils import check_random_state, check_X_y

    X, y = np.asarray(X), np.asarray(y)
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels: must be integers, got {y.dtype}")
    X = X.astype(np.float32) if X.dtype == np.float16 else X
    X, y = check_X_y(X, y, dtype=[np.float64, np.float32])
    return X, y, check_random_state(random_state)


def _imblearn(part: str):
    """A module of imbalanced-learn, which is imported here alone."""
    from importlib import import_module

    try:
        return import_module(f"imblearn.{part}")
    except ImportError as error:
        raise ImportError(NEEDS_EXTRA) from error
