"""What tests of the page share: the figures it must hold, and results to draw."""

from __future__ import annotations

import numpy as np

from longtail.pipeline.store.result import Result
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
