"""Stage two with a memory: a classifier is fitted once, and judged on a split when that is asked for."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.choices import cannot_choose, chooses, flat
from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.imports import origins, require_imports
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged, FitFailed, LongtailError
from longtail.pipeline.files.publish import publish_json, sha256_of
from longtail.pipeline.store.identity import classifier_id
from longtail.pipeline.store.store import Store

if TYPE_CHECKING:
    import numpy as np

    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.stages.features import Features

log = logging.getLogger("longtail")

SPLITS = ("val", "test")
FILES = ["weights.safetensors", "predictions.safetensors", "result.json"]


def finished(store: Store, name: str, splits: tuple[str, ...]) -> dict[str, Any] | None:
    """The verified result of classifier `name` when it is judged on all of `splits` that have samples."""
    found = store.result(name)
    if found is None or set(splits) & set(found["sizes"]) - set(found["metrics"]):
        return None
    return found


def fit_classifier(
    config: Config,
    store: Store,
    spec: Spec,
    representation: str | None,
    key: str,
    features: FeatureSet,
    *,
    splits: tuple[str, ...] = SPLITS,
) -> dict[str, Any]:
    """Fit one classifier, choosing as the protocol says; judge it on `splits`; publish the result.

    FitFailed naming the classifier when it cannot be fitted.
    """
    head = features.head
    if head is not None and choosing_split(config, features) is None and chooses(spec, cosine=head.cosine):
        raise FitFailed(cannot_choose(config, spec))
    began = time.perf_counter()
    try:
        estimator = make(config, spec)
        _warn_of_two_corrections(config, features, estimator, spec)
        estimator.fit(features.train.X, features.train.y, **_help(config, features, estimator))
    except (ValueError, ImportError, ArithmeticError) as error:
        raise FitFailed(f"{spec.name}: {' '.join(str(error).split())}") from error
    seconds = time.perf_counter() - began
    return publish(config, store, spec, representation, key, features, estimator, seconds, splits=splits)


def fit_together(
    config: Config,
    store: Store,
    specs: list[Spec],
    representation: str | None,
    key: str,
    features: FeatureSet,
    *,
    splits: tuple[str, ...] = SPLITS,
) -> list[dict[str, Any]]:
    """:func:`fit_classifier` for specs that train in one stack, each charged an equal part of the time."""
    from longtail.stages.classifiers.tools.stack import fit_stack

    began = time.perf_counter()
    estimators = [make(config, spec) for spec in specs]
    fit_stack(estimators, features.train.X, features.train.y, **_help(config, features, estimators[0]))
    seconds = (time.perf_counter() - began) / len(specs)
    return [
        publish(config, store, spec, representation, key, features, estimator, seconds, splits=splits)
        for spec, estimator in zip(specs, estimators, strict=True)
    ]


def stacks(config: Config, specs: list[Spec]) -> list[list[Spec]]:
    """`specs` in groups that train together, in the order of their first; most are alone."""
    from longtail.stages.classifiers.tools.stack import stack_key

    groups: dict[Any, list[Spec]] = {}
    for spec in specs:
        found = stack_key(make(config, spec))
        groups.setdefault(id(spec) if found is None else found, []).append(spec)
    return list(groups.values())


def make(config: Config, spec: Spec):
    """The estimator a spec stands for, with the run's seed where it takes one."""
    target = registry(spec.kind).get(spec.name)
    takes_seed = "random_state" in inspect.signature(target).parameters
    seed = {"random_state": config.seed} if takes_seed else {}
    return registry(spec.kind).create(spec.name, **spec.params, **seed)


def _warn_of_two_corrections(config: Config, features: FeatureSet, estimator, spec: Spec) -> None:
    """Say when a classifier that makes up for class counts meets a head that has learned to do so."""
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


def _help(config: Config, features: FeatureSet, estimator) -> dict[str, Any]:
    """What an estimator's fit gets beside samples: stage one's head, what to choose on, views."""
    found = {"head": features.head, "validation": choosing_split(config, features)}
    return {**found, "views": features.views} if features.views and estimator.uses_views else found


def choosing_split(config: Config, features: FeatureSet) -> Features | None:
    """What choices are made on: validation, and test only under protocol paper; None without samples."""
    part = features.test if config.evaluation.protocol == "paper" else features.val
    return part if len(part) else None


def publish(
    config: Config,
    store: Store,
    spec: Spec,
    representation: str | None,
    key: str,
    features: FeatureSet,
    estimator,
    seconds: float,
    *,
    splits: tuple[str, ...],
) -> dict[str, Any]:
    """Judge a fitted classifier on `splits` and publish it with its result, which is returned."""
    from longtail.pipeline.files.tensor_files import save_tensors
    from longtail.pipeline.process.environment import versions
    from longtail.stages.classifiers.tools.state import to_state

    name = classifier_id(config, key, spec)
    log.debug("classifier %s: %s fitted in %.2f s", name, spec.name, seconds)
    arrays, description = to_state(spec.name, estimator)
    save_tensors(store.folder("classifiers", name) / "weights.safetensors", arrays, description)
    result = {
        "run": name,
        "representation": representation,
        "features": key,
        "classifier": spec.name,
        "params": spec.changed(),
        "fitted": {k: v["value"] for k, v in description["fitted"].items() if _is_choice(k, v)},
        "seed": config.seed,
        "data_seed": config.data.full()["seed"],
        "protocol": config.evaluation.protocol,
        "thresholds": config.evaluation.thresholds,
        "settings": _summary(config, store, spec, representation),
        "class_counts": features.class_counts,
        "class_names": features.class_names,
        "sizes": {split: len(part) for split, part in _parts(features).items() if len(part)},
        "class_samples": {},
        "metrics": {},
        "seconds": seconds,
        "versions": versions(),
    }
    imported = origins(config.data, config.representation, spec)
    if imported:
        result["imports"] = imported
    return _judged(store, result, estimator, features, splits, {})


