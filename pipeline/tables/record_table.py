"""Records as text in every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from longtail.pipeline.store.parameter_text import component_text, value_text
from longtail.pipeline.tables.headings import grouped
from longtail.pipeline.tables.records import COLUMNS, Record
from longtail.pipeline.tables.text import aligned_table, csv_text, json_text, markdown_table


def records_text(records: Sequence[Record], form: str) -> str:
    """Records as text: ``table`` and ``markdown`` grouped by features, ``csv`` and ``json`` flat."""
    if form == "json":
        return json_text([record.to_json() for record in records])
    if form == "csv":
        return _csv(records)
    draw = _markdown if form == "markdown" else _table
    return "\n\n".join(f"{title}\n{draw(members)}" for title, members in grouped(records))


def row_label(record: Record) -> str:
    """A classifier's name with its parameters; one that was chosen shows the choice."""
    params = record.result.shown_params
    shown = {k: v for k, v in params.items() if f"{k}_" not in params}  # tau_, the choice, instead of tau
    words = [f"{key.rstrip('_')}={value_text(value)}" for key, value in shown.items()]
    return " ".join([record.label, *words])


def _cells(records: Sequence[Record], mark: Callable[[str, bool], str]) -> list[list[str]]:
    """Label and metrics of each record in percent; ``mark(text, is_best)`` marks the best of each column."""
    lines = [[row_label(record)] for record in records]
    for _, key, larger in COLUMNS:
        values = [record.metrics[key] for record in records]
        shown = [None if value is None else f"{100 * value:.1f}" for value in values]
        known = [float(text) for text in shown if text is not None]
        best = (max if larger else min)(known) if known else None
        for line, text in zip(lines, shown, strict=True):
            line.append("–" if text is None else mark(text, float(text) == best and len(records) > 1))
    return lines


def _table(records: Sequence[Record]) -> str:
    head = ["classifier", *(f"{name} " for name, _, _ in COLUMNS)]
    table = aligned_table([head, *_cells(records, lambda text, best: f"{text}{'*' if best else ' '}")])
    return "\n".join([table, *(["* best of its column"] if len(records) > 1 else [])])


def _markdown(records: Sequence[Record]) -> str:
    head = ["classifier", *(name for name, _, _ in COLUMNS)]
    return markdown_table([head, *_cells(records, lambda text, best: f"**{text}**" if best else text)])


def _csv(records: Sequence[Record]) -> str:
    """Every scalar metric as a fraction, with what distinguishes the runs; empty where undefined."""
    keys = [k for k, v in records[0].metrics.items() if not isinstance(v, list)] if records else []
    plain = ("run", "representation", "classifier", "split", "seed", "data_seed", "protocol")
    lines = [[*plain, "params", "data", "backbone", "sampler", "loss", *keys]]
    for record in records:
        identity, settings = record.identity(), record.result.settings
        components = (settings.backbone, settings.sampler, settings.loss)
        lines.append(
            [
                *(identity[key] for key in plain),
                json.dumps(identity["params"]),
                settings.data,
                *("" if component is None else component_text(component) for component in components),
                *(record.metrics[key] for key in keys),
            ]
        )
    return csv_text(lines)
