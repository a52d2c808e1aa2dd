"""Accuracy class by class, by name: what the columns of a report's table are means of."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from longtail.pipeline.tables.records import aligned, bars, grouped, row_label
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import printable

KEYS = ("run", "representation", "classifier", "params", "split", "seed", "data_seed", "protocol")


def render_classes(rows: list[dict[str, Any]], form: str) -> str:
    """Records as a row a class, with its training and judged samples.

    ``table`` and ``markdown`` have a column for each classifier, in percent, and a table for each set of
    features; ``csv`` and ``json`` an entry for each class and classifier, as a fraction, null without test
    samples.
    """
    if form in ("csv", "json"):
        entries = [entry for row in rows for entry in _entries(row)]
        if form == "json":
            return json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False)
        return _csv(entries)
    draw = bars if form == "markdown" else aligned
    return "\n\n".join(f"{title}\n{draw(_matrix(members))}" for title, members in grouped(rows))


def _entries(row: dict[str, Any]) -> list[dict[str, Any]]:
    told = {key: row[key] for key in KEYS}
    return [
        {
            **told,
            "class": name,
            "train": count,
            "group": _group(row, count),
            "samples": samples,
            "accuracy": accuracy,
        }
        for name, count, samples, accuracy in zip(
            row["class_names"],
            row["class_counts"],
            _samples(row),
            row["metrics"]["class_accuracy"],
            strict=True,
        )
    ]


def _group(row: dict[str, Any], count: int) -> str:
    return shot_group(count, **row["thresholds"]) or "absent"


def _samples(row: dict[str, Any]) -> list[int | None]:
    """Samples of each class that accuracies of `row` are of; None where its result does not say."""
    return row["class_samples"] or [None] * len(row["class_counts"])


def _matrix(rows: list[dict[str, Any]]) -> list[list[str]]:
    first = rows[0]
    lines = [["class", "train", "group", first["split"], *map(row_label, rows)]]
    every = zip(first["class_names"], first["class_counts"], _samples(first), strict=True)
    for c, (name, count, samples) in enumerate(every):
        found = [row["metrics"]["class_accuracy"][c] for row in rows]
        cells = ["–" if value is None else f"{100 * value:.1f}" for value in found]
        judged = "–" if samples is None else str(samples)
        lines.append([printable(name), str(count), _group(first, count), judged, *cells])
    return lines


def _csv(entries: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [*KEYS, "class", "train", "group", "samples", "accuracy"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({**entry, "params": json.dumps(entry["params"])} for entry in entries)
    return out.getvalue().rstrip("\n")
