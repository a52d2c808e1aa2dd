"""How a classifier is evaluated: accuracies by class and shot group, calibration, intervals.

``evaluate(scores, labels, class_counts)`` has every metric. It is loaded on its first use, so that
:mod:`.shots`, which finished tables go by, needs no numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longtail.stages.metrics.scores import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        from longtail.stages.metrics.scores import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
