"""The results table of the page: cells with what they are sorted by."""

from __future__ import annotations

from typing import Any, NamedTuple

from longtail.pipeline.page.run_results import identity_of
from longtail.pipeline.tables.records import COLUMNS, row_label

MORE = (("accuracy", "accuracy", True), ("top-5", "top5_accuracy", True), ("ECE", "ece", False))


class Cell(NamedTuple):
    """What a cell shows and is sorted by; `link` is the anchor of its run, `best` of its run and split."""

    text: str
    value: float | str | None
    link: str | None = None
    best: bool = False


class Table(NamedTuple):
    """Headings (name, numeric) and rows of cells."""

    heads: list[tuple[str, bool]]
    rows: list[list[Cell]]


def results_table(rows: list[dict[str, Any]], anchors: dict[tuple, tuple[str, str]]) -> Table:
    """Records as a table; `anchors` gives (anchor, title) of a run by a chapter's identity.

    A run that is not on the page, for want of a test result, has its id in place of a link.
    """
    columns = (*COLUMNS, *MORE)
    splits = list(dict.fromkeys(row["split"] for row in rows))
    heads = [("run", False), ("classifier", False)]
    heads += [("split", False)] if len(splits) > 1 else []
    heads += [(name, True) for name, _, _ in columns]
    best, places = _best(rows, columns), {run: place for place, run in enumerate(anchors)}
    lines = []
    for row in sorted(rows, key=lambda row: places.get(_identity(row), len(places))):
        anchor, title = anchors.get(_identity(row), (None, row["features"]))
        cells = [Cell(title, title, anchor), Cell(row_label(row), row_label(row))]
        cells += [Cell(row["split"], row["split"])] if len(splits) > 1 else []
        for _, key, _ in columns:
            value = row["metrics"][key]
            shown = _shown(value)
            cells.append(Cell(shown, value, best=value is not None and shown == best[_group(row), key]))
        lines.append(cells)
    return Table(heads, lines)


def _identity(row: dict[str, Any]) -> tuple:
    """That of the chapter a record belongs to."""
    return identity_of(row, row["thresholds"])


def _group(row: dict[str, Any]) -> tuple:
    return (*_identity(row), row["split"])


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _best(rows: list[dict[str, Any]], columns) -> dict[tuple, str | None]:
    """The best figure of each run, split and column as it is shown; None for a run of one classifier."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row)
    found = {}
    for group, members in groups.items():
        for _, key, larger in columns:
            values = [row["metrics"][key] for row in members if row["metrics"][key] is not None]
            top = (max if larger else min)(values) if values and len(members) > 1 else None
            found[group, key] = None if top is None else _shown(top)
    return found
