"""What figures are drawn from: finished results on the same features, with what lies beside them on disk."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from longtail.pipeline.errors import Damaged, LongtailError
from longtail.pipeline.page.figures.drawing import STYLES, Missing, Style
from longtail.pipeline.page.labels import classifier_text, shortened
from longtail.pipeline.store.classifier_files import load_classifier, load_predictions
from longtail.pipeline.store.contents import EpochRow, Provenance
from longtail.pipeline.store.finished_results import ReferenceResults
from longtail.pipeline.store.records.run_records import history, provenance
from longtail.pipeline.store.result import Metrics, Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import Record
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import counted, printable

if TYPE_CHECKING:
    import numpy as np

    from longtail.pipeline.work.feature_cache import FeatureSet
    from longtail.stages.network import Head

log = logging.getLogger("longtail")

LONGEST_LABEL = 26
FEW_SAMPLES = 10  # of a class in the test split, below which its accuracy says little
REREAD = "`longtail classify CONFIG --fresh` makes it again"

RunIdentity = tuple  # what no other run of a page shares: features, seed and the shot groups' limits


class RunResults:
    """Results judged on test that share their features; what they share is read from the first.

    `thresholds` are the shot groups' ``many`` and ``few``. What lies on disk is read when it is asked for;
    :class:`Missing` is raised for what is not there any more.
    """

    def __init__(self, store: Store, results: list[Result], thresholds: dict[str, int]):
        self.store, self.results, self.thresholds = store, results, thresholds
        self.first = results[0]
        self.representation, self.settings = self.first.representation, self.first.settings
        self.counts = self.first.class_counts
        self.names = [printable(name) for name in self.first.class_names]
        self._metrics = {r.run: Record.of(r, "test", thresholds).metrics for r in results}
        self._predictions: dict[str, dict[str, np.ndarray]] = {}

    @property
    def identity(self) -> RunIdentity:
        """What no other run of a page shares."""
        return run_identity(self.first, self.thresholds)

    @property
    def id(self) -> str:
        """The id of the representation, that of the features where these were given."""
        return self.representation or self.first.features

    # -- who is shown and how -------------------------------------------------------------------------

    @cached_property
    def joint(self) -> Result | None:
        """The result of stage one's own head."""
        return next((r for r in self.results if r.classifier == "joint"), None)

    @cached_property
    def best(self) -> Result:
        """The result that is best on validation (the first without validation), joint only when alone."""
        others = [r for r in self.results if r is not self.joint]
        return max(others or self.results, key=_reached)

    @cached_property
    def shown(self) -> list[Result]:
        """The results that are drawn: all, or joint and the best of the others on validation, in order.

        Without validation the first take their place: the test split chooses nothing.
        """
        others = [r for r in self.results if r is not self.joint]
        best = sorted(others, key=_reached, reverse=True)[: len(STYLES) - (self.joint is not None)]
        kept = {r.run for r in best} | ({self.joint.run} if self.joint else set())
        return [r for r in self.results if r.run in kept]

    @property
    def others(self) -> list[Result]:
        """The results drawn besides joint."""
        return [r for r in self.shown if r is not self.joint]

    @property
    def omission(self) -> str:
        """A sentence for captions when not every result is drawn."""
        if len(self.shown) == len(self.results):
            return ""
        which = "best on validation" if "val" in self.first.metrics else "first"
        whom = f"{len(self.others)} {which} of {len(self.results)} classifiers"
        return f" Drawn are joint and the {whom}." if self.joint else f" Drawn are the {whom}."

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each run is called in figures, no two alike."""
        names: dict[str, str] = {}
        for result in self.results:
            name = shortened(classifier_text(result), LONGEST_LABEL)
            if name in names.values():
                name = f"{name[: LONGEST_LABEL - 5]} {result.run[:4]}"
            names[result.run] = name
        return names

    def label(self, result: Result) -> str:
        """What `result` is called in figures."""
        return self.labels[result.run]

    def style(self, result: Result) -> Style:
        """How `result` is drawn, the same in every figure; the first style is joint's."""
        if result is self.joint:
            return STYLES[0]
        free = STYLES[self.joint is not None :]
        return free[[r.run for r in self.others].index(result.run)]

    # -- numbers --------------------------------------------------------------------------------------

    def metrics(self, result: Result) -> Metrics:
        """Test metrics of `result`, shot groups by this run's thresholds."""
        return self._metrics[result.run]

    def rare(self, result: Result) -> tuple[str, float]:
        """(what, value) of the rarest group that has tested classes, or of the worst class."""
        metrics = self.metrics(result)
        for group, text in (("few", "few-shot"), ("medium", "medium-shot")):
            if metrics[group] is not None:
                return f"{text} accuracy", metrics[group]
        return "accuracy of the worst class", metrics["worst_class_accuracy"]

    @property
    def samples(self) -> list[int] | None:
        """Test samples of each class, (C,); None for results that do not say."""
        return self.first.samples("test")

    @property
    def sizes(self) -> str:
        """A sentence for captions: how many test samples class accuracies are of."""
        judged = sorted(n for n in self.samples or [] if n)
        if not judged:
            return ""
        if judged[0] == judged[-1]:
            return f" A class has {counted(judged[0], 'test sample')}."
        few = sum(n < FEW_SAMPLES for n in judged)
        note = f"; {counted(few, 'class has', 'classes have')} fewer than {FEW_SAMPLES}" if few else ""
        return f" A class has {judged[0]} to {judged[-1]} test samples{note}."

    def group_of(self, row: int) -> str | None:
        """The shot group of a class."""
        return shot_group(self.counts[row], **self.thresholds)

    # -- on disk --------------------------------------------------------------------------------------

    @cached_property
    def features(self) -> FeatureSet:
        """The verified features."""
        from longtail.pipeline.work.feature_cache import load_verified

        features = load_verified(self.store, self.first.features)
        if features is None:
            raise Missing("the cached features are gone; `longtail extract CONFIG` makes them again")
        return features

    @cached_property
    def head(self) -> Head:
        """Stage one's head, or the plain linear one that stands in for it."""
        if self.joint is not None:
            return self.head_of(self.joint)
        if self.features.head is None:
            raise Missing("there is no trained head and no `joint` classifier")
        return self.features.head

    def head_of(self, result: Result) -> Head | None:
        """The linear head of a finished classifier; None for one without."""
        try:
            return getattr(load_classifier(self.store, result.run), "head_", None)
        except (LongtailError, OSError, ValueError) as error:
            raise Missing(f"{error}; {REREAD}") from None

    def predictions(self, result: Result) -> dict[str, np.ndarray]:
        """The published predictions of a finished classifier."""
        if result.run not in self._predictions:
            try:
                self._predictions[result.run] = load_predictions(self.store, result.run)
            except (LongtailError, OSError) as error:
                raise Missing(f"{error}; {REREAD}") from None
        return self._predictions[result.run]

    @cached_property
    def history(self) -> list[EpochRow]:
        """What training recorded of each epoch."""
        if self.representation is None:
            raise Missing("the data are features already: nothing was trained")
        path = self.store.folder("representations", self.representation) / "history.jsonl"
        try:
            rows = history(self.store, self.representation)
        except Damaged:
            raise Missing(f"{path} is {'damaged' if path.exists() else 'gone'}") from None
        if not rows:
            raise Missing("no epoch was trained" if path.exists() else f"{path} is gone")
        return rows

    @cached_property
    def provenance(self) -> Provenance:
        """How stage one was run, {} where that is not known."""
        if self.representation is None:
            return {}
        try:
            return provenance(self.store, self.representation)
        except Damaged as error:
            log.warning("%s; it is not shown", error)
            return {}


def runs_of(store: Store, groups: Iterable[ReferenceResults]) -> list[RunResults]:
    """Results by run, in order; those that are not judged on test are left out."""
    runs: dict[RunIdentity, tuple[list[Result], dict[str, int]]] = {}
    for results, thresholds in groups:
        for result in results:
            if "test" in result.metrics:
                limits = result.thresholds if thresholds is None else thresholds
                runs.setdefault(run_identity(result, limits), ([], limits))[0].append(result)
    return [RunResults(store, results, limits) for results, limits in runs.values()]


def run_identity(result: Result, thresholds: dict[str, int]) -> RunIdentity:
    """The :attr:`RunResults.identity` that a result belongs to under these shot groups."""
    return result.features, result.seed, tuple(sorted(thresholds.items()))


def _reached(result: Result) -> float:
    return result.balanced_accuracy("val") or 0.0
