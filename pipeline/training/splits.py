"""The data a configuration names, split and made long-tailed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtail.pipeline.config.choices import cannot_choose, chooses, has_cosine_head
from longtail.pipeline.config.components import registry
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.stages.data.set_check import without_samples

if TYPE_CHECKING:
    import numpy as np

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
    import numpy as np

    trained, tested = (
        np.bincount(part.labels, minlength=len(splits.class_names)) for part in (splits.train, splits.test)
    )
    choosing = len(getattr(splits, config.evaluation.choosing_split))
    warn_of_sizes(config, splits.class_names, trained=trained, tested=tested, choosing=choosing)


def warn_of_sizes(
    config: Config,
    class_names: Sequence[str],
    *,
    trained: Sequence[int] | np.ndarray,
    tested: Sequence[int] | np.ndarray,
    choosing: int,
) -> None:
    """What :func:`warn_of_splits` warns of, by numbers alone.

    `trained` and `tested` are samples of each class (C,), `choosing` how many choices are made on.
    """
    for part, counts in (("training", trained), ("test", tested)):
        empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
        if empty and len(empty) < len(class_names):
            log.warning("%s", without_samples(part, empty))
    if config.representation is None or not config.representation.epochs or choosing:
        return  # without a trained head classifiers cross-validate
    for spec in config.classifiers:
        if chooses(spec, cosine=has_cosine_head(config)):
            log.warning("%s", cannot_choose(config, spec))
