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


def named(root: Path, pattern: str, classifier: str | None = None) -> Path:
    """The one path under `root` that fits; of classifiers' that of `classifier`, whichever id sorts first.

    AssertionError when none fits, or several do.
    """
    paths = list(root.glob(pattern))
    if pattern.startswith("classifiers/"):
        run = results_by_classifier(root)[classifier].run
        paths = [path for path in paths if run in path.relative_to(root).parts]
    assert len(paths) == 1, f"{pattern} fits {len(paths)} paths under {root}"
    return paths[0]
