"""Roots with many finished classifiers that no run has made."""

from __future__ import annotations

import json
from pathlib import Path

from longtail.pipeline.files.checked_json import with_checksum
from longtail.pipeline.files.publish import sha256_of
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from tests.pipeline.store.results import finished_result

A_SPLIT = {
    "accuracy": 0.5, "top5_accuracy": None, "balanced_accuracy": 0.5, "macro_precision": 0.5, "many": None,
    "medium": 0.5, "few": None, "class_accuracy": [0.6, 0.4], "class_accuracy_std": 0.1,
    "worst_class_accuracy": 0.4, "ece": None,
}  # fmt: skip


def result_number(number: int, **changes) -> Result:
    """One of five classifiers on the same features; every five have a representation of their own."""
    fields = {
        "run": f"{number:016x}", "representation": f"{number // 5:016x}", "features": f"f{number // 5:015x}",
        "classifier": ("joint", "crt", "ncm", "lws", "cosine")[number % 5], "seed": number // 5,
        "metrics": {"test": A_SPLIT},
    }  # fmt: skip
    return finished_result(**fields | changes)


def write_result(store: Store, result: Result) -> Path:
    """A finished classifier's folder, without waiting for the disk: ``result.json`` and ``DONE``."""
    folder = store.folder("classifiers", result.run)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    path.write_text(json.dumps(result.to_json()))
    done = {"classifier": result.classifier, "folder": f"classifiers/{result.run}"}
    done["files"] = {path.name: sha256_of(path)}
    (folder / "DONE").write_text(json.dumps(with_checksum(done)))
    return folder


def many_results(root: Path, count: int) -> Store:
    """A root with `count` finished classifiers."""
    store = Store(root)
    for number in range(count):
        write_result(store, result_number(number))
    return store
