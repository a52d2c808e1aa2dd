"""Records and tables of finished runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from longtail.pipeline.config.sections import Evaluation
from longtail.pipeline.store.labels import label
from longtail.stages.metrics.shots import shot_accuracies
from longtail.stages.wording import as_written, counted, printable

FORMATS = ("table", "markdown", "csv", "json")
METRICS = (  # what ablations summarise
    "balanced_accuracy", "accuracy", "error", "many", "medium", "few", "class_accuracy_std",
    "worst_class_accuracy", "macro_precision", "ece",
)  # fmt: skip
CHOSEN_ON_TEST = "†"  # stands at every row whose choices may have been made on the test split
PRIVATE = ("features", "settings", "label", "thresholds")  # of a row: for tables, no part of a record
# (heading, key of a record's metrics, larger is better)
COLUMNS = (
    ("balanced", "balanced_accuracy", True),
    ("many", "many", True),
    ("medium", "medium", True),
    ("few", "few", True),
    ("class SD", "class_accuracy_std", False),
    ("worst class", "worst_class_accuracy", True),
)


def records(
    results: Iterable[dict[str, Any]],
    *,
    splits: tuple[str, ...] = ("test",),
    evaluation: Evaluation | None = None,
) -> list[dict[str, Any]]:
    """One record a result and split. Shot groups follow `evaluation`, by default the run's thresholds."""
    found = []
    for result in results:
        thresholds = result["thresholds"] if evaluation is None else evaluation.thresholds
        for split in splits:
            if split not in result["metrics"]:
                continue
            metrics = dict(result["metrics"][split])
            metrics.update(shot_accuracies(metrics["class_accuracy"], result["class_counts"], **thresholds))
            found.append(
                {
                    "run": result["run"],
                    "representation": result["representation"],
                    "classifier": result["classifier"],
                    "params": {**result["params"], **_fitted(result)},
                    "split": split,
                    "seed": result["seed"],
                    "data_seed": result["data_seed"],
                    "protocol": result["protocol"],
                    "metrics": metrics,
                    "class_names": result["class_names"],
                    "class_counts": result["class_counts"],
                    "class_samples": result.get("class_samples", {}).get(split),  # older results have none
                    "thresholds": thresholds,
                    "features": result["features"],
                    "settings": result["settings"],
                    "label": label(result),
                }
            )
    return found


def _fitted(result: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in result["fitted"].items() if k != "is_linear_fit_"}


def render(rows: list[dict[str, Any]], form: str) -> str:
    """Records as text: ``table`` and ``markdown`` grouped by features, ``csv`` and ``json`` flat."""
    if form == "json":
        public = [{k: v for k, v in row.items() if k not in PRIVATE} for row in rows]
        return json.dumps(public, indent=1, ensure_ascii=False, allow_nan=False)
    if form == "csv":
        return _csv(rows)
    draw = _markdown if form == "markdown" else _table
    return "\n\n".join(f"{title}\n{draw(members)}" for title, members in grouped(rows))


