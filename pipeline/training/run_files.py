"""The files that say what a run is and where it began, written with it and, where they are lost, again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.imports import origins
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.at_work import exclusive
from longtail.pipeline.files.checked_json import read_record
from longtail.pipeline.files.epoch_files import STATE
from longtail.pipeline.files.publish import publish_bytes, publish_json
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.process.environment import Environment
from longtail.pipeline.process.provenance import earlier_environment, provenance
from longtail.pipeline.store.records.done import read_listed
from longtail.pipeline.store.records.run_records import CONFIG, HISTORY, PROVENANCE, RUN_FILES, run_settings
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.history import history_file

if TYPE_CHECKING:
    from longtail.stages.data import Splits

log = logging.getLogger("longtail")


@dataclass(frozen=True)
class RunFiles:
    """What to write of a run: its settings, its data and its environment."""

    config: Config
    splits: Splits
    environment: Environment

    def publish(self, folder: Path) -> None:
        """Write ``config.yaml`` unless it is there as it should be, ``provenance.json`` unless one is there.

        The latter is of the first start of the same run.
        """
        settings = _settings_file(self.config)
        if _content(folder / CONFIG) != settings:
            publish_bytes(folder / CONFIG, settings)
        if earlier_environment(folder / PROVENANCE) is None:
            by = self.config.data.full().get("identity", "content")
            data = {**training_data_facts(self.splits), "identity": by}
            beginning = {**provenance(self.environment), "data": data}
            imports = origins(self.config.data, self.config.representation)
            publish_json(folder / PROVENANCE, {**beginning, "imports": imports} if imports else beginning)


def mend_run_files(config: Config, store: Store, run_id: str) -> None:
    """Write again what is missing or damaged of the files of `config`'s finished run, weights apart.

    The run's id says that `config` has the settings it was trained with; the history is in its last state.
    Warns of each file, and of one that only training could make again. While another process works on the
    same run nothing is written: that one finishes its own files, and the ``DONE`` of one would name files of
    the other.
    """
    with exclusive(store.folder("representations", run_id)) as nobody_else:
        if nobody_else:
            _mend(config, store, run_id)


def _mend(config: Config, store: Store, run_id: str) -> None:
    for file in RUN_FILES:
        problem = _problem(store, run_id, file)
        if problem is None:
            continue
        content = _made_again(config, store, run_id, file)
        if content is None:
            log.warning("%s; only `longtail represent CONFIG --fresh` would make it again", problem)
            continue
        log.warning("%s; it is written again", problem)
        try:
            store.replace("representations", run_id, file, content)
        except OSError as error:  # a root that is read-only: what is finished is of use all the same
            log.warning("%s", error)


def _problem(store: Store, run_id: str, file: str) -> Exception | None:
    """What is wrong with a finished run's file; of those that ``DONE`` does not list only settings count."""
    done = store.done("representations", run_id)
    try:
        if file in done["files"]:
            read_listed(store.folder("representations", run_id), done, file)
        elif file == CONFIG:
            run_settings(store, run_id)
    except (FileNotFoundError, Damaged) as error:
        return error
    return None


def _made_again(config: Config, store: Store, run_id: str, file: str) -> bytes | None:
    """What a file of a finished run should hold; None where nothing says so any more."""
    if file == CONFIG:
        return _settings_file(config)
    if file == HISTORY:
        done = store.done("representations", run_id)
        state = (store.folder("representations", run_id) / done["last"]["file"]).with_suffix(STATE)
        try:
            return history_file(load_tensors(state)[1]["memory"]["history"])
        except (FileNotFoundError, Damaged, KeyError, TypeError):
            return None
    return None  # the machine and the time that a run began on


def _content(path: Path) -> bytes | None:
    try:
        return read_record(path)[0]
    except (FileNotFoundError, Damaged):
        return None


def _settings_file(config: Config) -> bytes:
    return strict_yaml.dump(representation_settings(config)).encode()


def representation_settings(config: Config) -> dict[str, Any]:
    """The settings a representation depends on."""
    return {"seed": config.seed, "data": config.data.full(), "representation": config.representation.full()}


def training_data_facts(splits: Splits) -> dict[str, Any]:
    """Class names and training samples of each class, counts of wrong labels and of meta samples."""
    import numpy as np

    facts = {"class_names": splits.class_names, "class_counts": splits.class_counts.tolist()}
    if splits.flipped is not None:
        facts["flipped"] = int(splits.flipped.sum())
    if splits.meta is not None:
        facts["meta_counts"] = np.bincount(splits.meta.labels, minlength=splits.num_classes).tolist()
    return facts
