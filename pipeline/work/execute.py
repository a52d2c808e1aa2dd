"""The three stages in order, each done once: train, extract, classify."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged, DamagedWeights, FitFailed, LongtailError
from longtail.pipeline.process.dead_workers import report_dead_workers
from longtail.pipeline.process.progress import CountProgress
from longtail.pipeline.store.identity import classifier_id, feature_identity, feature_key, representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.continuation import check_start
from longtail.pipeline.work import classifying
from longtail.pipeline.work.classifying import load_classifier

if TYPE_CHECKING:
    from longtail.pipeline.work.feature_cache import FeatureSet

__all__ = ["Workbench", "load_classifier", "run_extraction", "run_stage_one", "run_stage_two"]

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
    registry("datasets").fetch(config.data.name, dict(config.data.params))
    if config.representation is None:
        return StageOne(None, None)
    run_id = representation_id(store, config)
    if fresh:
        store.discard("representations", run_id)
    done = store.done("representations", run_id)
    if done is not None:
        log.debug("representation %s: done", run_id)
    else:
        check_start(config, store)
        registry("backbones").get(config.representation.backbone.name)  # a missing extra is told at once
        from longtail.pipeline.training.training import train

        train(config, store, run_id)
        done = store.done("representations", run_id)
    return StageOne(run_id, done[config.features.checkpoint]["tensors"])


def run_extraction(config: Config, store: Store, *, fresh: bool = False) -> str:
    """Make sure of the cached features and return their key; `fresh` extracts them again."""
    from longtail.pipeline.work.feature_cache import is_cached

    one = run_stage_one(config, store)
    key = feature_key(store, config, one.tensors)
    if fresh:
        store.discard("features", key)
    if is_cached(store, key):
        log.debug("features %s: cached", key)
    else:
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


class Workbench:
    """Cached features and the classifiers on them, each fitted and judged once, whoever asks.

    Stage one is made sure of at once; features are opened when a classifier has to be fitted or judged.
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
            self.key, self._features = _features(self.config, self.store)
        return self._features

    def result(
        self, spec: Spec, splits: tuple[str, ...] = classifying.SPLITS, *, fresh: bool = False
    ) -> dict[str, Any]:
        """The result of one classifier, judged on `splits`; done again when `fresh`."""
        config, store = self.config, self.store
        name = classifier_id(config, self.key, spec)
        found = None if fresh else classifying.finished(store, name, splits)
        if found is not None:
            log.debug("classifier %s: %s done", name, spec.name)
            return found
        features = self.features
        name = classifier_id(config, self.key, spec)
        partial = None if fresh else store.result(name)
        if partial is not None:
            try:
                return classifying.complete(store, partial, features, splits)
            except (Damaged, FileNotFoundError) as error:
                log.warning("%s; it is fitted again", error)
        return classifying.fit_classifier(config, store, spec, self.one.id, self.key, features, splits=splits)

    def fit(self, specs: list[Spec], splits: tuple[str, ...], done: Callable[[int], None]) -> None:
        """Make sure of many results, those that share batches in one stack; ``done(count)`` after each."""
        config, store = self.config, self.store
        names = {id(spec): classifier_id(config, self.key, spec) for spec in specs}
        new = [spec for spec in specs if store.result(names[id(spec)]) is None]
        stacks = [stack for stack in classifying.stacks(config, new) if len(stack) > 1]
        for stack in stacks:
            one, key, features = self.one.id, self.key, self.features
            classifying.fit_together(config, store, stack, one, key, features, splits=splits)
            done(len(stack))
        stacked = {id(spec) for stack in stacks for spec in stack}
        for spec in specs:
            if id(spec) not in stacked:
                self.result(spec, splits)
                done(1)


def run_stage_two(
    config: Config,
    store: Store,
    *,
    fresh: bool = False,
    on_failure: Callable[[str], object] | None = None,
) -> list[dict[str, Any]]:
    """Fit and judge every classifier of the configuration that is not done; their results, in order.

    Neither features nor checkpoints are opened when every classifier is done. One that cannot be fitted is
    told to `on_failure` and left out of the results, the others go on; without it FitFailed is raised.
    """
    check_choices(config)
    bench, found = Workbench(config, store), []
    for spec in config.classifiers:
        try:
            found.append(bench.result(spec, fresh=fresh))
        except FitFailed as error:
            if on_failure is None:
                raise
            on_failure(str(error))
    return found


def _features(config: Config, store: Store) -> tuple[str, FeatureSet]:
    """(key, verified features); damaged ones are extracted again, once."""
    from longtail.pipeline.process.environment import limit_threads
    from longtail.pipeline.work.feature_cache import fetch
    from longtail.stages.classifiers.tools.linear import fit_plain_head

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
    from longtail.pipeline.process.environment import limit_threads, resolve_device
    from longtail.pipeline.training.splits import load_splits
    from longtail.pipeline.training.trainee_building import build_loss
    from longtail.pipeline.training.training import trained_network
    from longtail.pipeline.work.feature_cache import extract
    from longtail.stages.data.pictures.augment import Augment
    from longtail.stages.features import Features, extract_features

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
            head = network.head.frozen(build_loss(config, splits).scale)
        parts = {name: part.to(device) for name, part in splits.parts().items()}
        augment = Augment(**{**config.representation.augment.full(), "mixup": 0.0})

        def rows(split, indices, view=None):
            drawn = {} if view is None else {"augment": augment, "key": (config.seed, "view", view)}
            return extract_features(
                network.backbone, parts[split], indices, device=device, dtype=dtype, **drawn
            )

    total = sum(len(part) for part in splits.parts().values()) + config.features.views * len(splits.train)
    with report_dead_workers(), CountProgress(total, "sample", "extracting") as progress:
        extract(
            store,
            key,
            feature_identity(store, config, one.tensors),
            splits,
            rows,
            num_features=width,
            dtype=dtype,
            head=head,
            views=config.features.views,
            progress=progress,
        )
