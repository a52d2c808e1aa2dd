"""Ablations as tables: rows by columns, mean ± sample deviation over seeds and splits, in four formats."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from typing import Any

from longtail.pipeline.compare.ablation import Ablation, difference
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import CHOSEN_ON_TEST, METRICS, aligned, bars
from longtail.stages.metrics.shots import shot_accuracies


def cells(store: Store, found: Ablation, baseline: tuple[str, str]) -> list[dict]:
    """One record a cell: mean, sample deviation and n of every metric, and the difference to the baseline."""
    records = []
    for (row, column), results in found.cells.items():
        values = [_metrics(result) for result in results]
        gap = None
        if (row, column) != baseline:
            gap = difference(store, results, found.cells[baseline])
        records.append(
            {
                "row": row,
                "classifier": column,
                "split": "test",
                "protocol": results[0]["protocol"],
                "seeds": [result["seed"] for result in results],
                "data_seeds": [result["data_seed"] for result in results],
                "runs": [result["run"] for result in results],
                "metrics": {key: _summary([v[key] for v in values]) for key in METRICS},
                "baseline": "/".join(baseline),
                "difference": None if gap is None else gap._asdict(),
            }
        )
    return records


def render_ablation(records: list[dict[str, Any]], metrics: Sequence[str], form: str) -> str:
    """Records of :func:`cells` as text: rows by classifiers for table and markdown, a line a cell else.

    One table for each of `metrics`, then the differences to the baseline.
    """
    if form == "json":
        return json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
    if form == "csv":
        return _csv(records)
    draw = bars if form == "markdown" else aligned
    base, texts = records[0]["baseline"], []
    over = "seeds and splits" if any(len(set(r["data_seeds"])) > 1 for r in records) else "seeds"
    for metric in metrics:
        digits = 2 if metric == "error" else 1  # as published tables have it
        matrix = draw(_matrix(records, lambda r, key=metric, n=digits: _mean_text(r["metrics"][key], n)))
        texts += [f"test {metric.replace('_', ' ')} in %, mean ± sample deviation over {over}", matrix, ""]
    texts.pop()
    if any(record["difference"] for record in records):
        title = f"balanced accuracy less that of {base}, points, with the 95 % interval of a paired bootstrap"
        texts += ["", title, draw(_matrix(records, _difference_text))]
    if any(record["protocol"] == "paper" for record in records):
        texts.append(f"{CHOSEN_ON_TEST} chosen on the test split (protocol paper)")
    return "\n".join(texts)


def _metrics(result: dict[str, Any]) -> dict[str, float | None]:
    found = dict(result["metrics"]["test"])
    found |= shot_accuracies(found["class_accuracy"], result["class_counts"], **result["thresholds"])
    found["error"] = 1 - found["accuracy"]
    return {key: found[key] for key in METRICS}


def _summary(values: list[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    spread = statistics.stdev(known) if len(known) > 1 else None
    return {"mean": statistics.fmean(known) if known else None, "std": spread, "n": len(known)}


def _mean_text(summary: dict[str, Any], digits: int) -> str:
    if summary["mean"] is None:
        return "–"
    text = f"{100 * summary['mean']:.{digits}f}"
    if summary["std"] is None:
        return text
    return f"{text} ± {100 * summary['std']:.{digits}f} ({summary['n']})"


def _difference_text(record: dict[str, Any]) -> str:
    gap = record["difference"]
    if gap is None:
        return "baseline" if f"{record['row']}/{record['classifier']}" == record["baseline"] else "–"
    return f"{100 * gap['mean']:+.1f} [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"


def _matrix(records: list[dict[str, Any]], text) -> list[list[str]]:
    rows = list(dict.fromkeys(r["row"] for r in records))
    columns = list(dict.fromkeys(r["classifier"] for r in records))
    by_cell = {(r["row"], r["classifier"]): r for r in records}
    marks = {r["classifier"]: CHOSEN_ON_TEST for r in records if r["protocol"] == "paper"}
    head = ["", *(column + marks.get(column, "") for column in columns)]
    body = [
        [row, *(text(by_cell[row, column]) if (row, column) in by_cell else "failed" for column in columns)]
        for row in rows
    ]
    return [head, *body]


def _csv(records: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    stats = [f"{key}_{kind}" for key in METRICS for kind in ("mean", "std")]
    gaps = ["difference", "difference_low", "difference_high"]
    writer.writerow(["row", "classifier", "protocol", "n", *stats, "baseline", *gaps])
    for record in records:
        gap = record["difference"] or {"mean": None, "low": None, "high": None}
        values = [record["metrics"][key][kind] for key in METRICS for kind in ("mean", "std")]
        writer.writerow(
            [record["row"], record["classifier"], record["protocol"], len(record["seeds"]), *values,
             record["baseline"], gap["mean"], gap["low"], gap["high"]]
        )  # fmt: skip
    return out.getvalue().rstrip("\n")
