"""What data held when a run was made of them, for what a person does with the run after they are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from longtail.pipeline.config.choices import flat
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.publish import canonical_json
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.records.run_records import run_settings
from longtail.pipeline.store.store import Store

DATA_GONE = (LongtailError, OSError, ValueError)  # what looking at data that are not there ends in


class PastRun(NamedTuple):
    """A finished run: when it was finished, the identity of its data, and a reader of its data settings."""

    written: float
    data: dict[str, Any]
    settings: Callable[[], Mapping[str, Any]]  # by dotted name; {} where they cannot be read


def remembered_identities(store: Store, config: Config) -> Iterator[dict[str, Any]]:
    """Identities of the data in finished runs with the data settings of `config`, the latest run's first.

    The settings include the paths: the same data, read in the same way, from the same place. Of a
    configuration with a stage one, the data that it was trained on; of thousands of runs, only the settings
    of those on such data are read.
    """

    @cache
    def is_trained_on(data: str) -> bool:
        run_id = representation_id(store, config, identities[data])
        return store.done("representations", run_id) is not None

    runs = _results_on_features if config.representation is None else _representations
    identities: dict[str, dict[str, Any]] = {}
    yielded = set()
    for run in sorted(runs(store, config.data.name), key=lambda run: -run.written):
        data = canonical_json(run.data)
        identities[data] = run.data
        if data in yielded or (config.representation is not None and not is_trained_on(data)):
            continue
        if _are_same(config, run.settings()):
            yielded.add(data)
            yield run.data


def remembered_identity(store: Store, config: Config) -> dict[str, Any] | None:
    """The latest data that stage one of a configuration was finished on; None without such a run."""
    return None if config.representation is None else next(remembered_identities(store, config), None)


def used_without_data(error: Exception, run: str) -> str:
    """A line that says why a finished run is used without a look at its data."""
    return f"{error}; {run} was made when the data were there, and is used"


def _are_same(config: Config, settings: Mapping[str, Any]) -> bool:
    """Whether a run's data settings, by dotted name, are those of `config`; what it lacks has its default."""
    defaults = {key: parameter.default for key, parameter in config.data.component.parameters.items()}
    own = flat(config.data.full())
    return {**flat({key: defaults[key] for key in defaults if key in own}), **settings} == own


def _representations(store: Store, data: str) -> Iterator[PastRun]:
    """Each finished representation on the data set called `data`."""
    for folder in store.root.glob("representations/*"):
        done = store.done("representations", folder.name)
        if done is not None and done["data"].get("name") == data:
            yield PastRun(_written(folder), done["data"], partial(_data_settings, store, folder.name))


def _data_settings(store: Store, run_id: str) -> Mapping[str, Any]:
    try:
        return flat(run_settings(store, run_id)["data"])
    except (LongtailError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # damaged: no run to remember by


def _results_on_features(store: Store, data: str) -> Iterator[PastRun]:
    """Each classifier on the data set of features called `data`, which has no representation."""
    manifest = cache(store.manifest)
    for result in store.results():
        if result.representation is None and result.settings.data == data and manifest(result.features):
            settings = {
                key.removeprefix("data."): value
                for key, value in result.settings.all.items()
                if key.startswith("data.")
            }
            settings |= {"name": result.settings.data, "seed": result.data_seed}
            written = _written(store.folder("classifiers", result.run))
            yield PastRun(written, manifest(result.features)["identity"]["data"], lambda own=settings: own)


def _written(folder: Path) -> float:
    """When ``DONE`` of a result was written, in seconds since 1970; 0 where it has just been removed."""
    try:
        return (folder / "DONE").stat().st_mtime
    except OSError:
        return 0.0
