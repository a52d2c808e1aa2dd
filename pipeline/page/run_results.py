"""What figures are drawn from: finished results on the same features, with what lies beside them on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.sections import Evaluation
from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.files.checked_json import read_json
from longtail.pipeline.page.figures.drawing import STYLES, Missing, Style
from longtail.pipeline.page.words import classifier_text, shortened
from longtail.pipeline.store.finished import Found
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import records
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import counted, printable

if TYPE_CHECKING:
    import numpy as np

    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.stages.network import Head

LONGEST_LABEL = 26
FEW_SAMPLES = 10  # of a class in the test split, below which its accuracy says little
REREAD = "`longtail classify CONFIG --fresh` makes it again"


class Chapter:
    """Results judged on test that share their features, the first of which speaks for what they share.

    `thresholds` are the shot groups' ``many`` and ``few``. What lies on disk is read when it is asked for;
    :class:`Missing` is raised for what is not there any more.
    """

    def __init__(self, store: Store, results: list[dict[str, Any]], thresholds: dict[str, int]):
        self.store, self.results, self.thresholds = store, results, thresholds
        first = results[0]
        self.key, self.representation, self.settings = (
            first["features"],
            first["representation"],
            first["settings"],
        )
        self.counts, self.names = first["class_counts"], [printable(n) for n in first["class_names"]]
        self.seed, self.data_seed = first["seed"], first["data_seed"]
        self.rows = records(results, evaluation=Evaluation(**thresholds))
        self._read: dict[str, Any] = {}

    @property
    def identity(self) -> tuple:
        """What no other chapter of a page shares: features, seed and the shot groups' limits."""
        return identity_of(self.results[0], self.thresholds)

    # -- who is shown and how -------------------------------------------------------------------------

    @cached_property
    def joint(self) -> dict[str, Any] | None:
        """The result of stage one's own head."""
        return next((r for r in self.results if r["classifier"] == "joint"), None)

    @cached_property
    def best(self) -> dict[str, Any]:
        """The result that is best on validation (the first without validation), joint only when alone."""
        others = [r for r in self.results if r is not self.joint]
        return max(others or self.results, key=_reached)

    @cached_property
    def shown(self) -> list[dict[str, Any]]:
        """The results that are drawn: all, or joint and the best of the others on validation, in order.

        Without validation the first take their place: the test split chooses nothing.
        """
        others = [r for r in self.results if r is not self.joint]
        best = sorted(others, key=_reached, reverse=True)[: len(STYLES) - (self.joint is not None)]
        kept = {r["run"] for r in best} | ({self.joint["run"]} if self.joint else set())
        return [r for r in self.results if r["run"] in kept]

    @property
    def others(self) -> list[dict[str, Any]]:
        """The results drawn besides joint."""
        return [r for r in self.shown if r is not self.joint]

    @property
    def omission(self) -> str:
        """A sentence for captions when not every result is drawn."""
        if len(self.shown) == len(self.results):
            return ""
        which = "best on validation" if "val" in self.results[0]["metrics"] else "first"
        whom = f"{len(self.others)} {which} of {len(self.results)} classifiers"
        return f" Drawn are joint and the {whom}." if self.joint else f" Drawn are the {whom}."

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each run is called in figures, no two alike."""
        found: dict[str, str] = {}
        for result in self.results:
            name = shortened(classifier_text(result), LONGEST_LABEL)
            if name in found.values():
                name = f"{name[: LONGEST_LABEL - 5]} {result['run'][:4]}"
            found[result["run"]] = name
        return found

    def label(self, result: dict[str, Any]) -> str:
        """What `result` is called in figures."""
        return self.labels[result["run"]]

    def style(self, result: dict[str, Any]) -> Style:
        """How `result` is drawn, the same in every figure; the first style is joint's."""
        if result is self.joint:
            return STYLES[0]
        free = STYLES[self.joint is not None :]
        return free[[r["run"] for r in self.others].index(result["run"])]

    # -- numbers --------------------------------------------------------------------------------------

    def metrics(self, result: dict[str, Any]) -> dict[str, Any]:
        """Test metrics of `result`, shot groups by this chapter's thresholds."""
        return next(row["metrics"] for row in self.rows if row["run"] == result["run"])

    def rare(self, result: dict[str, Any]) -> tuple[str, float]:
        """(what, value) of the rarest group that has tested classes, or of the worst class."""
        metrics = self.metrics(result)
        for group, text in (("few", "few-shot"), ("medium", "medium-shot")):
            if metrics[group] is not None:
                return f"{text} accuracy", metrics[group]
        return "accuracy of the worst class", metrics["worst_class_accuracy"]

    @property
    def samples(self) -> list[int] | None:
        """Test samples of each class, (C,); None for results that do not say."""
        return self.results[0].get("class_samples", {}).get("test")

    @property
    def sizes(self) -> str:
        """A sentence for captions: how many test samples class accuracies are of."""
        judged = sorted(n for n in self.samples or [] if n)
        if not judged:
            return ""
        if judged[0] == judged[-1]:
            return f" A class has {counted(judged[0], 'test sample')}."
        few = sum(n < FEW_SAMPLES for n in judged)
        said = f"; {counted(few, 'class has', 'classes have')} fewer than {FEW_SAMPLES}" if few else ""
        return f" A class has {judged[0]} to {judged[-1]} test samples{said}."

    def group_of(self, row: int) -> str | None:
        """The shot group of a class."""
        return shot_group(self.counts[row], **self.thresholds)

    # -- on disk --------------------------------------------------------------------------------------

    @cached_property
    def features(self) -> FeatureSet:
        """The verified features."""
        from longtail.pipeline.work.feature_cache import fetch

        found = fetch(self.store, self.key)
        if found is None:
            raise Missing("the cached features are gone; `longtail extract CONFIG` makes them again")
        return found

    @cached_property
    def head(self) -> Head:
        """Stage one's head, or the plain linear one that stands in for it."""
        if self.joint is not None:
            return self.head_of(self.joint)
        if self.features.head is None:
            raise Missing("there is no trained head and no `joint` classifier")
        return self.features.head

    def head_of(self, result: dict[str, Any]) -> Head | None:
        """The linear head of a finished classifier; None for one without."""
        from longtail.pipeline.work.classifying import load_classifier

        try:
            return getattr(load_classifier(self.store, result["run"]), "head_", None)
        except (LongtailError, OSError, ValueError) as error:
            raise Missing(f"{error}; {REREAD}") from None

    def predictions(self, result: dict[str, Any]) -> dict[str, np.ndarray]:
        """The published predictions of a finished classifier."""
        from longtail.pipeline.work.classifying import load_predictions

        if result["run"] not in self._read:
            try:
                self._read[result["run"]] = load_predictions(self.store, result["run"])
            except (LongtailError, OSError) as error:
                raise Missing(f"{error}; {REREAD}") from None
        return self._read[result["run"]]

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """What training said of each epoch."""
        if self.representation is None:
            raise Missing("the data are features already: nothing was trained")
        path = self.store.folder("representations", self.representation) / "history.jsonl"
        try:
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            raise Missing(f"{path} is gone or damaged") from None
        if not found:
            raise Missing("no epoch was trained")
        return found

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """How stage one was run, {} where that is not known."""
        if self.representation is None:
            return {}
        try:
            return read_json(self.store.folder("representations", self.representation) / "provenance.json")
        except (OSError, Damaged):
            return {}


def chapters(store: Store, found: Iterable[Found]) -> list[Chapter]:
    """Results by features, in order; those that are not judged on test are left out."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for results, evaluation in found:
        for result in results:
            if "test" in result["metrics"]:
                own = result["thresholds"]
                limits = own if evaluation is None else evaluation.thresholds
                groups.setdefault(identity_of(result, limits), []).append(result)
    return [Chapter(store, results, dict(limits)) for (_, _, limits), results in groups.items()]


def identity_of(found: dict[str, Any], thresholds: dict[str, int]) -> tuple:
    """The :attr:`Chapter.identity` that a result or record belongs to under these shot groups."""
    return found["features"], found["seed"], tuple(sorted(thresholds.items()))


def _reached(result: dict[str, Any]) -> float:
    return result["metrics"]["val"]["balanced_accuracy"] if "val" in result["metrics"] else 0.0
