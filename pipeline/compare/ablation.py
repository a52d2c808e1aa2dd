"""Ablations: every classifier on each variant of a grid, by row and column of a table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from longtail.pipeline.compare.variants import Variant, unrounded_text
from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.errors import ConfigError, Interrupted, LongtailError, in_words
from longtail.pipeline.process.progress import TimeLeft
from longtail.pipeline.store.classifier_files import load_predictions
from longtail.pipeline.store.result import Parameters, Result, shown_name
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.workbench import Workbench

if TYPE_CHECKING:
    from longtail.stages.metrics.bootstrap import Difference

log = logging.getLogger("longtail")

CellKey = tuple[str, str]  # (row, column): settings in words, and the classifier


@dataclass
class AblationResults:
    """Results of each cell, one a seed and split; `failed` lists the runs that were lost, with the reason."""

    cells: dict[CellKey, list[Result]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def run_ablation(grid: Sequence[Variant], store: Store) -> AblationResults:
    """Run what is missing of a grid; a run that fails is noted, and the rest goes on."""
    ablation = AblationResults()
    left = TimeLeft(len(grid))
    for number, variant in enumerate(grid, 1):
        log.info("run %d of %d: %s%s", number, len(grid), variant, left.next())
        try:
            results = _variant_results(variant, store)
        except Interrupted:
            raise
        except Exception as error:
            message = str(error) if isinstance(error, ArithmeticError) else in_words(error)
            if message is None:
                raise
            failure = f"{variant}: {' '.join(message.split())}"
            log.warning("failed: %s", failure)
            ablation.failed.append(failure)
            continue
        for result in results:
            cell = variant.row, column_name(result.label, result.params)
            ablation.cells.setdefault(cell, []).append(result)
    return ablation


def _variant_results(variant: Variant, store: Store) -> list[Result]:
    check_choices(variant.config)
    bench = Workbench(variant.config, store)
    # A result may have been made under other shot groups than this row asks for.
    thresholds = variant.config.evaluation.thresholds
    results = [replace(bench.result(spec), thresholds=thresholds) for spec in variant.config.classifiers]
    if any("test" not in result.metrics for result in results):
        raise LongtailError("there are no test samples, on which an ablation compares classifiers")
    return results


def column_name(classifier: str, params: Parameters) -> str:
    """What a classifier's column is called: its name and the parameters it was given."""
    given = ", ".join(f"{key}={unrounded_text(value)}" for key, value in params.items())
    return f"{classifier}({given})" if given else classifier


def planned_cells(grid: Iterable[Variant]) -> list[CellKey]:
    """Every cell a grid will fill, in the table's order."""
    cells = []
    for variant in grid:
        trained = variant.config.representation
        epochs = trained.epochs if trained is not None else 0
        for spec in variant.config.classifiers:
            cells.append((variant.row, column_name(shown_name(spec.name, epochs), spec.changed())))
    return list(dict.fromkeys(cells))


def find_baseline(cells: Sequence[CellKey], wanted: str | None) -> CellKey:
    """The one of `cells` that ``ROW/CLASSIFIER`` or, in the first row, ``CLASSIFIER`` names; None: the first.

    ConfigError lists what there is.
    """
    if wanted is None:
        return cells[0]
    named = {f"{row}/{column}": (row, column) for row, column in cells}
    baseline = named.get(wanted) or named.get(f"{cells[0][0]}/{wanted}")
    if baseline is None:
        raise ConfigError(f"--baseline must be one of {', '.join(named)}; got {wanted!r}")
    return baseline


def difference(store: Store, results: list[Result], baseline: list[Result]) -> Difference | None:
    """The paired bootstrap's difference in test balanced accuracy, over seeds both have; None without any."""
    import numpy as np

    from longtail.stages.metrics.bootstrap import paired_difference

    by_seeds = {result.seeds: result for result in baseline}
    pairs = [(result, by_seeds[result.seeds]) for result in results if result.seeds in by_seeds]
    if not pairs:
        return None
    own_hits, baseline_hits, labels = [], [], []
    for pair in pairs:
        own, base = (load_predictions(store, result.run) for result in pair)
        if not np.array_equal(own["test.y"], base["test.y"]):
            return None  # other samples: nothing to pair
        own_hits.append(own["test"] == own["test.y"])
        baseline_hits.append(base["test"] == base["test.y"])
        labels.append(own["test.y"])
    same_samples = [result.data_seed for result, _ in pairs]
    return paired_difference(own_hits, baseline_hits, labels, same_samples=same_samples)
