"""Records: what tables show of a result, and what ``--format json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from longtail.pipeline.store.result import Metrics, Result
from longtail.stages.metrics.shots import shot_accuracies

METRICS = (  # what ablations summarise
    "balanced_accuracy", "accuracy", "error", "many", "medium", "few", "class_accuracy_std",
    "worst_class_accuracy", "macro_precision", "ece",
)  # fmt: skip
CHOSEN_ON_TEST = "†"  # stands at every row whose choices may have been made on the test split
# (heading, key of a record's metrics, larger is better)
COLUMNS = (
    ("balanced", "balanced_accuracy", True),
    ("many", "many", True),
    ("medium", "medium", True),
    ("few", "few", True),
    ("class SD", "class_accuracy_std", False),
    ("worst class", "worst_class_accuracy", True),
)


@dataclass(frozen=True)
class Record:
    """A result on one split; shot groups in `metrics` follow `thresholds`, their ``many`` and ``few``."""

    result: Result
    split: str
    thresholds: dict[str, int]
    metrics: Metrics

    @classmethod
    def of(cls, result: Result, split: str, thresholds: dict[str, int]) -> Record:
        """The record of a result on a split that it was judged on."""
        metrics = result.metrics[split]
        groups = shot_accuracies(metrics["class_accuracy"], result.class_counts, **thresholds)
        return cls(result, split, thresholds, {**metrics, **groups})

    @property
    def class_samples(self) -> list[int] | None:
        """Judged samples of each class, (C,); None where the result does not say."""
        return self.result.samples(self.split)

    @property
    def label(self) -> str:
        """The classifier's name, marked where it was chosen on the test split."""
        return self.result.label + (CHOSEN_ON_TEST if self.result.chosen_on_test else "")

    def identity(self) -> dict[str, Any]:
        """What distinguishes the record from others, the beginning of its JSON form."""
        result = self.result
        return {
            "run": result.run,
            "representation": result.representation,
            "classifier": result.classifier,
            "params": result.shown_params,
            "split": self.split,
            "seed": result.seed,
            "data_seed": result.data_seed,
            "protocol": result.protocol,
        }

    def to_json(self) -> dict[str, Any]:
        """What ``--format json`` prints."""
        return {
            **self.identity(),
            "metrics": self.metrics,
            "class_names": self.result.class_names,
            "class_counts": self.result.class_counts,
            "class_samples": self.class_samples,
        }


def records(
    results: Iterable[Result],
    *,
    splits: tuple[str, ...] = ("test",),
    thresholds: dict[str, int] | None = None,
) -> list[Record]:
    """A record for each result and each of `splits` it was judged on.

    Shot groups follow `thresholds`, by default those of each result.
    """
    return [
        Record.of(result, split, result.thresholds if thresholds is None else thresholds)
        for result in results
        for split in splits
        if split in result.metrics
    ]
