"""What settings and classifiers are called on the page."""

from __future__ import annotations

from typing import Any

from longtail.pipeline.store.labels import label
from longtail.pipeline.tables.records import CHOSEN_ON_TEST, value_text


def classifier_text(result: dict[str, Any]) -> str:
    """A classifier with the parameters it was given, one it wraps without the key; † when chosen on test."""
    params = ", ".join(
        value_text(v) if k == "classifier" else f"{k}={value_text(v)}" for k, v in result["params"].items()
    )
    name = f"{label(result)}({params})" if params else label(result)
    return name + (CHOSEN_ON_TEST if result["protocol"] == "paper" else "")


def shortened(text: str, most: int) -> str:
    """`text`, its end replaced by … where it has more than `most` letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
