"""The results table of the page: cells with what they are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from longtail.pipeline.page.run_results import RunIdentity, run_identity
from longtail.pipeline.tables.record_table import row_label
from longtail.pipeline.tables.records import COLUMNS, Record

MORE = (("accuracy", "accuracy", True), ("top-5", "top5_accuracy", True), ("ECE", "ece", False))
ALL_COLUMNS = (*COLUMNS, *MORE)


class TableCell(NamedTuple):
    """What a cell shows and is sorted by; `link` is the anchor of its run, `best` of its run and split."""

    text: str
    value: float | str | None
    link: str | None = None
    best: bool = False


class PageTable(NamedTuple):
    """Headings (name, numeric) and rows of cells."""

    heads: list[tuple[str, bool]]
    rows: list[list[TableCell]]


def results_table(records: Sequence[Record], anchors: dict[RunIdentity, tuple[str, str]]) -> PageTable:
    """Records as a table; `anchors` gives (anchor, title) of the runs on the page.

    A run without a test result is not on the page; it has its id in place of a link.
    """
    splits = list(dict.fromkeys(record.split for record in records))
    heads = [("run", False), ("classifier", False)]
    heads += [("split", False)] if len(splits) > 1 else []
    heads += [(name, True) for name, _, _ in ALL_COLUMNS]
    best, places = _best(records), {run: place for place, run in enumerate(anchors)}
    rows = []
    for record in sorted(records, key=lambda record: places.get(_run(record), len(places))):
        anchor, title = anchors.get(_run(record), (None, record.result.features))
        cells = [TableCell(title, title, anchor), TableCell(row_label(record), row_label(record))]
        cells += [TableCell(record.split, record.split)] if len(splits) > 1 else []
        for _, key, _ in ALL_COLUMNS:
            value = record.metrics[key]
            text = _percent(value)
            is_best = value is not None and text == best[_run(record), record.split, key]
            cells.append(TableCell(text, value, best=is_best))
        rows.append(cells)
    return PageTable(heads, rows)


def _run(record: Record) -> RunIdentity:
    """The identity of the run a record belongs to."""
    return run_identity(record.result, record.thresholds)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _best(records: Sequence[Record]) -> dict[tuple[RunIdentity, str, str], str | None]:
    """The best of each run, split and column as it is shown; None for a run of one classifier."""
    groups: dict[tuple[RunIdentity, str], list[Record]] = {}
    for record in records:
        groups.setdefault((_run(record), record.split), []).append(record)
    best = {}
    for (run, split), members in groups.items():
        for _, key, larger in ALL_COLUMNS:
            values = [record.metrics[key] for record in members if record.metrics[key] is not None]
            top = (max if larger else min)(values) if values and len(members) > 1 else None
            best[run, split, key] = None if top is None else _percent(top)
    return best
