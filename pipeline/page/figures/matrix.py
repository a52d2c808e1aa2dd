"""The ablation matrix: settings of stage one by classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from longtail.pipeline.page.figures.drawing import PAPER, Drawing, canvas
from longtail.pipeline.page.labels import classifier_text, shortened
from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.store.parameter_text import value_text
from longtail.pipeline.tables.headings import differing_settings, differing_words
from longtail.pipeline.tables.spread import Spread, spread

MOST_ROWS, MOST_COLUMNS = 24, 12
NAMED = ("data", "backbone", "sampler", "loss", "epochs", "checkpoint", "views", "dtype")  # of settings
DARK, LIGHT = "#0d0d0d", "#fafafa"  # of no palette: cells keep their colours in the dark, so does their text

Spreads = dict[tuple[str, str], Spread]  # by (settings, classifier)


def runs_by_row(runs: Sequence[RunResults]) -> dict[str, list[RunResults]]:
    """Runs by the settings, in words, in which they differ beside seeds.

    No two of a row have the same seeds: runs that are alike in all that is recorded get a row each, by id.
    """
    varied = [key for key in NAMED if len({value_text(getattr(run.settings, key)) for run in runs}) > 1]
    differing = differing_settings([run.first for run in runs])
    by_settings: dict[str, list[RunResults]] = {}
    for run in runs:
        own = run.settings.main
        words = [_words(key, own[key]) for key in varied if key in own]
        words += differing_words(run.first, differing)
        by_settings.setdefault(", ".join(words) or run.settings.data, []).append(run)
    rows: dict[str, list[RunResults]] = {}
    for row, members in sorted(by_settings.items()):
        alike = len({run.first.seeds for run in members}) < len(members)
        for run in members:
            rows.setdefault(f"{row}, {run.id}" if alike else row, []).append(run)
    return rows


def _words(key: str, value: Any) -> str:
    return value_text(value) if isinstance(value, dict) or key == "data" else f"{key}={value_text(value)}"


def spreads(runs: Sequence[RunResults]) -> Spreads:
    """Balanced test accuracy over seeds."""
    values: dict[tuple[str, str], list[float]] = {}
    for row, members in runs_by_row(runs).items():
        for run in members:
            for result in run.results:
                reached = run.metrics(result)["balanced_accuracy"]
                values.setdefault((row, classifier_text(result)), []).append(reached)
    return {key: spread(accuracies) for key, accuracies in values.items()}


def matrix(runs: Sequence[RunResults]) -> Drawing | None:
    """Settings by classifiers as a heat map of balanced test accuracy; None for a single run of stage one."""
    if len(runs) < 2:
        return None
    cells = spreads(runs)
    rows = list(dict.fromkeys(row for row, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    left = max(0, len(rows) - MOST_ROWS) + max(0, len(columns) - MOST_COLUMNS)
    rows, columns = rows[:MOST_ROWS], columns[:MOST_COLUMNS]
    figure, (axes,) = canvas(height=1.0 + 0.42 * len(rows))
    values = np.array([[_percent(cells.get((row, column))) for column in columns] for row in rows])
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap="cividis", edgecolors=PAPER, linewidth=1.5)
    for (y, row), (x, column) in product(enumerate(rows), enumerate(columns)):
        cell = cells.get((row, column))
        if cell is not None:
            color = DARK if mesh.norm(values[y, x]) > 0.55 else LIGHT
            style = {"ha": "center", "va": "center", "color": color, "fontsize": 8, "linespacing": 1.1}
            axes.text(x + 0.5, y + 0.5, cell.percent(between="\n"), **style)
    axes.set_xticks(
        np.arange(len(columns)) + 0.5, [shortened(c, 16) for c in columns], rotation=30, ha="right"
    )
    axes.set_yticks(np.arange(len(rows)) + 0.5, [shortened(r, 30) for r in rows])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return Drawing("matrix", _title(cells), _caption(cells, left), figure)


def _percent(cell: Spread | None) -> float:
    return np.nan if cell is None else 100 * cell.mean


def _title(cells: Spreads) -> str:
    (row, column), best = max(cells.items(), key=lambda item: item[1].mean)
    (low_row, low_column), worst = min(cells.items(), key=lambda item: item[1].mean)
    return (
        f"Highest: {column} on {row}, {100 * best.mean:.1f} %; "
        f"lowest: {low_column} on {low_row}, {100 * worst.mean:.1f} %"
    )


def _caption(cells: Spreads, left: int) -> str:
    caption = "Balanced test accuracy in %, settings of stage one by classifiers; the brighter the higher."
    if any(cell.n > 1 for cell in cells.values()):
        caption += " Mean ± sample standard deviation over seeds, their number in brackets."
    return caption + (f" {left} rows and columns did not fit." if left else "")
