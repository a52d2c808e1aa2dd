"""Stage two in memory: classifiers are fitted on features, and judged on a split."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from longtail.pipeline.config.choices import cannot_choose, chooses
from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import FitFailed, out_of_memory

if TYPE_CHECKING:
    import numpy as np

    from longtail.pipeline.store.result import Metrics
    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.stages.classifiers.base import Classifier
    from longtail.stages.features import Features

log = logging.getLogger("longtail")


class Fitted(NamedTuple):
    """A fitted classifier and how many seconds that took."""

    estimator: Classifier
    seconds: float


def fit_classifier(config: Config, spec: Spec, features: FeatureSet) -> Fitted:
    """Fit one classifier, choosing as the protocol says.

    FitFailed naming the classifier when it cannot be fitted.
    """
    head = features.head
    if head is not None and choosing_split(config, features) is None and chooses(spec, cosine=head.cosine):
        raise FitFailed(cannot_choose(config, spec))
    began = time.perf_counter()
    try:
        estimator = make_estimator(config, spec)
        _warn_of_two_corrections(config, features, estimator, spec)
        estimator.fit(features.train.X, features.train.y, **_fit_arguments(config, features, estimator))
    except (ValueError, ImportError, ArithmeticError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and out_of_memory(error) is None:
            raise
        message = out_of_memory(error) or str(error)
        raise FitFailed(f"{spec.name}: {' '.join(message.split())}") from error
    return Fitted(estimator, time.perf_counter() - began)


def make_estimator(config: Config, spec: Spec) -> Classifier:
    """The estimator a spec stands for, with the run's seed where it takes one."""
    target = registry(spec.kind).get(spec.name)
    takes_seed = "random_state" in inspect.signature(target).parameters
    seed = {"random_state": config.seed} if takes_seed else {}
    return registry(spec.kind).create(spec.name, **spec.params, **seed)


def _warn_of_two_corrections(config: Config, features: FeatureSet, estimator: Classifier, spec: Spec) -> None:
    """Warn when a classifier that makes up for class counts meets a head that has learned to do so."""
    from longtail.pipeline.training.trainee_building import build_sampler
    from longtail.stages.losses.corrections import corrects

    settings = config.representation
    chosen = spec.params.get("tau") == "validation"  # then the second correction is as large as it helps
    if not estimator.presumes_prior or chosen or settings is None or not settings.epochs:
        return
    loss = registry("losses").create(settings.loss.name, features.class_counts, **settings.loss.params)
    sampler = build_sampler(config, features.train.y, len(features.class_counts))
    if corrects(loss, sampler, epoch=settings.epochs - 1):
        log.warning(
            "classifier %s presumes a head that follows the class counts, and stage one (loss %s, sampler "
            "%s) made up for them already: rare classes are favoured twice",
            spec.name,
            settings.loss.name,
            settings.sampler.name,
        )


def _fit_arguments(config: Config, features: FeatureSet, estimator: Classifier) -> dict[str, Any]:
    """What an estimator's fit gets beside samples: stage one's head, what to choose on, views."""
    arguments = {"head": features.head, "validation": choosing_split(config, features)}
    if features.views and estimator.uses_views:
        arguments["views"] = features.views
    return arguments


def choosing_split(config: Config, features: FeatureSet) -> Features | None:
    """What choices are made on: validation, and test only under protocol paper; None without samples."""
    part = {"val": features.val, "test": features.test}[config.evaluation.choosing_split]
    return part if len(part) else None


class Judgement(NamedTuple):
    """How a classifier does on a split.

    `classes` (N,) int32 are the ones it gives each sample, `confidences` (N,) float32 their softmax
    probabilities; None where scores are not logits.
    """

    metrics: Metrics
    classes: np.ndarray
    confidences: np.ndarray | None


def judge(
    estimator: Classifier, part: Features, class_counts: list[int], *, many: int, few: int
) -> Judgement:
    """Every metric of a fitted classifier on a split, shot groups by `many` and `few`."""
    import numpy as np

    from longtail.stages.metrics.scores import confidences, evaluate

    scores, logits = estimator.scores(part.X), estimator.gives_logits
    metrics = evaluate(scores, part.y, class_counts, many=many, few=few, logits=logits)
    confidence = confidences(scores).astype(np.float32) if logits else None
    return Judgement(metrics, scores.argmax(1).astype(np.int32), confidence)
