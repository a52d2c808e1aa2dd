"""The three stages in order, each done once: train, extract, classify."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.components import Spec, registry
from pipeline.config import Config
from pipeline.errors import Damaged, DamagedWeights, LongtailError
from pipeline.progress import CountProgress
from pipeline.publish import publish_json, sha256_of
from pipeline.store import Store

if TYPE_CHECKING:
    from pipeline.feature_cache import FeatureSet

log = logging.getLogger("longtail")


@dataclass(frozen=True)
class StageOne:
    """A finished representation: its id and, of the checkpoint in use, the tensors' fingerprint.

    Both are None where the data are features already.
    """

    id: str | None
    tensors: str | None


def run_stage_one(config: Config, store: Store, *, fresh: bool = False) -> StageOne:
    """Train the representation unless it is done; `fresh` starts over."""
    if config.representation is None:
        return StageOne(None, None)
    run_id = store.representation_id(config)
    if fresh:
        store.discard("representations", run_id)
    done = store.done("representations", run_id)
    if done is None:
        from pipeline.training import train

        log.info("representation %s: training", run_id)
        train(config, store, run_id)
        done = store.done("representations", run_id)
    return StageOne(run_id, done[config.features.checkpoint]["tensors"])


def run_extraction(config: Config, store: Store, *, fresh: bool = False) -> str:
    """Make sure of the cached features and return their key; `fresh` extracts them again."""
    from pipeline.feature_cache import is_cached

    one = run_stage_one(config, store)
    key = store.feature_key(config, one.tensors)
    if fresh:
        store.discard("features", key)
    if not is_cached(store, key):
        try:
            _extract(config, store, one, key)
        except FileNotFoundError:  # another process has finished the same work and removed its shards
            if not is_cached(store, key):
                raise
        except DamagedWeights as error:
            log.warning("%s; training goes on from what is intact", error)
            _retrain(config, store, one)
            return run_extraction(config, store)
    return key


def run_stage_two(config: Config, store: Store, *, fresh: bool = False) -> list[dict[str, Any]]:
    """Fit and judge every classifier of the configuration that is not done; all their results, in order.

    Neither features nor checkpoints are opened when every classifier is done.
    """
    one = run_stage_one(config, store)
    key = store.feature_key(config, one.tensors)
    results, features = [], None
    for spec in config.classifiers:
        classifier_id = store.classifier_id(key, spec.minimal(), config.seed)
        found = None if fresh else store.result(classifier_id)
        if found is None:
            if features is None:
                key, features = _features(config, store)
                classifier_id = store.classifier_id(key, spec.minimal(), config.seed)
            found = fit_classifier(config, store, spec, one.id, key, features, classifier_id)
        results.append(found)
    return results


def fit_classifier(
    config: Config,
    store: Store,
    spec: Spec,
    representation: str | None,
    key: str,
    features: FeatureSet,
    classifier_id: str,
) -> dict[str, Any]:
    """Fit one classifier, choosing on validation; judge it; publish the result and return it."""
    from pipeline.checkpoint import save_tensors
    from pipeline.environment import versions
    from stages.classifiers.state import to_state

    began = time.perf_counter()
    estimator = registry("classifiers").create(spec.name, **_seeded(spec, config.seed))
    validation = features.val if len(features.val) else None
    views = {"views": features.views} if features.views and estimator.uses_views else {}
    estimator.fit(features.train.X, features.train.y, head=features.head, validation=validation, **views)
    seconds = time.perf_counter() - began
    folder = store.folder("classifiers", classifier_id)
    arrays, description = to_state(spec.name, estimator)
    save_tensors(folder / "weights.safetensors", arrays, description)
    result = {
        "run": classifier_id,
        "representation": representation,
        "features": key,
        "classifier": spec.name,
        "params": {k: v for k, v in spec.minimal().items() if k != "name"},
        "fitted": {k: v["value"] for k, v in description["fitted"].items() if _is_choice(k, v)},
        "seed": config.seed,
        "data_seed": config.data.full()["seed"],
        "protocol": config.evaluation.protocol,
        "thresholds": _thresholds(config),
        "settings": _summary(config),
        "class_counts": features.class_counts,
        "class_names": features.class_names,
        "metrics": judge(estimator, features, **_thresholds(config)),
        "seconds": seconds,
        "versions": versions(),
    }
    publish_json(folder / "result.json", result)
    store.finish(
        "classifiers", classifier_id, {"classifier": spec.name}, ["weights.safetensors", "result.json"]
    )
    return result


def judge(estimator, features: FeatureSet, *, many: int, few: int) -> dict[str, dict[str, Any]]:
    """Every metric of a fitted classifier on validation and test features; an empty split is left out."""
    from stages.metrics import evaluate

    found = {}
    for split, part in (("val", features.val), ("test", features.test)):
        if len(part):
            scores = estimator.scores(part.X)
            logits = estimator.gives_logits
            found[split] = evaluate(scores, part.y, features.class_counts, many=many, few=few, logits=logits)
    return found


def load_classifier(store: Store, classifier_id: str):
    """A finished classifier as the fitted estimator it was. LongtailError when there is none."""
    from pipeline.checkpoint import load_tensors
    from stages.classifiers.state import from_state

    done = store.done("classifiers", classifier_id)
    if done is None:
        raise LongtailError(f"no finished classifier {classifier_id!r} under {store.root}")
    path = store.folder("classifiers", classifier_id) / "weights.safetensors"
    arrays, description, _ = load_tensors(path)
    if sha256_of(path) != done["files"][path.name]:
        raise Damaged(f"{path}: is not the file this classifier finished with")
    return from_state(arrays, description)


def _thresholds(config: Config) -> dict[str, int]:
    return {"many": config.evaluation.many, "few": config.evaluation.few}


def _seeded(spec: Spec, seed: int) -> dict[str, Any]:
    import inspect

    target = registry(spec.kind).get(spec.name)
    takes_seed = "random_state" in inspect.signature(target).parameters
    return {**spec.params, **({"random_state": seed} if takes_seed else {})}


def _is_choice(key: str, entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("value"), bool | int | float) and key != "n_features_in_"


def _summary(config: Config) -> dict[str, Any]:
    """What a table over many runs tells them apart by."""
    found: dict[str, Any] = {"data": config.data.minimal()["name"]}
    if config.representation is not None:
        for key in ("backbone", "sampler", "loss"):
            found[key] = getattr(config.representation, key).minimal()
        found["epochs"] = config.representation.epochs
    found |= config.features.full()
    return found


def _features(config: Config, store: Store) -> tuple[str, FeatureSet]:
    """(key, verified features); damaged ones are extracted again, once."""
    from pipeline.environment import limit_threads
    from pipeline.feature_cache import fetch
    from stages.classifiers.linear import fit_plain_head

    key = run_extraction(config, store)
    found = fetch(store, key)
    if found is None:
        key = run_extraction(config, store, fresh=True)
        found = fetch(store, key)
    if found is None:
        raise LongtailError(f"{store.folder('features', key)}: cannot be read back after it was written")
    limit_threads(config.system)
    if found.head is None and len(found.val):
        # Features without a network: every classifier starts from the same plain linear head, fitted once.
        head = fit_plain_head(found.train.X, found.train.y, len(found.class_names))
        found = replace(found, head=head)
    return key, found


def _retrain(config: Config, store: Store, one: StageOne) -> None:
    """Train again from the newest intact checkpoint of a finished run whose weights are damaged."""
    (store.folder("representations", one.id) / "DONE").unlink(missing_ok=True)
    run_stage_one(config, store)


def _extract(config: Config, store: Store, one: StageOne, key: str) -> None:
    from pipeline.environment import limit_threads, resolve_device
    from pipeline.feature_cache import extract
    from pipeline.training import load_splits, trained_network
    from stages.data.transforms import Augment
    from stages.features import Features, extract_features

    log.info("features %s: extracting", key)
    limit_threads(config.system)
    splits = load_splits(config)
    dtype = config.features.dtype
    head, device = None, resolve_device(config.system.device)
    if one.id is None:
        width = splits.input_shape[0]

        def rows(split, indices, view=None):
            part = splits.parts()[split]
            return Features(part.batch(indices).numpy().astype(dtype, copy=False), part.labels[indices])
    else:
        network = trained_network(config, store, one.id, splits, config.features.checkpoint).to(device)
        width = network.backbone.num_features
        if config.representation.epochs:  # else the head has seen nothing
            head = network.head.frozen()
        parts = {name: part.to(device) for name, part in splits.parts().items()}
        augment = Augment(**{**config.representation.augment.full(), "mixup": 0.0})

        def rows(split, indices, view=None):
            drawn = {} if view is None else {"augment": augment, "key": (config.seed, "view", view)}
            return extract_features(
                network.backbone, parts[split], indices, device=device, dtype=dtype, **drawn
            )

    total = sum(len(part) for part in splits.parts().values()) + config.features.views * len(splits.train)
    with CountProgress(total, "sample", "extracting") as progress:
        extract(
            store,
            key,
            store.feature_identity(config, one.tensors),
            splits,
            rows,
            num_features=width,
            dtype=dtype,
            head=head,
            views=config.features.views,
            progress=progress,
        )
