"""Which finished classifier a person means."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.sections import System
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.finished import find_results, of_config
from longtail.pipeline.store.labels import label
from longtail.pipeline.store.references import KEYS, directory
from longtail.pipeline.store.store import Store
from longtail.stages.registry import did_you_mean

log = logging.getLogger("longtail")

SHOWN = 8  # classifiers a message lists


class Picked(NamedTuple):
    """A finished classifier's result, and how the config that named it wants to compute."""

    result: dict[str, Any]
    system: System


def pick(
    store: Store, reference: str, overrides: Sequence[str] = (), classifier: str | None = None
) -> Picked:
    """The one classifier that is meant, of the finished ones of a run.

    `reference` is a directory, the beginning of an id, or a config, which alone takes `overrides`.
    `classifier` is a name or the beginning of an id; None takes the best by validation balanced accuracy, and
    says which that is. A config's own classifiers come before others on the same features.

    LongtailError when there is none, or several, which are then listed.
    """
    if not overrides and _is_result(store, reference):
        ((results, _),) = find_results(store, [reference])
        system = System()
    else:
        config = load_config(reference, overrides)
        results, system = of_config(store, config), config.system
    if not results:
        said = " ".join([reference, *overrides])
        raise LongtailError(f"{said}: has no finished run under {store.root}; `longtail run` makes one")
    if classifier is None:
        return Picked(_best(reference, results), system)
    return Picked(_named(store, reference, results, classifier), system)


def describe(result: dict[str, Any]) -> str:
    """A classifier as a message names it: ``ncm 0123456789abcdef (feature=none)``."""
    params = ", ".join(f"{key}={value}" for key, value in result["params"].items())
    return f"{label(result)} {result['run']}" + (f" ({params})" if params else "")


def _is_result(store: Store, reference: str) -> bool:
    if directory(store, reference) is not None:
        return True
    return any(store.resolve(kind, reference) is not None for kind in KEYS)


def _named(store: Store, reference: str, results: list[dict], wanted: str) -> dict[str, Any]:
    on = {(result["features"], result["seed"]) for result in results}
    others = [r for r in store.results() if (r["features"], r["seed"]) in on and r not in results]
    for known in (results, others):
        found = [r for r in known if r["classifier"] == wanted] or [
            r for r in known if r["run"].startswith(wanted)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise LongtailError(
                f"--classifier: {wanted!r} fits {len(found)} finished classifiers of {reference}; name one "
                f"by its id: {_listed(found)}"
            )
    names = sorted({r["classifier"] for r in results + others})
    raise LongtailError(
        f"--classifier: {reference} has no finished classifier {wanted!r}{did_you_mean(wanted, names)}"
    )


def _best(reference: str, results: list[dict]) -> dict[str, Any]:
    if len(results) == 1:
        return results[0]
    judged = [r for r in results if r["metrics"].get("val", {}).get("balanced_accuracy") is not None]
    if not judged:
        raise LongtailError(
            f"--classifier: {reference} has no validation samples to choose by; name one: {_listed(results)}"
        )
    found = max(judged, key=lambda r: r["metrics"]["val"]["balanced_accuracy"])
    reached = 100 * found["metrics"]["val"]["balanced_accuracy"]
    log.info("classifier %s: validation balanced accuracy %.1f %%", describe(found), reached)
    return found


def _listed(results: list[dict]) -> str:
    more = f" and {len(results) - SHOWN} more" if len(results) > SHOWN else ""
    return "; ".join(describe(result) for result in results[:SHOWN]) + more
