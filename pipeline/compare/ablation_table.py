"""Ablations as tables: rows by columns, mean ± sample deviation over seeds and splits, in four formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from longtail.pipeline.compare.ablation import AblationResults, CellKey, difference
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import CHOSEN_ON_TEST, METRICS, Record
from longtail.pipeline.tables.spread import Spread, spread
from longtail.pipeline.tables.text import aligned_table, csv_text, json_text, markdown_table

if TYPE_CHECKING:
    from longtail.stages.metrics.bootstrap import Difference


@dataclass(frozen=True)
class AblationCell:
    """A classifier under one row's settings: every metric on test over the replicates in `results`.

    `difference` is the one from the cell `baseline` (``ROW/CLASSIFIER``); None for that cell itself, and
    where samples cannot be paired.
    """

    row: str
    classifier: str
    results: list[Result]
    metrics: dict[str, Spread]
    baseline: str
    difference: Difference | None

    @property
    def name(self) -> str:
        """``ROW/CLASSIFIER``."""
        return f"{self.row}/{self.classifier}"

    @property
    def chosen_on_test(self) -> bool:
        """Whether choices may have been made on the test split."""
        return self.results[0].chosen_on_test

    def to_json(self) -> dict[str, Any]:
        """What ``--format json`` prints."""
        return {
            "row": self.row,
            "classifier": self.classifier,
            "split": "test",
            "protocol": self.results[0].protocol,
            "seeds": [result.seed for result in self.results],
            "data_seeds": [result.data_seed for result in self.results],
            "runs": [result.run for result in self.results],
            "metrics": {key: metric._asdict() for key, metric in self.metrics.items()},
            "baseline": self.baseline,
            "difference": None if self.difference is None else self.difference._asdict(),
        }


def ablation_cells(store: Store, ablation: AblationResults, baseline: CellKey) -> list[AblationCell]:
    """The cells of an ablation, each with its difference to `baseline`."""
    cells = []
    for (row, column), results in ablation.cells.items():
        values = [_metrics(result) for result in results]
        gap = None
        if (row, column) != baseline:
            gap = difference(store, results, ablation.cells[baseline])
        metrics = {key: spread(v[key] for v in values) for key in METRICS}
        cells.append(AblationCell(row, column, results, metrics, "/".join(baseline), gap))
    return cells


def _metrics(result: Result) -> dict[str, float | None]:
    metrics = Record.of(result, "test", result.thresholds).metrics
    return {key: 1 - metrics["accuracy"] if key == "error" else metrics[key] for key in METRICS}


def ablation_text(cells: Sequence[AblationCell], metrics: Sequence[str], form: str) -> str:
    """Cells as text: rows by classifiers for table and markdown, an entry for each cell otherwise.

    One table for each of `metrics`, then the differences to the baseline.
    """
    if form == "json":
        return json_text([cell.to_json() for cell in cells])
    if form == "csv":
        return _csv(cells)
    draw = markdown_table if form == "markdown" else aligned_table
    over = "seeds"
    if any(len({result.data_seed for result in cell.results}) > 1 for cell in cells):
        over = "seeds and splits"
    paragraphs = []
    for metric in metrics:
        digits = 2 if metric == "error" else 1  # as published tables have it
        title = f"test {metric.replace('_', ' ')} in %, mean ± sample deviation over {over}"
        table = draw(_matrix(cells, lambda cell, key=metric, n=digits: cell.metrics[key].percent(n)))
        paragraphs.append(f"{title}\n{table}")
    if any(cell.difference for cell in cells):
        title = f"balanced accuracy less that of {cells[0].baseline}, points, with the 95 % interval of a "
        title += "paired bootstrap"
        paragraphs.append(f"{title}\n{draw(_matrix(cells, _difference_text))}")
    text = "\n\n".join(paragraphs)
    if any(cell.chosen_on_test for cell in cells):
        text += f"\n{CHOSEN_ON_TEST} chosen on the test split (protocol paper)"
    return text


def _difference_text(cell: AblationCell) -> str:
    gap = cell.difference
    if gap is None:
        return "baseline" if cell.name == cell.baseline else "–"
    return f"{100 * gap.mean:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def _matrix(cells: Sequence[AblationCell], text: Callable[[AblationCell], str]) -> list[list[str]]:
    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.classifier for cell in cells))
    by_place = {(cell.row, cell.classifier): cell for cell in cells}
    marks = {cell.classifier: CHOSEN_ON_TEST for cell in cells if cell.chosen_on_test}
    head = ["", *(column + marks.get(column, "") for column in columns)]
    body = [
        [row, *(text(by_place[row, column]) if (row, column) in by_place else "failed" for column in columns)]
        for row in rows
    ]
    return [head, *body]


def _csv(cells: Sequence[AblationCell]) -> str:
    statistics = [f"{key}_{kind}" for key in METRICS for kind in ("mean", "std")]
    gaps = ["difference", "difference_low", "difference_high"]
    lines = [["row", "classifier", "protocol", "n", *statistics, "baseline", *gaps]]
    for cell in cells:
        gap = cell.difference
        lines.append(
            [
                *(cell.row, cell.classifier, cell.results[0].protocol, len(cell.results)),
                *(value for key in METRICS for value in (cell.metrics[key].mean, cell.metrics[key].std)),
                cell.baseline,
                *((None, None, None) if gap is None else (gap.mean, gap.low, gap.high)),
            ]
        )
    return csv_text(lines)
