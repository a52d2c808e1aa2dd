"""Finished results by what a person calls them: a directory, the beginning of an id, or a configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.data.remembered import (
    DATA_GONE,
    remembered_identities,
    remembered_identity,
    used_without_data,
)
from longtail.pipeline.store.identity import classifier_id, data_identity, feature_key, representation_id
from longtail.pipeline.store.references import ID_FIELDS, find_result, is_unknown
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store

log = logging.getLogger("longtail")


class ReferenceResults(NamedTuple):
    """Results that a reference names; `thresholds` of shot groups are its own, None for each result's."""

    results: list[Result]
    thresholds: dict[str, int] | None


def find_results(
    store: Store, references: Iterable[str], overrides: Sequence[str] = ()
) -> list[ReferenceResults]:
    """Results of each reference in turn, all under the root without references, each result once.

    `overrides` (``KEY=VALUE``) are laid on each reference, which must then be a configuration. LongtailError
    for a reference that names nothing, several results, or a configuration without finished runs.
    """
    references = list(references)
    if overrides and not references:
        raise ConfigError(f"{' '.join(overrides)}: KEY=VALUE goes with a configuration; name one before it")
    if not references:
        return [ReferenceResults(_ordered(store.results()), None)]
    seen: set[str] = set()
    groups = []
    for reference in references:
        results, thresholds = _of_reference(store, reference, overrides)
        if not results:
            raise nothing_finished(store, reference, overrides)
        groups.append(ReferenceResults([r for r in results if r.run not in seen], thresholds))
        seen |= {r.run for r in results}
    return groups


def nothing_finished(store: Store, reference: str, overrides: Sequence[str] = ()) -> LongtailError:
    """The error for a reference without finished runs; it names one on what the data held earlier."""
    text = f"{' '.join([reference, *overrides])}: has no finished run under {store.root}; "
    if overrides or find_result(store, reference) is None:
        config = load_config(reference, overrides)
        data = None if config.representation is None else remembered_identity(store, config)
        if data is not None:
            text += f"{representation_id(store, config, data)} is one on what the data held earlier; "
    return LongtailError(f"{text}`longtail run` makes one")


def _of_reference(store: Store, reference: str, overrides: Sequence[str] = ()) -> ReferenceResults:
    if overrides:
        config = load_config(reference, overrides)
        return ReferenceResults(results_of_config(store, config), config.evaluation.thresholds)
    named = find_result(store, reference)
    if named is not None:
        return ReferenceResults(_ordered(_of_folder(store, *named)), None)
    try:
        config = load_config(reference)
    except ConfigError as error:
        if is_unknown(error):
            raise LongtailError(f"{reference}: is no directory, id or configuration here") from None
        raise
    return ReferenceResults(results_of_config(store, config), config.evaluation.thresholds)


def _of_folder(store: Store, kind: str, name: str) -> Iterable[Result]:
    """The results of a classifier, or of all on a representation or on features."""
    if kind == "classifiers":
        result = store.result(name)
        return [] if result is None else [result]
    return store.results(**{ID_FIELDS[kind]: name})


def results_of_config(store: Store, config: Config) -> list[Result]:
    """The finished classifiers of a configuration, in its order; those that are missing are left out.

    Where the data are gone, those on what the data held when the last such run was made, with a warning.
    """
    try:
        return results_on(store, config, data_identity(store, config))
    except DATA_GONE as error:
        for data in remembered_identities(store, config):
            results = results_on(store, config, data)
            if results:
                log.warning("%s", used_without_data(error, results[0].representation or results[0].features))
                return results
        raise


def results_on(store: Store, config: Config, data: dict[str, Any]) -> list[Result]:
    """The finished classifiers of a configuration on data of this identity; no other result is read."""
    tensors = None
    if config.representation is not None:
        done = store.done("representations", representation_id(store, config, data))
        if done is None:
            return []
        tensors = done[config.features.checkpoint]["tensors"]
    key = feature_key(store, config, tensors, data)
    ids = (classifier_id(config, key, spec) for spec in config.classifiers)
    return [result for result in map(store.result, ids) if result is not None]


def _ordered(results: Iterable[Result]) -> list[Result]:
    """By data, representation, then as their configuration has them; those it does not have last, by name."""
    last = len(registry("classifiers").names())

    def key(result: Result) -> tuple:
        position = result.settings.position
        return (
            result.settings.data,
            result.data_seed,
            result.representation or "",
            result.features,
            result.seed,
            last if position is None else position,
            result.classifier != "joint",
            result.classifier,
            str(result.params),
        )

    return sorted(results, key=key)
