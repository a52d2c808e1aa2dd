"""Stage one's own head."""

from __future__ import annotations

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import LinearClassifier
from longtail.stages.classifiers.tools.linear import fit_plain_head


@CLASSIFIERS.register("joint")
class Joint(LinearClassifier):
    """Stage one's own head, unchanged: the end-to-end baseline.

    Without a head, a plain linear one is fitted on the features (``is_linear_fit_`` says so).

    Source: Kang 2020 (arXiv 1910.09217), section 4.
    """

    def __init__(self):
        pass

    def _fit(self, X, rows, head, validation):
        self.is_linear_fit_ = head is None
        self.head_ = fit_plain_head(X, rows, len(self.classes_)) if head is None else head
