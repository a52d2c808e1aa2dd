"""How a classifier is judged: accuracies by class and shot group, calibration, intervals."""

from __future__ import annotations

from typing import Any

_SCORES = ("evaluate",)


def __getattr__(name: str) -> Any:  # shot groups alone need no numpy
    if name in _SCORES:
        from longtail.stages.metrics import scores

        return getattr(scores, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
