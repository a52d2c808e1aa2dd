"""Frozen features, extracted once: from the network of stage one, or as the data set gives them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import DamagedWeights, LongtailError
from longtail.pipeline.files.at_work import at_work
from longtail.pipeline.process.dead_workers import report_dead_workers
from longtail.pipeline.process.progress import CountProgress
from longtail.pipeline.store.identity import feature_identity, feature_key
from longtail.pipeline.store.inventory import PART
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.stage_one import StageOne, repair_stage_one, run_stage_one

if TYPE_CHECKING:
    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.pipeline.work.feature_extraction import FeatureSource
    from longtail.stages.data import Splits

log = logging.getLogger("longtail")


def run_extraction(config: Config, store: Store, *, fresh: bool = False) -> str:
    """Extract features unless they are cached; returns their key. `fresh` extracts them again."""
    from longtail.pipeline.work.feature_cache import is_cached

    one = run_stage_one(config, store)
    key = feature_key(store, config, one.tensors)
    if fresh:
        store.discard("features", key)
    if is_cached(store, key):
        log.debug("features %s: cached", key)
    else:
        store.refuse_obstacle("features", key)
        try:
            _extract(config, store, one, key)
        except FileNotFoundError:  # another process has finished the same work and removed its shards
            if not is_cached(store, key):
                raise
        except DamagedWeights as error:
            log.warning("%s; training goes on from what is intact", error)
            repair_stage_one(config, store, one.id)
            return run_extraction(config, store)
    return key


def open_features(config: Config, store: Store) -> tuple[str, FeatureSet]:
    """(key, verified features), extracted first if need be; damaged ones are extracted again, once."""
    from longtail.pipeline.process.environment import limit_threads
    from longtail.pipeline.work.feature_cache import load_verified
    from longtail.stages.classifiers.tools.linear import fit_plain_head

    key = run_extraction(config, store)
    features = load_verified(store, key)
    if features is None:
        key = run_extraction(config, store, fresh=True)
        features = load_verified(store, key)
    if features is None:
        raise LongtailError(f"{store.folder('features', key)}: cannot be read back after it was written")
    limit_threads(config.system)
    if features.head is None and len(features.val):
        # Features without a network: every classifier starts from the same plain linear head, fitted once.
        head = fit_plain_head(features.train.X, features.train.y, len(features.class_names))
        features = replace(features, head=head)
    return key, features


def _extract(config: Config, store: Store, one: StageOne, key: str) -> None:
    from longtail.pipeline.process.environment import limit_threads
    from longtail.pipeline.training.splits import load_splits
    from longtail.pipeline.work.checked_set import warn_of_set
    from longtail.pipeline.work.feature_extraction import extract

    if one.id is None:
        warn_of_set(config, store)
    log.info("features %s: extracting", key)
    limit_threads(config.system)
    look = store.data_look(config.data.name, config.data.params)
    identity = feature_identity(store, config, one.tensors)
    splits = load_splits(config)
    if one.id is None:
        source = _given_features(config, splits)
    else:
        source = _network_features(config, store, one.id, splits)
    total = sum(len(part) for part in splits.parts().values()) + config.features.views * len(splits.train)
    with (
        report_dead_workers(),
        settings_named(data_settings(config.data.name)),
        CountProgress(total, "sample", "extracting") as progress,
        at_work(store.folder("features", key + PART)),
    ):
        extract(store, identity, splits, source, look, progress)


def _given_features(config: Config, splits: Splits) -> FeatureSource:
    """Features as a data set holds them."""
    from longtail.pipeline.work.feature_extraction import FeatureSource
    from longtail.stages.features import Features

    dtype = config.features.dtype

    def rows(split: str, indices, view=None) -> Features:
        part = splits.parts()[split]
        return Features(part.batch(indices).numpy().astype(dtype, copy=False), part.labels[indices])

    return FeatureSource(rows, splits.input_shape[0], head=None)


def _network_features(config: Config, store: Store, run_id: str, splits: Splits) -> FeatureSource:
    """Features that a finished network extracts, with its head if that was trained."""
    from longtail.pipeline.process.environment import resolve_device
    from longtail.pipeline.training.finished_run import trained_network
    from longtail.pipeline.training.trainee_building import build_loss
    from longtail.pipeline.work.feature_extraction import FeatureSource
    from longtail.stages.data.pictures.augment import Augment
    from longtail.stages.features import Features, extract_features

    dtype, device = config.features.dtype, resolve_device(config.system.device)
    network = trained_network(config, store, run_id, splits, config.features.checkpoint).to(device)
    trained = config.representation.epochs > 0
    head = network.head.frozen(build_loss(config, splits).scale) if trained else None
    parts = {name: part.to(device) for name, part in splits.parts().items()}
    augment = Augment(**{**config.representation.augment.full(), "mixup": 0.0})

    def rows(split: str, indices, view=None) -> Features:
        drawn = {} if view is None else {"augment": augment, "key": (config.seed, "view", view)}
        return extract_features(network.backbone, parts[split], indices, device=device, dtype=dtype, **drawn)

    return FeatureSource(rows, network.backbone.num_features, head)
