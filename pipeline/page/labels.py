"""What settings and classifiers are called on the page."""

from __future__ import annotations

from longtail.pipeline.store.parameter_text import value_text
from longtail.pipeline.store.result import Result
from longtail.pipeline.tables.records import CHOSEN_ON_TEST


def classifier_text(result: Result) -> str:
    """A classifier with the parameters it was given, one it wraps without the key; † when chosen on test."""
    params = ", ".join(
        value_text(v) if k == "classifier" else f"{k}={value_text(v)}" for k, v in result.params.items()
    )
    name = f"{result.label}({params})" if params else result.label
    return name + (CHOSEN_ON_TEST if result.chosen_on_test else "")


def shortened(text: str, most: int) -> str:
    """`text`, its end replaced by … where it has more than `most` letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
