"""Stage two with a memory: a classifier is fitted once, and judged on a split when that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.imports import origins
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.at_work import at_work
from longtail.pipeline.files.publish import json_file, publish_bytes
from longtail.pipeline.store.classifier_files import PREDICTIONS, WEIGHTS, load_classifier, load_predictions
from longtail.pipeline.store.identity import classifier_id, feature_key
from longtail.pipeline.store.records.result_index import RESULT
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.work import classifying
from longtail.pipeline.work.run_extraction import open_features
from longtail.pipeline.work.run_settings import run_settings
from longtail.pipeline.work.stage_one import run_stage_one

if TYPE_CHECKING:
    import numpy as np

    from longtail.pipeline.work.classifying import Fitted
    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.stages.classifiers.base import Classifier
    from longtail.stages.features import Features

log = logging.getLogger("longtail")

SPLITS = ("val", "test")


def finished_result(store: Store, name: str, splits: tuple[str, ...]) -> Result | None:
    """The verified result of classifier `name` when it is judged on all of `splits` that have samples."""
    result = store.result(name)
    if result is None or set(splits) & set(result.sizes) - set(result.metrics):
        return None
    return result


class Workbench:
    """Cached features and the classifiers on them, each fitted and judged once.

    Stage one runs at once unless it is done; features are opened when a classifier needs them.
    """

    def __init__(self, config: Config, store: Store):
        self.config, self.store = config, store
        self.one = run_stage_one(config, store)
        self.key = feature_key(store, config, self.one.tensors)
        self._features: FeatureSet | None = None

    @property
    def features(self) -> FeatureSet:
        """The verified features, extracted first if need be."""
        if self._features is None:
            data = self.config.data
            look = self.store.data_look(data.name, data.params)
            self.key, self._features = open_features(self.config, self.store)
            look.refuse_changes("this command")  # before anything is published that is named after them
        return self._features

    def classifier_id(self, spec: Spec) -> str:
        """The id of a classifier on these features."""
        return classifier_id(self.config, self.key, spec)

    def result(self, spec: Spec, splits: tuple[str, ...] = SPLITS, *, fresh: bool = False) -> Result:
        """The result of one classifier, judged on `splits`; done again when `fresh`.

        FitFailed naming the classifier when it cannot be fitted.
        """
        name = self.classifier_id(spec)
        result = None if fresh else finished_result(self.store, name, splits)
        if result is not None:
            log.debug("classifier %s: %s done", name, spec.name)
            return result
        self.store.refuse_obstacle("classifiers", name)
        features = self.features  # whose extraction may change their key, and so the id
        partial = None if fresh else self.store.result(self.classifier_id(spec))
        if partial is not None:
            try:
                return self._complete(partial, splits)
            except (Damaged, FileNotFoundError) as error:
                log.warning("%s; it is fitted again", error)
        return self._publish(spec, classifying.fit_classifier(self.config, spec, features), splits)

    def fit(self, specs: list[Spec], splits: tuple[str, ...], done: Callable[[int], None]) -> None:
        """Make sure of many results; ``done(1)`` after each."""
        for spec in specs:
            self.result(spec, splits)
            done(1)

    # -- publishing -----------------------------------------------------------------------------------

    def _publish(self, spec: Spec, fitted: Fitted, splits: tuple[str, ...]) -> Result:
        """Judge a fitted classifier on `splits` and publish it with its result, which is returned."""
        from longtail.pipeline.files.tensor_files import save_tensors
        from longtail.stages.classifiers.tools.state import to_state

        name = self.classifier_id(spec)
        log.debug("classifier %s: %s fitted in %.2f s", name, spec.name, fitted.seconds)
        arrays, description = to_state(spec.name, fitted.estimator)
        choices = {k: v["value"] for k, v in description["fitted"].items() if _is_choice(k, v)}
        with at_work(self.store.folder("classifiers", name)):
            save_tensors(self.store.folder("classifiers", name) / WEIGHTS, arrays, description)
            return self._judged(self._unjudged(spec, choices, fitted.seconds), fitted.estimator, splits, {})

    def _unjudged(self, spec: Spec, choices: dict[str, bool | int | float], seconds: float) -> Result:
        """The result of a classifier that was fitted just now, before it is judged on any split."""
        from longtail.pipeline.process.provenance import versions

        config, features = self.config, self.features
        return Result(
            run=self.classifier_id(spec),
            representation=self.one.id,
            features=self.key,
            classifier=spec.name,
            params=spec.changed(),
            fitted=choices,
            seed=config.seed,
            data_seed=config.data.full()["seed"],
            protocol=config.evaluation.protocol,
            thresholds=config.evaluation.thresholds,
            settings=run_settings(config, spec, self.one.epochs),
            class_counts=features.class_counts,
            class_names=features.class_names,
            sizes={split: len(part) for split, part in self._parts().items() if len(part)},
            class_samples={},
            metrics={},
            seconds=seconds,
            versions=versions(),
            imports=origins(config.data, config.representation, spec),
        )

    def _complete(self, result: Result, splits: tuple[str, ...]) -> Result:
        """`result` of a finished classifier with the metrics of `splits` that it lacks, published again."""
        predictions = load_predictions(self.store, result.run)
        estimator = load_classifier(self.store, result.run)
        with at_work(self.store.folder("classifiers", result.run)):
            return self._judged(result, estimator, splits, predictions)

    def _judged(
        self,
        result: Result,
        estimator: Classifier,
        splits: tuple[str, ...],
        predictions: dict[str, np.ndarray],
    ) -> Result:
        """Judge `estimator` on those of `splits` that `result` lacks; publish all there is of it."""
        import numpy as np

        from longtail.pipeline.files.tensor_files import tensor_file

        metrics, samples, predictions = dict(result.metrics), dict(result.class_samples), dict(predictions)
        counts = result.class_counts
        for split in splits:
            part = self._parts()[split]
            if len(part) and split not in metrics:
                judgement = classifying.judge(estimator, part, counts, **result.thresholds)
                metrics[split], predictions[split] = judgement.metrics, judgement.classes
                predictions[f"{split}.y"] = np.asarray(part.y, np.int32)
                samples[split] = np.bincount(part.y, minlength=len(counts)).tolist()
                if judgement.confidences is not None:
                    predictions[f"{split}.confidence"] = judgement.confidences
        result = replace(result, class_samples=samples, metrics=metrics)
        folder = self.store.folder("classifiers", result.run)
        contents = {PREDICTIONS: tensor_file(predictions, {})[0], RESULT: json_file(result.to_json())}
        self.store.announce("classifiers", result.run, contents)
        for file, content in contents.items():
            publish_bytes(folder / file, content)
        self.store.finish("classifiers", result.run, {"classifier": result.classifier}, [WEIGHTS, *contents])
        return result

    def _parts(self) -> dict[str, Features]:
        return {"val": self.features.val, "test": self.features.test}


def _is_choice(key: str, entry: dict[str, Any]) -> bool:
    """Whether an entry of a fitted classifier's description is something that the fit chose."""
    return isinstance(entry.get("value"), bool | int | float) and key != "n_features_in_"
