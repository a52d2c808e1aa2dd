"""Class weights for losses.

``WEIGHTINGS.create(name, class_counts, **params)`` is (C,) float64 weights, 0 for a class without samples.
The fact ``for_balanced_batches`` marks weights that belong with a balanced sampler: they do not count as a
second correction for class counts.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from longtail.stages.parameters import Beta, Positive, Problem, Problems
from longtail.stages.registry import Registry, split_spec

if TYPE_CHECKING:
    import numpy as np

WEIGHTINGS = Registry("weighting", "WEIGHTINGS", __name__, supplied=("class_counts",))

ALIKE = 1.1  # largest over smallest weight: below it weighting hardly makes a difference


def build_weights(spec: str | dict, class_counts) -> np.ndarray:
    """The weights (C,) a name or {name, ...parameters} stands for.

    Warns when the largest and the smallest differ by less than 10 %. Raises `Problems` under ``weighting``.
    """
    import numpy as np

    try:
        name, params = split_spec(spec)
        weights = WEIGHTINGS.create(name, class_counts, **WEIGHTINGS.check(name, params))
    except Problems as error:
        raise Problems([problem.under("weighting") for problem in error.problems]) from None
    except ValueError as error:
        raise Problems([Problem("weighting", str(error))]) from None
    of_present = weights[np.asarray(class_counts) > 0]
    if name != "none" and of_present.max() < ALIKE * of_present.min() and len(of_present) > 1:
        quotient = of_present.max() / of_present.min()
        warnings.warn(
            f"weighting {name}: the largest class weight is only {quotient:.3g} times the smallest, "
            "nearly no weighting at all; a larger beta or another weighting makes a difference",
            stacklevel=3,
        )
    return weights


@WEIGHTINGS.register("none")
def none(class_counts) -> np.ndarray:
    """w_c = 1: every sample counts the same.

    Source: the baseline of Cui 2019 (arXiv 1901.05555).
    """
    from longtail.stages.priors import class_weights

    return class_weights(class_counts, lambda n: n**0, rescale=False)


@WEIGHTINGS.register("inverse_sqrt", power=0.5)
@WEIGHTINGS.register("inverse_frequency", power=1.0)
def inverse_power(
    class_counts, *, power: float, normalise: Literal["classes", "none"] = "classes"
) -> np.ndarray:
    """w_c ∝ n_c^(−power): 1 gives every class the same mass, 1/2 goes half the way.

    `normalise` classes scales the weights to a sum of the classes present; none leaves n_c^(−power).

    Source: Huang 2016 and Wang 2017 as Cui 2019 (arXiv 1901.05555), section 1, cites them; RW in Cao 2019
    (1906.07413).

    >>> WEIGHTINGS.create("inverse_frequency", [30, 10, 0]).tolist()
    [0.5, 1.5, 0.0]
    """
    from longtail.stages.priors import class_weights

    return class_weights(class_counts, lambda n: n**-power, rescale=normalise == "classes")


@WEIGHTINGS.register("effective_number")
def effective_number(
    class_counts, *, beta: Beta = 0.9999, normalise: Literal["classes", "none"] = "classes"
) -> np.ndarray:
    """w_c ∝ 1/E_{n_c}, E_n = (1 − β^n)/(1 − β): samples beyond the effective number bring nothing new.

    β → 0 is no weighting, β → 1 inverse frequency. `normalise` classes scales the weights to a sum of the
    classes present; none leaves 1/E.

    Source: Cui 2019 (arXiv 1901.05555), equation 3.
    """
    from longtail.stages.priors import class_weights, effective_share

    rescale = normalise == "classes"
    return class_weights(class_counts, lambda n: (1 - beta) / effective_share(n, beta), rescale=rescale)


@WEIGHTINGS.register("clipped_inverse_frequency", facts={"for_balanced_batches": True})
def clipped_inverse_frequency(
    class_counts, *, low: Positive = 1.0, high: Positive | None = None
) -> np.ndarray:
    """w_c = clip(N/(n_c·C), low, high), never rescaled; `high` null is C^(1/4).

    C counts the classes present. Made for `uniform_batch` sampling.

    Source: Park, Piao, Kim 2023 (A Study of a Method for Maintaining Accuracy Uniformity When Using
    Long-tailed Dataset), eq. 2: "W in [1, ⁴√n]", n classes.
    """
    import numpy as np

    from longtail.stages.priors import class_weights

    counts = np.asarray(class_counts, np.float64)
    classes = (counts > 0).sum()
    top = classes**0.25 if high is None else high
    if low > top:
        raise ValueError(f"low: must be ≤ high ({top:g}), got {low:g}")
    return class_weights(counts, lambda n: np.clip(counts.sum() / (n * classes), low, top), rescale=False)
