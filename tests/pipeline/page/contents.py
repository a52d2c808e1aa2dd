"""What tests of the page share: the figures it must hold, and results to draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longtail.pipeline.page.run_results import Chapter, chapters
from longtail.pipeline.store.finished import find_results
from longtail.pipeline.store.store import Store

EVERY_FIGURE = {
    "class_counts", "class_accuracy", "accuracy_spread", "gained_and_lost", "accuracy_over_tau",
    "weight_norms", "reliability", "confusions", "training_curves",
}  # fmt: skip
SHARED_FIGURES = {"matrix", "norms_by_sampler"}


def result(name="joint", accuracy=(0.5,), counts=(10,), **changes):
    """A result as stage two publishes it, of which only class accuracies matter."""
    known = [a for a in accuracy if a is not None]
    metrics = {
        "class_accuracy": list(accuracy), "balanced_accuracy": float(np.mean(known)), "accuracy": 0.5,
        "worst_class_accuracy": min(known), "class_accuracy_std": float(np.std(known)), "ece": None,
        "macro_precision": 0.5, "top5_accuracy": None,
    }  # fmt: skip
    return {
        "run": f"{name}-{changes.get('seed', 0)}", "representation": None, "features": "f",
        "classifier": name, "params": {}, "fitted": {}, "seed": 0, "data_seed": 0, "protocol": "validation",
        "thresholds": {"many": 100, "few": 20},
        "settings": {"data": "toy", "epochs": 1, "checkpoint": "last"},
        "class_counts": list(counts), "class_names": [f"c{n}" for n in range(len(counts))],
        "metrics": {"val": metrics, "test": metrics}, **changes,
    }  # fmt: skip


def chapter_of(root: Path, sampler: str = "instance_balanced") -> Chapter:
    """The one chapter of the page about `root` whose run drew its batches by `sampler`."""
    store = Store(root)
    every = chapters(store, find_results(store, ()))
    (chapter,) = [c for c in every if c.results[0]["settings"]["sampler"]["name"] == sampler]
    return chapter
