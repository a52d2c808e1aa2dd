"""Post-compensated softmax."""

from __future__ import annotations

import numpy as np

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.adjusted.logit_adjustment import shifted
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.parameters import NonNegative
from longtail.stages.priors import log_prior


@CLASSIFIERS.register("pc_softmax")
class PCSoftmax(LinearClassifier):
    """Stage one's logits moved from the training prior to a target one: z_c − log π_c + log π^t_c.

    π (C,) are the training frequencies. `target` is one number ≥ 0 a class, in the order of ``classes_``,
    proportional to π^t; null is uniform over the classes present. It is normalised over those: an absent
    class is never predicted whatever its target. 0 for a class present scores −∞: it is never predicted
    either. A uniform target predicts as logit_adjustment does with τ 1, the training frequencies as joint.
    Without a head, a plain linear one is fitted. Fitted: ``target_`` (C,) and ``head_`` with the shift in
    its bias.

    Raises ValueError for a target of another length than C, or 0 for every class present.

    Source: Hong 2021 (arXiv 2012.00321), its post-compensated baseline.
    """

    presumes_prior = True

    def __init__(self, *, target: list[NonNegative] | None = None):
        self.target = target

    def _fit(self, X, rows, head, validation):
        self.target_ = self._normalised_target()  # before a head is fitted: it may be refused
        head = head or fit_plain_head(X, rows, len(self.classes_))
        wanted = np.where(self.class_counts_ > 0, self.target_, 1.0)
        with np.errstate(divide="ignore"):  # −∞ is meant
            self.head_ = shifted(head, np.log(wanted) - log_prior(self.class_counts_))

    def _normalised_target(self) -> np.ndarray:
        """π^t (C,), 0 for absent classes."""
        present = self.class_counts_ > 0
        target = np.ones(len(present)) if self.target is None else np.asarray(self.target, np.float64)
        if target.shape != present.shape:
            raise ValueError(f"target: must have one number a class, {len(present)}, got {len(target)}")
        target = np.where(present, target, 0.0)
        if not target.any():
            raise ValueError(f"target: must be above 0 for a class with samples, got {self.target}")
        target = target / target.max()  # first: a sum of large numbers may be infinite
        return target / target.sum()
