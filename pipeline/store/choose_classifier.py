"""Which finished classifier of a run a person means."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.sections import System
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.finished_results import find_results, nothing_finished, results_of_config
from longtail.pipeline.store.references import find_result
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.stages.registry import did_you_mean

log = logging.getLogger("longtail")

SHOWN = 8  # classifiers a message lists


class ChosenClassifier(NamedTuple):
    """A finished classifier's result, and how the config that named it wants to compute."""

    result: Result
    system: System


def choose_classifier(
    store: Store, reference: str, overrides: Sequence[str] = (), classifier: str | None = None
) -> ChosenClassifier:
    """The one finished classifier of a run that is meant.

    `reference` is a directory, the beginning of an id, or a config, which alone takes `overrides`.
    `classifier` is a name or the beginning of an id; None takes the best by validation balanced accuracy, and
    logs which that is. A config's own classifiers come before others on the same features.

    LongtailError when there is none, or several, which are then listed.
    """
    if not overrides and find_result(store, reference) is not None:
        ((results, _),) = find_results(store, [reference])
        system = System()
    else:
        config = load_config(reference, overrides)
        results, system = results_of_config(store, config), config.system
    if not results:
        raise nothing_finished(store, reference, overrides)
    if classifier is None:
        return ChosenClassifier(_best(reference, results), system)
    return ChosenClassifier(_named(store, reference, results, classifier), system)


def _named(store: Store, reference: str, results: list[Result], wanted: str) -> Result:
    matches, others = _matching(results, wanted), []
    if not matches:
        others = _others(store, results)
        matches = _matching(others, wanted)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LongtailError(
            f"--classifier: {wanted!r} fits {len(matches)} finished classifiers of {reference}; name one "
            f"by its id: {_listed(matches)}"
        )
    names = sorted({r.classifier for r in results + others})
    raise LongtailError(
        f"--classifier: {reference} has no finished classifier {wanted!r}{did_you_mean(wanted, names)}"
    )


def _matching(results: list[Result], wanted: str) -> list[Result]:
    """The results of this name; without any, those whose ids begin so."""
    return [r for r in results if r.classifier == wanted] or [r for r in results if r.run.startswith(wanted)]


def _others(store: Store, results: list[Result]) -> list[Result]:
    """Finished classifiers on the same features, of the same seed."""
    on = {(result.features, result.seed) for result in results}
    same = [r for features in sorted({key for key, _ in on}) for r in store.results(features=features)]
    return [r for r in same if (r.features, r.seed) in on and r not in results]


def _best(reference: str, results: list[Result]) -> Result:
    if len(results) == 1:
        return results[0]
    judged = [r for r in results if r.balanced_accuracy("val") is not None]
    if not judged:
        raise LongtailError(
            f"--classifier: {reference} has no validation samples to choose by; name one: {_listed(results)}"
        )
    best = max(judged, key=lambda r: r.balanced_accuracy("val"))
    reached = 100 * best.balanced_accuracy("val")
    log.info("classifier %s: validation balanced accuracy %.1f %%", best.description, reached)
    return best


def _listed(results: list[Result]) -> str:
    more = f" and {len(results) - SHOWN} more" if len(results) > SHOWN else ""
    return "; ".join(result.description for result in results[:SHOWN]) + more