def grouped(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows on the same features, each group under a title that tells it from the others."""
    told = differences(rows)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((heading(row, told), row["features"]), []).append(row)
    return [(title, members) for (title, _), members in groups.items()]


def differences(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, str]]]:
    """Settings in which rows on the same data set differ: ``{data set: {setting: {value: in words}}}``.

    Paths are shortened to their last part where that keeps them apart.
    """
    values: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        known = values.setdefault(row["settings"]["data"], {})
        for key, value in _every_setting(row).items():
            known.setdefault(key, {})[str(value)] = printable(value_text(value))
    return {
        data: {key: _short(words) for key, words in known.items() if len(words) > 1}
        for data, known in values.items()
    }


def _every_setting(row: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted names; that of a component itself is its name, as None is where there is none."""
    return {key.removesuffix(".name"): value for key, value in row["settings"].get("all", {}).items()}


def told_apart(row: dict[str, Any], told: dict[str, dict[str, dict[str, str]]]) -> list[str]:
    """``setting=value`` of a row wherever `told`, the :func:`differences` to others, has the setting."""
    own = _every_setting(row)
    differing = told.get(row["settings"]["data"], {})
    return [f"{key}={words[str(own[key])]}" for key, words in differing.items() if key in own]


def _short(words: dict[str, str]) -> dict[str, str]:
    short = {text: word.rstrip("/").rpartition("/")[2] for text, word in words.items()}
    return short if len(set(short.values())) == len(short) else words


def heading(row: dict[str, Any], told: dict[str, dict[str, dict[str, str]]] | None = None) -> str:
    """What the runs of one table have in common; `told` are the :func:`differences` to others shown."""
    settings = row["settings"]
    parts = [settings["data"]]
    for key in ("backbone", "sampler", "loss"):
        if key in settings:
            parts.append(_spec_text(settings[key]))
    if "epochs" in settings:
        reached = settings.get("reached", settings["epochs"])
        of = f"{reached} of " if reached != settings["epochs"] else ""
        parts.append(of + counted(settings["epochs"], "epoch"))
    if settings["checkpoint"] == "best":
        parts.append("best epoch")
    if settings["dtype"] != "float32":
        parts.append(settings["dtype"])
    if settings.get("views"):
        parts.append(counted(settings["views"], "view"))
    parts += told_apart(row, told or {})
    parts.append(f"seed {row['seed']}" + (f", data seed {row['data_seed']}" if row["data_seed"] else ""))
    parts.append(row["representation"] or f"features {row['features']}")
    if row["protocol"] == "paper":
        parts.append("chosen on test (protocol paper)")
    return " · ".join([*parts, f"{row['split']} accuracy in %"])


def _spec_text(spec: dict[str, Any]) -> str:
    params = ", ".join(f"{k}={value_text(v)}" for k, v in spec.items() if k != "name")
    return f"{spec['name']}({params})" if params else spec["name"]


def value_text(value: Any) -> str:
    """A parameter as a label has it: four digits of a number, ``name(key=value)`` of a component."""
    if isinstance(value, dict) and "name" in value:
        return _spec_text(value)
    if value is None or isinstance(value, bool):
        return as_written(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def row_label(row: dict[str, Any]) -> str:
    """A classifier's name with its parameters, those it chose as found."""
    told = {k: v for k, v in row["params"].items() if f"{k}_" not in row["params"]}  # τ as found
    params = " ".join(f"{k.rstrip('_')}={value_text(v)}" for k, v in told.items())
    mark = CHOSEN_ON_TEST if row["protocol"] == "paper" else ""
    return f"{row['label']}{mark} {params}".strip()


def _cells(rows: list[dict[str, Any]], mark) -> list[list[str]]:
    """Label and figures of each row in percent, the best of each column marked."""
    cells = [[row_label(row)] for row in rows]
    for _, key, larger in COLUMNS:
        shown = [None if row["metrics"][key] is None else f"{100 * row['metrics'][key]:.1f}" for row in rows]
        values = [float(text) for text in shown if text is not None]
        best = (max if larger else min)(values) if values else None
        for line, text in zip(cells, shown, strict=True):
            line.append("–" if text is None else mark(text, float(text) == best and len(rows) > 1))
    return cells


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [["classifier", *(f"{name} " for name, _, _ in COLUMNS)]]
    lines += _cells(rows, lambda text, best: f"{text}{'*' if best else ' '}")
    return "\n".join([aligned(lines), *(["* best of its column"] if len(rows) > 1 else [])])


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = ["classifier", *(name for name, _, _ in COLUMNS)]
    return bars([head, *_cells(rows, lambda text, best: f"**{text}**" if best else text)])


def aligned(lines: list[list[str]]) -> str:
    """Cells as a table for a terminal, the first line its head; the first column reads from the left."""
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    drawn = [
        line[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(w)}" for cell, w in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]
    drawn.insert(1, "─" * max(map(len, drawn)))
    return "\n".join(line.rstrip() for line in drawn)


def in_markdown(cell: str) -> str:
    """A cell of a Markdown table that neither ends the cell nor opens a tag."""
    return cell.replace("|", "\\|").replace("<", "\\<")


def bars(lines: list[list[str]]) -> str:
    """Cells as a Markdown table after an empty line, the first line its head."""
    drawn = ["| " + " | ".join(map(in_markdown, line)) + " |" for line in lines]
    return "\n".join(["", drawn[0], "|---|" + "---:|" * (len(lines[0]) - 1), *drawn[1:]])


def _csv(rows: list[dict[str, Any]]) -> str:
    """Every scalar metric as a fraction, with what tells the runs apart; empty where undefined."""
    keys = [k for k, v in rows[0]["metrics"].items() if not isinstance(v, list)] if rows else []
    plain = ("run", "representation", "classifier", "split", "seed", "data_seed", "protocol")
    settings = ("data", "backbone", "sampler", "loss")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*plain, "params", *settings, *keys])
    for row in rows:
        told = [row["settings"].get(key, "") for key in settings]
        writer.writerow(
            [
                *(row[key] for key in plain),
                json.dumps(row["params"]),
                *(_spec_text(value) if isinstance(value, dict) else value for value in told),
                *(row["metrics"][key] for key in keys),
            ]
        )
    return out.getvalue().rstrip("\n")
