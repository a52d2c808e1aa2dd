"""What a test asks of a root with finished runs."""

from __future__ import annotations

from pathlib import Path

from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store


def results_by_classifier(root: Path) -> dict[str, Result]:
    """The result of each classifier; AssertionError where a name stands for more than one."""
    results = list(Store(root).results())
    named = {result.classifier: result for result in results}
    assert len(named) == len(results), f"{root} has several results under one classifier's name"
    return named


def only(folder: Path, pattern: str = "*") -> Path:
    """The one path in `folder` that fits; AssertionError when there are none or several."""
    (path,) = folder.glob(pattern)
    return path
