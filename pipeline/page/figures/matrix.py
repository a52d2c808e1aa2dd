"""The ablation matrix: settings of stage one by classifiers."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import numpy as np

from longtail.pipeline.page.figures.drawing import PAPER, Drawing, canvas
from longtail.pipeline.page.run_results import Chapter
from longtail.pipeline.page.words import classifier_text, shortened
from longtail.pipeline.tables.records import differences, told_apart, value_text

MOST_ROWS, MOST_COLUMNS = 24, 12
NAMED = ("data", "backbone", "sampler", "loss", "epochs", "checkpoint", "views", "dtype")  # of settings
DARK, LIGHT = "#0d0d0d", "#fafafa"  # of no palette: cells keep their colours in the dark, so does their text


class Cell(NamedTuple):
    """Balanced test accuracy over seeds, fractions; `std` is the sample deviation, None for one seed."""

    mean: float
    std: float | None
    n: int


def varied(chapters: list[Chapter]) -> dict[str, list[Chapter]]:
    """Chapters by what tells them apart beside seeds, in words; no two of a row have the same seeds."""
    shared = [k for k in NAMED if len({value_text(c.settings.get(k)) for c in chapters}) > 1]
    told = differences([chapter.rows[0] for chapter in chapters])
    found: dict[str, list[Chapter]] = {}
    for chapter in chapters:
        words = [_words(key, chapter.settings[key]) for key in shared if key in chapter.settings]
        words += told_apart(chapter.rows[0], told)
        found.setdefault(", ".join(words) or chapter.settings["data"], []).append(chapter)
    apart: dict[str, list[Chapter]] = {}
    for row, members in sorted(found.items()):
        alike = len({(c.seed, c.data_seed) for c in members}) < len(members)
        for c in members:  # alike in all that is recorded: their ids tell them apart
            apart.setdefault(f"{row}, {c.representation or c.key}" if alike else row, []).append(c)
    return apart


def _words(key: str, value: Any) -> str:
    return value_text(value) if isinstance(value, dict) or key == "data" else f"{key}={value_text(value)}"


def cells(chapters: list[Chapter]) -> dict[tuple[str, str], Cell]:
    """Balanced test accuracy by (settings, classifier), over seeds."""
    values: dict[tuple[str, str], list[float]] = {}
    for row, members in varied(chapters).items():
        for chapter in members:
            for result in chapter.results:
                reached = chapter.metrics(result)["balanced_accuracy"]
                values.setdefault((row, classifier_text(result)), []).append(reached)
    return {
        key: Cell(statistics.fmean(v), statistics.stdev(v) if len(v) > 1 else None, len(v))
        for key, v in values.items()
    }


def matrix(chapters: list[Chapter]) -> Drawing | None:
    """Settings by classifiers as a heat map of balanced test accuracy; None for a single run of stage one."""
    if len(chapters) < 2:
        return None
    found = cells(chapters)
    rows = list(dict.fromkeys(row for row, _ in found))
    columns = list(dict.fromkeys(column for _, column in found))
    left = max(0, len(rows) - MOST_ROWS) + max(0, len(columns) - MOST_COLUMNS)
    rows, columns = rows[:MOST_ROWS], columns[:MOST_COLUMNS]
    figure, (axes,) = canvas(height=1.0 + 0.42 * len(rows))
    values = np.array([[_percent(found.get((row, column))) for column in columns] for row in rows])
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap="cividis", edgecolors=PAPER, linewidth=1.5)
    for (y, row), (x, column) in _pairs(rows, columns):
        cell = found.get((row, column))
        if cell is not None:
            bright = mesh.norm(values[y, x]) > 0.55
            color = DARK if bright else LIGHT
            axes.text(
                x + 0.5,
                y + 0.5,
                _text(cell),
                ha="center",
                va="center",
                color=color,
                fontsize=8,
                linespacing=1.1,
            )
    axes.set_xticks(
        np.arange(len(columns)) + 0.5, [shortened(c, 16) for c in columns], rotation=30, ha="right"
    )
    axes.set_yticks(np.arange(len(rows)) + 0.5, [shortened(r, 30) for r in rows])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return Drawing("matrix", _title(found), _caption(found, left), figure)


def _pairs(rows: list[str], columns: list[str]) -> list[tuple[Any, Any]]:
    return [((y, row), (x, column)) for y, row in enumerate(rows) for x, column in enumerate(columns)]


def _percent(cell: Cell | None) -> float:
    return np.nan if cell is None else 100 * cell.mean


def _text(cell: Cell) -> str:
    mean = f"{100 * cell.mean:.1f}"
    return mean if cell.std is None else f"{mean}\n± {100 * cell.std:.1f} ({cell.n})"


def _title(found: dict[tuple[str, str], Cell]) -> str:
    (row, column), best = max(found.items(), key=lambda item: item[1].mean)
    (low_row, low_column), worst = min(found.items(), key=lambda item: item[1].mean)
    return (
        f"Highest: {column} on {row}, {100 * best.mean:.1f} %; "
        f"lowest: {low_column} on {low_row}, {100 * worst.mean:.1f} %"
    )


def _caption(found: dict[tuple[str, str], Cell], left: int) -> str:
    caption = "Balanced test accuracy in %, settings of stage one by classifiers; the brighter the higher."
    if any(cell.n > 1 for cell in found.values()):
        caption += " Mean ± sample standard deviation over seeds, their number in brackets."
    return caption + (f" {left} rows and columns did not fit." if left else "")
