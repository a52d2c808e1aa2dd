"""What data held when a run was made of them, for what a person does with the run after they are gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtail.pipeline.config.choices import flat
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.records.run_records import run_settings
from longtail.pipeline.store.store import Store

DATA_GONE = (LongtailError, OSError, ValueError)  # what looking at data that are not there ends in


def remembered_identities(store: Store, config: Config) -> list[dict[str, Any]]:
    """Identities of the data in finished runs with the data settings of `config`, the latest run's first.

    The settings include the paths: the same data, read in the same way, from the same place.
    """
    runs = _results_on_features if config.representation is None else _representations
    dated = [
        (written, identity) for written, settings, identity in runs(store) if _are_same(config, settings)
    ]
    identities = []
    for _, identity in sorted(dated, key=lambda run: -run[0]):
        if identity not in identities:
            identities.append(identity)
    return identities


def remembered_run(store: Store, config: Config) -> str | None:
    """The latest finished representation of a configuration whose data are gone; None without one."""
    if config.representation is None:
        return None
    ids = (representation_id(store, config, data) for data in remembered_identities(store, config))
    return next((run_id for run_id in ids if store.done("representations", run_id) is not None), None)


def used_without_data(error: Exception, run: str) -> str:
    """A line that says why a finished run is used without a look at its data."""
    return f"{error}; {run} was made when the data were there, and is used"


def _are_same(config: Config, settings: Mapping[str, Any]) -> bool:
    """Whether a run's data settings, by dotted name, are those of `config`; what it lacks has its default."""
    defaults = {key: parameter.default for key, parameter in config.data.component.parameters.items()}
    own = flat(config.data.full())
    return {**flat({key: defaults[key] for key in defaults if key in own}), **settings} == own


def _representations(store: Store) -> Iterator[tuple[float, dict[str, Any], dict[str, Any]]]:
    """(when it was finished, data settings, identity of the data) of each finished representation."""
    for folder in store.root.glob("representations/*"):
        done = store.done("representations", folder.name)
        if done is None:
            continue
        try:
            settings = run_settings(store, folder.name)["data"]
            yield (folder / "DONE").stat().st_mtime, flat(settings), done["data"]
        except (LongtailError, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # damaged: no run to remember by


def _results_on_features(store: Store) -> Iterator[tuple[float, dict[str, Any], dict[str, Any]]]:
    """The same of each classifier on a data set of features, which has no representation."""
    for result in store.results():
        manifest = store.manifest(result.features)
        if result.representation is None and manifest is not None:
            settings = {
                key.removeprefix("data."): value
                for key, value in result.settings.all.items()
                if key.startswith("data.")
            }
            settings |= {"name": result.settings.data, "seed": result.data_seed}
            written = (store.folder("classifiers", result.run) / "DONE").stat().st_mtime
            yield written, settings, manifest["identity"]["data"]
