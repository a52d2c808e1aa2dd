"""Accuracy class by class, by name: what the columns of a report's table are means of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from longtail.pipeline.tables.headings import grouped
from longtail.pipeline.tables.record_table import row_label
from longtail.pipeline.tables.records import Record
from longtail.pipeline.tables.text import aligned_table, csv_text, json_text, markdown_table
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import printable

COLUMNS = (
    "run", "representation", "classifier", "params", "split", "seed", "data_seed", "protocol",
    "class", "train", "group", "samples", "accuracy",
)  # fmt: skip


def classes_text(records: Sequence[Record], form: str) -> str:
    """Records as a row a class, with its training and judged samples.

    ``table`` and ``markdown`` have a column for each classifier, in percent, and a table for each set of
    features; ``csv`` and ``json`` an entry for each class and classifier, as a fraction, null without test
    samples.
    """
    if form in ("csv", "json"):
        entries = [entry for record in records for entry in _entries(record)]
        return json_text(entries) if form == "json" else _csv(entries)
    draw = markdown_table if form == "markdown" else aligned_table
    return "\n\n".join(f"{title}\n{draw(_matrix(members))}" for title, members in grouped(records))


def _entries(record: Record) -> list[dict[str, Any]]:
    """A mapping for each class, in the order of :data:`COLUMNS`."""
    return [
        {
            **record.identity(),
            "class": name,
            "train": count,
            "group": _group(record, count),
            "samples": samples,
            "accuracy": accuracy,
        }
        for name, count, samples, accuracy in zip(
            record.result.class_names,
            record.result.class_counts,
            _samples(record),
            record.metrics["class_accuracy"],
            strict=True,
        )
    ]


def _group(record: Record, count: int) -> str:
    return shot_group(count, **record.thresholds) or "absent"


def _samples(record: Record) -> Sequence[int | None]:
    """Samples of each class that accuracies are of; None where the result does not say."""
    return record.class_samples or [None] * len(record.result.class_counts)


def _matrix(records: Sequence[Record]) -> list[list[str]]:
    first = records[0]
    lines = [["class", "train", "group", first.split, *map(row_label, records)]]
    classes = zip(first.result.class_names, first.result.class_counts, _samples(first), strict=True)
    for c, (name, count, samples) in enumerate(classes):
        accuracies = [record.metrics["class_accuracy"][c] for record in records]
        cells = ["–" if value is None else f"{100 * value:.1f}" for value in accuracies]
        judged = "–" if samples is None else str(samples)
        lines.append([printable(name), str(count), _group(first, count), judged, *cells])
    return lines


def _csv(entries: list[dict[str, Any]]) -> str:
    lines = [{**entry, "params": json.dumps(entry["params"])} for entry in entries]
    return csv_text([COLUMNS, *([line[key] for key in COLUMNS] for line in lines)])
