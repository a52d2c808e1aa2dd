"""Results to test with that no run has made."""

from __future__ import annotations

from longtail.pipeline.store.result import Result, RunSettings


def run_settings(**changes) -> RunSettings:
    """Settings of one epoch on toy data."""
    settings = {
        "data": "toy", "epochs": 1, "reached": 1, "checkpoint": "last", "views": 0, "dtype": "float32",
        "all": {},
    }  # fmt: skip
    return RunSettings(**settings | changes)


def finished_result(**changes) -> Result:
    """A result of ``joint`` on two classes, judged on no split."""
    fields = {
        "run": "0123456789abcdef", "representation": None, "features": "f", "classifier": "joint",
        "params": {}, "fitted": {}, "seed": 0, "data_seed": 0, "protocol": "validation",
        "thresholds": {"many": 100, "few": 20}, "settings": run_settings(), "class_counts": [20, 5],
        "class_names": ["c0", "c1"], "sizes": {}, "class_samples": {}, "metrics": {}, "seconds": 0.0,
        "versions": {},
    }  # fmt: skip
    return Result(**fields | changes)
