"""Finding finished runs by what a person calls them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.config.sections import Evaluation
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.identity import classifier_id, feature_key, representation_id
from longtail.pipeline.store.references import KEYS, directory, is_unknown
from longtail.pipeline.store.store import Store

Found = tuple[list[dict[str, Any]], Evaluation | None]


def find_results(store: Store, references: Iterable[str], overrides: Sequence[str] = ()) -> list[Found]:
    """Results of each reference in turn, all under the root when there are none, each result once.

    `overrides` (``KEY=VALUE``) are laid on each reference, which must then be a configuration.

    The second of each pair are the shot thresholds to use, None for the ones the run itself had.
    LongtailError for a reference that names nothing, or a config without finished runs.
    """
    references = list(references)
    if overrides and not references:
        raise ConfigError(f"{' '.join(overrides)}: KEY=VALUE goes with a configuration; name one before it")
    if not references:
        return [(_ordered(store.results()), None)]
    everything = list(store.results())
    seen: set[str] = set()
    found = []
    for reference in references:
        results, evaluation = _of(store, reference, everything, overrides)
        if not results:
            raise LongtailError(
                f"{' '.join([reference, *overrides])}: has no finished run under {store.root}; "
                "`longtail run` makes one"
            )
        found.append(([r for r in results if r["run"] not in seen], evaluation))
        seen |= {r["run"] for r in results}
    return found


def _of(
    store: Store, reference: str, everything: list[dict[str, Any]], overrides: Sequence[str] = ()
) -> Found:
    if overrides:
        config = load_config(reference, overrides)
        return of_config(store, config), config.evaluation
    path = directory(store, reference)
    name = reference if path is None else path.name
    for kind, key in KEYS.items():
        if path is not None and path.parent.name != kind:
            continue
        resolved = store.resolve(kind, name)
        if resolved is not None:
            return _ordered(r for r in everything if r[key] == resolved), None
    try:
        config = load_config(reference)
    except ConfigError as error:
        if is_unknown(error):
            raise LongtailError(f"{reference}: is no directory, id or configuration here") from None
        raise
    return of_config(store, config), config.evaluation


def of_config(store: Store, config: Config) -> list[dict[str, Any]]:
    """The finished classifiers of a configuration, in its order; none are made."""
    tensors = None
    if config.representation is not None:
        done = store.done("representations", representation_id(store, config))
        if done is None:
            return []
        tensors = done[config.features.checkpoint]["tensors"]
    key = feature_key(store, config, tensors)
    ids = (classifier_id(config, key, spec) for spec in config.classifiers)
    return [result for result in map(store.result, ids) if result is not None]


def _ordered(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By data, representation, then as their configuration has them: what none had comes last, by name."""

    def key(result: dict[str, Any]) -> tuple:
        name = result["classifier"]
        return (
            result["settings"]["data"],
            result["data_seed"],
            result["representation"] or "",
            result["features"],
            result["seed"],
            result["settings"].get("position", len(registry("classifiers").names())),
            name != "joint",
            name,
            str(result["params"]),
        )

    return sorted(results, key=key)
