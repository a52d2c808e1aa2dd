"""Stage one, done once: a representation that is trained when it is not there yet."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.files.at_work import at_work
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.continuation import check_start
from longtail.pipeline.training.run_files import mend_run_files

log = logging.getLogger("longtail")


@dataclass(frozen=True)
class StageOne:
    """A finished representation: its id, its epochs, and the tensors' hash of the checkpoint in use.

    All are None where the data are features already.
    """

    id: str | None = None
    epochs: int | None = None
    tensors: str | None = None


def run_stage_one(config: Config, store: Store, *, fresh: bool = False) -> StageOne:
    """Train the representation unless it is done; `fresh` starts over."""
    with settings_named(data_settings(config.data.name)):
        registry("datasets").download(config.data.name, dict(config.data.params))
    if config.representation is None:
        return StageOne()
    run_id = representation_id(store, config)
    if fresh:
        store.discard("representations", run_id)
        run_id = representation_id(store, config)  # no longer that of an earlier version's run
    done = store.done("representations", run_id)
    if done is not None:
        log.debug("representation %s: done", run_id)
        mend_run_files(config, store, run_id)
    else:
        store.refuse_obstacle("representations", run_id)
        check_start(config, store)
        registry("backbones").get(config.representation.backbone.name)  # reports a missing extra at once
        from longtail.pipeline.training.train import train
        from longtail.pipeline.work.checked_set import warn_of_set

        warn_of_set(config, store)
        with at_work(store.folder("representations", run_id)):
            train(config, store, run_id)
        done = store.done("representations", run_id)
    return StageOne(run_id, done["epochs"], done[config.features.checkpoint]["tensors"])


def repair_stage_one(config: Config, store: Store, run_id: str) -> StageOne:
    """Train again from the newest intact checkpoint of a finished run whose weights are damaged."""
    (store.folder("representations", run_id) / "DONE").unlink(missing_ok=True)
    return run_stage_one(config, store)
