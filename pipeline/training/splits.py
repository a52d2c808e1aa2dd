"""The data a configuration names, split and made long-tailed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from longtail.pipeline.config.choices import cannot_choose, chooses, has_cosine_head
from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.stages.data.set_check import without_samples

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config
    from longtail.stages.data import Splits

log = logging.getLogger("longtail")


def load_splits(config: Config) -> Splits:
    """The data the configuration names, split and made long-tailed; warns of what has no samples."""
    workers = None if config.system.workers == "auto" else config.system.workers
    with settings_named(data_settings(config.data.name)):
        splits = registry("datasets").create(
            config.data.name, workers=workers, meta_per_class=config.meta_per_class, **config.data.params
        )
    warn_of_splits(config, splits)
    return splits


def warn_of_splits(config: Config, splits: Splits) -> None:
    """Warn of what a class or a classifier lacks in the data as they are split."""
    trained, tested = (set(part.labels.tolist()) for part in (splits.train, splits.test))
    for part, present in (("training", trained), ("test", tested)):
        empty = [name for c, name in enumerate(splits.class_names) if c not in present]
        if empty and present:
            log.warning("%s", without_samples(part, empty))
    choosing = getattr(splits, config.evaluation.choosing_split)
    if config.representation is None or not config.representation.epochs or len(choosing):
        return  # without a trained head classifiers cross-validate
    for spec in config.classifiers:
        if chooses(spec, cosine=has_cosine_head(config)):
            log.warning("%s", cannot_choose(config, spec))
