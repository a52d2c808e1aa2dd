"""Predictions as text, a line at a time: there may be more of them than fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from longtail.pipeline.tables.text import csv_text, markdown_line
from longtail.stages.wording import encodable, printable

WIDEST = 60  # characters of a column before longer entries push the rest aside


class Prediction(NamedTuple):
    """The likeliest classes of a picture (its path) or of a row of features (its number), best first.

    `values` are probabilities, or scores where the classifier has no probabilities.
    """

    of: str | int
    classes: list[str]
    values: list[float]


def prediction_lines(
    predictions: Iterable[Prediction],
    form: str,
    *,
    title: str,
    unit: str,
    names: Sequence,
    classes: Sequence[str],
) -> Iterator[str]:
    """Lines of `predictions` in the form asked for.

    `unit` is what the values are, `title` all that a table's reader has to know beside it. `names`, a list
    or a range, is what predictions may be of, `classes` what they may name: widths follow from them.
    """
    key = "row" if isinstance(names, range) else "path"
    if form == "json":
        yield from _json(predictions, key, unit)
    elif form == "csv":
        yield f"{key},rank,class,{unit}"
        for of, likeliest, values in predictions:
            for rank, (name, value) in enumerate(zip(likeliest, values, strict=True), 1):
                yield csv_text([[encodable(of), rank, name, f"{value:.6g}"]])
    elif form == "markdown":
        yield from _markdown(predictions, key, title)
    else:
        width = min(max(len(printable(name)) for name in (key, *_extremes(names))), WIDEST)
        yield from _table(predictions, key, title, width, min(max(map(len, classes)), WIDEST))


def _extremes(names: Sequence) -> Sequence:
    return names[-1:] if isinstance(names, range) else names


def _cells(likeliest: Sequence[str], values: Sequence[float]) -> list[tuple[str, str]]:
    return [(printable(name), f"{value:.4g}") for name, value in zip(likeliest, values, strict=True)]


def _table(
    predictions: Iterable[Prediction], key: str, title: str, width: int, class_width: int
) -> Iterator[str]:
    yield title
    yield f"{key:<{width}}  classes"
    yield "─" * (width + 2 + class_width + 8)
    for of, likeliest, values in predictions:
        cells = "  ".join(f"{name:<{class_width}} {value:<9}" for name, value in _cells(likeliest, values))
        yield f"{printable(of):<{width}}  {cells}".rstrip()


def _markdown(predictions: Iterable[Prediction], key: str, title: str) -> Iterator[str]:
    yield title
    yield ""
    for number, (of, likeliest, values) in enumerate(predictions):
        if not number:
            yield f"| {key} |" + "".join(f" {rank} |" for rank in range(1, len(likeliest) + 1))
            yield "|---|" + "---|" * len(likeliest)
        yield markdown_line(
            [printable(of), *(f"{name} {value}" for name, value in _cells(likeliest, values))]
        )


def _json(predictions: Iterable[Prediction], key: str, unit: str) -> Iterator[str]:
    """A list, an element a line."""
    before = "["
    for of, likeliest, values in predictions:
        entries = [{"class": name, unit: value} for name, value in zip(likeliest, values, strict=True)]
        one = {key: of if isinstance(of, int) else str(of), "predictions": entries}
        # A name of a file that is no text, which Python holds as lone surrogates, survives as their escapes.
        text = json.dumps(one, ensure_ascii=False, allow_nan=False)
        yield before + (text if text == encodable(text) else json.dumps(one, allow_nan=False))
        before = ","
    yield "]" if before == "," else "[]"
