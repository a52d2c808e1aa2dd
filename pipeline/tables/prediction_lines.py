"""Predictions as text, a line at a time: there may be more of them than fit into memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence

from longtail.pipeline.tables.records import in_markdown
from longtail.stages.wording import encodable, printable

WIDEST = 60  # characters of a column before longer entries push the rest aside


def render(
    found: Iterable, form: str, *, title: str, unit: str, names: Sequence, classes: Sequence[str]
) -> Iterator[str]:
    """Lines of the predictions `found`, each (what of, classes, values), in the form asked for.

    `unit` says what the values are, `title` all that a table's reader has to know beside it. `names`, a list
    or a range, is what predictions may be of, `classes` what they may name: widths follow from them.
    """
    key = "row" if isinstance(names, range) else "path"
    if form == "json":
        yield from _json(found, key, unit)
    elif form == "csv":
        yield f"{key},rank,class,{unit}"
        for of, given, values in found:
            for rank, (name, value) in enumerate(zip(given, values, strict=True), 1):
                yield _csv_line([encodable(of), rank, name, f"{value:.6g}"])
    elif form == "markdown":
        yield from _markdown(found, key, title)
    else:
        width = min(max(len(printable(name)) for name in (key, *_extremes(names))), WIDEST)
        yield from _table(found, key, title, width, min(max(map(len, classes)), WIDEST))


def _extremes(names: Sequence) -> Sequence:
    return names[-1:] if isinstance(names, range) else names


def _cells(given: Sequence[str], values: Sequence[float]) -> list[tuple[str, str]]:
    return [(printable(name), f"{value:.4g}") for name, value in zip(given, values, strict=True)]


def _table(found, key: str, title: str, width: int, class_width: int) -> Iterator[str]:
    yield title
    yield f"{key:<{width}}  classes"
    yield "─" * (width + 2 + class_width + 8)
    for of, given, values in found:
        cells = "  ".join(f"{name:<{class_width}} {value:<9}" for name, value in _cells(given, values))
        yield f"{printable(of):<{width}}  {cells}".rstrip()


def _markdown(found, key: str, title: str) -> Iterator[str]:
    yield title
    yield ""
    for number, (of, given, values) in enumerate(found):
        if not number:
            yield f"| {key} |" + "".join(f" {rank} |" for rank in range(1, len(given) + 1))
            yield "|---|" + "---|" * len(given)
        cells = [f"{name} {value}" for name, value in _cells(given, values)]
        yield "| " + " | ".join(map(in_markdown, [printable(of), *cells])) + " |"


def _json(found, key: str, unit: str) -> Iterator[str]:
    """A list, an element a line."""
    before = "["
    for of, given, values in found:
        told = [{"class": name, unit: value} for name, value in zip(given, values, strict=True)]
        one = {key: of if isinstance(of, int) else str(of), "predictions": told}
        # A name of a file that is no text, which Python holds as lone surrogates, survives as their escapes.
        text = json.dumps(one, ensure_ascii=False, allow_nan=False)
        yield before + (text if text == encodable(text) else json.dumps(one, allow_nan=False))
        before = ","
    yield "]" if before == "," else "[]"


def _csv_line(values: list) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)  # which it has to know to quote a line break
    return out.getvalue().removesuffix("\n")
