"""Keys of printed records."""

from __future__ import annotations

RECORD_KEYS = [
    "run",
    "representation",
    "classifier",
    "params",
    "split",
    "seed",
    "data_seed",
    "protocol",
    "metrics",
    "class_names",
    "class_counts",
    "class_samples",
]
