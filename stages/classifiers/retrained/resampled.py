"""Any classifier on over- or under-sampled features."""

from __future__ import annotations

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.tools.wrapper import Wrapper
from longtail.stages.parameters import ClassifierSpec, ResamplerSpec
from longtail.stages.registry import split_spec


@CLASSIFIERS.register("resampled")
class Resampled(Wrapper):
    """Another classifier, fitted on over- or under-sampled features.

    `method` is a resampler (``longtail list resamplers``). Afterwards classes are equally large and an inner
    correction by class counts corrects nothing: crt's class_balanced objective, the default, is the plain
    cross-entropy of the resampled features; logit_adjustment and balanced_softmax have nothing to adjust.
    Stage one's head and validation reach `classifier` unchanged. Without validation what it chooses by
    cross-validation is chosen on samples whose copies it was trained on: pass validation, or wrap the other
    way round (temperature of resampled). Augmented views are not used. Over-samplers hold all K·n_max samples
    of the K classes present in memory.

    Fitted: ``classifier_``, its ``class_counts_`` those it was fitted on; ``class_counts_`` here are those of
    the samples given.

    Raises ValueError for resampled of resampled, ImportError when imbalanced-learn is missing.

    Source: Chawla 2002 (arXiv 1106.1813) for the default; on deep features Buda 2018 (1710.05381) compares
    random over- and under-sampling.
    """

    uses_views = False  # a synthetic sample has none

    def __init__(
        self,
        *,
        classifier: ClassifierSpec = "crt",
        method: ResamplerSpec = "smote",
        random_state=None,
    ):
        self.classifier = classifier
        self.method = method
        self.random_state = random_state

    def _fit(self, X, rows, head, validation):
        from longtail.stages.resampling import RESAMPLERS

        inner = self._inner()
        name, params = split_spec(self.method)
        X, rows = RESAMPLERS.create(name, X, rows, random_state=self.random_state, **params)
        self.classifier_ = inner.fit(X, rows, head=head, validation=validation)
