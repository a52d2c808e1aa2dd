"""What tests of the page share: the figures it must hold, and results to draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longtail.pipeline.page.run_results import RunResults, runs_of
from longtail.pipeline.store.finished_results import find_results
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from tests.pipeline.store.results import finished_result

EVERY_FIGURE = {
    "class_counts", "class_accuracy", "accuracy_spread", "gained_and_lost", "accuracy_over_tau",
    "weight_norms", "reliability", "confusions", "training_curves",
}  # fmt: skip
SHARED_FIGURES = {"matrix", "norms_by_sampler"}


def result(name="joint", accuracy=(0.5,), counts=(10,), **changes) -> Result:
    """A result as stage two publishes it, of which only class accuracies matter."""
    known = [a for a in accuracy if a is not None]
    metrics = {
        "class_accuracy": list(accuracy), "balanced_accuracy": float(np.mean(known)), "accuracy": 0.5,
        "worst_class_accuracy": min(known), "class_accuracy_std": float(np.std(known)), "ece": None,
        "macro_precision": 0.5, "top5_accuracy": None,
    }  # fmt: skip
    own = {
        "run": f"{name}-{changes.get('seed', 0)}", "classifier": name, "class_counts": list(counts),
        "class_names": [f"c{n}" for n in range(len(counts))], "metrics": {"val": metrics, "test": metrics},
    }  # fmt: skip
    return finished_result(**own | changes)


def run_of(root: Path, sampler: str = "instance_balanced") -> RunResults:
    """The one run on the page about `root` that drew its batches with `sampler`."""
    store = Store(root)
    every = runs_of(store, find_results(store, ()))
    (run,) = [run for run in every if run.results[0].settings.sampler["name"] == sampler]
    return run