def complete(
    store: Store, result: dict[str, Any], features: FeatureSet, splits: tuple[str, ...]
) -> dict[str, Any]:
    """`result` of a finished classifier with the metrics of `splits` that it lacks, published again."""
    predictions = load_predictions(store, result["run"])
    return _judged(store, result, load_classifier(store, result["run"]), features, splits, predictions)


def _judged(store, result, estimator, features, splits, predictions: dict[str, np.ndarray]) -> dict[str, Any]:
    import numpy as np

    from longtail.pipeline.files.tensor_files import save_tensors

    metrics, predictions = dict(result["metrics"]), dict(predictions)
    samples = dict(result.get("class_samples", {}))  # results of before have none
    for split in splits:
        part = _parts(features)[split]
        if len(part) and split not in metrics:
            metrics[split], predictions[split], confidence = judge(
                estimator, part, features.class_counts, **result["thresholds"]
            )
            predictions[f"{split}.y"] = np.asarray(part.y, np.int32)
            samples[split] = np.bincount(part.y, minlength=len(features.class_counts)).tolist()
            if confidence is not None:
                predictions[f"{split}.confidence"] = confidence
    result = {**result, "class_samples": samples, "metrics": metrics}
    folder = store.folder("classifiers", result["run"])
    save_tensors(folder / "predictions.safetensors", predictions, {})
    publish_json(folder / "result.json", result)
    store.finish("classifiers", result["run"], {"classifier": result["classifier"]}, FILES)
    return result


def judge(
    estimator, part: Features, class_counts: list[int], *, many: int, few: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Every metric of a fitted classifier on a split, the class it gives each sample, and how surely.

    The classes are (N,) int32, their softmax confidences (N,) float32; None where scores are no logits.
    """
    import numpy as np

    from longtail.stages.metrics.scores import confidences, evaluate

    scores, logits = estimator.scores(part.X), estimator.gives_logits
    metrics = evaluate(scores, part.y, class_counts, many=many, few=few, logits=logits)
    confidence = confidences(scores).astype(np.float32) if logits else None
    return metrics, scores.argmax(1).astype(np.int32), confidence


def load_classifier(store: Store, name: str):
    """A finished classifier as the fitted estimator it was. LongtailError when there is none."""
    from longtail.stages.classifiers.tools.state import from_state

    state = _verified(store, name, "weights.safetensors")
    require_imports((store.result(name) or {}).get("imports"), "classifiers")
    return from_state(*state)


def load_predictions(store: Store, name: str) -> dict[str, np.ndarray]:
    """The class a finished classifier gives each sample of the splits it is judged on, (N,) int32.

    Under ``val`` and ``test``; the true classes are under ``val.y`` and ``test.y``, the softmax confidences,
    (N,) float32, under ``val.confidence`` and ``test.confidence`` where scores are logits (results written
    before confidences were kept have none).
    """
    return _verified(store, name, "predictions.safetensors")[0]


def _verified(store: Store, name: str, file: str):
    from longtail.pipeline.files.tensor_files import load_tensors

    done = store.done("classifiers", name)
    if done is None:
        raise LongtailError(f"no finished classifier {name!r} under {store.root}")
    path = store.folder("classifiers", name) / file
    arrays, facts, _ = load_tensors(path)
    if sha256_of(path) != done["files"][file]:
        raise Damaged(f"{path}: is not the file this classifier finished with")
    return arrays, facts


def _parts(features: FeatureSet) -> dict[str, Features]:
    return {"val": features.val, "test": features.test}


def _is_choice(key: str, entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("value"), bool | int | float) and key != "n_features_in_"


def _summary(config: Config, store: Store, spec: Spec, representation: str | None) -> dict[str, Any]:
    """What a table over many runs tells them apart by, and orders them by."""
    found: dict[str, Any] = {"data": config.data.minimal()["name"]}
    every = {"data": config.data.full()}
    if config.representation is not None:
        for key in ("backbone", "sampler", "loss"):
            found[key] = getattr(config.representation, key).minimal()
        found["epochs"] = config.representation.epochs
        found["reached"] = store.done("representations", representation)["epochs"]
        every |= config.representation.full()
    if spec in config.classifiers:
        found["position"] = config.classifiers.index(spec)
    shown = ("data.name", "data.seed", "backbone", "sampler", "loss", "epochs")
    told = {k: v for k, v in flat(every).items() if k not in shown and k.partition(".")[0] not in shown}
    return {**found, **config.features.full(), "all": told}
