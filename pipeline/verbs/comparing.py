"""sweep, ablate, report, boundaries: many runs side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.garbage import collector_paused
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.record_table import records_text
from longtail.pipeline.tables.records import METRICS, records
from longtail.pipeline.verbs.console import say
from longtail.pipeline.verbs.options import (
    complete,
    config_argument,
    force_option,
    format_option,
    overrides_argument,
    page_options,
    print_records,
    split_overrides,
    splits_of,
    table_options,
    verify_option,
    with_config,
)

if TYPE_CHECKING:
    from longtail.pipeline.store.finished_results import ReferenceResults
    from longtail.pipeline.tables.records import Record

log = logging.getLogger("longtail")


@click.command()
@with_config
@format_option
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes to use.")
def sweep(config: Config, store: Store, form: str, jobs: int) -> None:
    """Compare classifiers and their parameters on cached features.

    The configuration's `sweep:` names classifiers with lists or ranges of values; without it a default sweep
    is run. Trains and extracts features first if that is not done yet. Prints every trial on validation, then
    each classifier's best on test. Finished trials are not repeated.

    Example: longtail sweep digits_lt 'sweep=[ncm, {name: knn, k: [1, 5]}]'
    """
    from longtail.pipeline.compare.sweep import run_sweep

    sweep = run_sweep(config, store, jobs=jobs)
    thresholds = config.evaluation.thresholds
    trials = records(sweep.trials, splits=(config.evaluation.choosing_split,), thresholds=thresholds)
    winners = records(sweep.winners, splits=("test",), thresholds=thresholds)
    say(records_text([*trials, *(row for row in winners if row not in trials)], form))


@click.command()
@config_argument
@overrides_argument
@click.option("--vary", multiple=True, metavar="KEY=a,b,c", help="A setting and its values; may be repeated.")
@click.option(
    "--seeds", type=click.IntRange(1, 1000), metavar="N", help="Number of seeds, from `seed` upwards."
)
@click.option(
    "--data-seeds",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Number of splits, from `data.seed` upwards.",
)
@click.option("--baseline", metavar="ROW/CLASSIFIER", help="The cell that others are compared with.")
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    metavar="NAME",
    multiple=True,
    default=METRICS[:1],
    show_default=True,
    help="What a table shows: accuracy, error, many, few, class_accuracy_std...; may be repeated.",
)
@format_option
@verify_option
@page_options
@click.pass_obj
def ablate(
    store: Store,
    config: str,
    overrides: tuple[str, ...],
    vary: tuple[str, ...],
    seeds: int | None,
    data_seeds: int | None,
    baseline: str | None,
    metric: tuple[str, ...],
    form: str,
    page: Callable[..., None] | None,
) -> None:
    """Run a grid of settings and seeds and print mean ± deviation.

    The grid is the configuration's `ablation:`, or is given by --vary, --seeds and --data-seeds. Rows are
    settings, columns are classifiers; figures are averaged over seeds and splits. Work that runs share is
    done once, finished work is not repeated, and a run that fails is reported at the end while the others go
    on. --html writes a page of all runs, with their differences from the baseline.

    Example: longtail ablate digits_lt --seeds 3 --metric error
    """
    from longtail.pipeline.compare.ablation import find_baseline, planned_cells, run_ablation
    from longtail.pipeline.compare.ablation_table import ablation_cells, ablation_text
    from longtail.pipeline.compare.variants import variants
    from longtail.pipeline.store.finished_results import ReferenceResults

    grid = variants(config, overrides, vary=vary, seeds=seeds, data_seeds=data_seeds)
    cell = find_baseline(planned_cells(grid), baseline or grid[0].config.ablation.baseline)
    ablation = run_ablation(grid, store)
    if ablation.cells:
        if cell not in ablation.cells:
            cell, lost = next(iter(ablation.cells)), cell
            log.warning("%s/%s has no result; differences are to %s/%s", *lost, *cell)
        cells = ablation_cells(store, ablation, cell)
        if page is not None:
            results = [result for results in ablation.cells.values() for result in results]
            page(store, [ReferenceResults(results, None)], records(results), cells=cells)
        say(ablation_text(cells, metric, form))
    if ablation.failed:
        raise LongtailError("\n".join(f"failed: {failure}" for failure in ablation.failed))


@click.command()
@click.argument(
    "references",
    nargs=-1,
    metavar="[CONFIG or RUN]... [KEY=VALUE]...",
    shell_complete=complete("references"),
)
@table_options
@verify_option
@page_options
@click.pass_obj
def report(
    store: Store,
    references: tuple[str, ...],
    form: str,
    split: str,
    classes: bool,
    page: Callable[..., None] | None,
) -> None:
    """Print finished runs.

    RUN is a directory or the beginning of an id; without RUN or CONFIG every finished run is printed.
    KEY=VALUE overrides a setting of each CONFIG, as it did when that was run. --html writes one page that
    needs no network: sortable results, figures, provenance. Figures show the test split; choices were made on
    validation.

    Example: longtail report digits_lt seed=1 --html digits.html
    """
    if page is None:
        with collector_paused():
            print_records(_reported(store, references, split)[1], form, classes)
    else:
        groups, rows = _reported(store, references, split)
        page(store, groups, rows)
        print_records(rows, form, classes)


def _reported(
    store: Store, references: tuple[str, ...], split: str
) -> tuple[list[ReferenceResults], list[Record]]:
    """The results that references name and their records on a split; LongtailError without any."""
    from longtail.pipeline.store.finished_results import find_results

    runs, overrides = split_overrides(references)
    groups = find_results(store, runs, overrides)
    rows = [
        row
        for results, thresholds in groups
        for row in records(results, splits=splits_of(split), thresholds=thresholds)
    ]
    if not rows and any(results for results, _ in groups):
        raise LongtailError(f"no finished run was evaluated on {split}: the data have no such split")
    if not rows:
        raise LongtailError(f"no finished run under {store.root}; `longtail run CONFIG` makes one")
    return groups, rows


@click.command()
@click.argument("config", metavar="[CONFIG]", default="boundaries", shell_complete=complete("configs"))
@overrides_argument
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default="boundaries.svg",
    show_default=True,
    help="File to write: .svg, .png or .html.",
)
@force_option
@click.pass_obj
def boundaries(store: Store, config: str, overrides: tuple[str, ...], out: Path, force: bool) -> None:
    """Draw decision boundaries on features of width two.

    Draws those of the joint classifier, of τ-normalisation from 0 to 1, of cosine and of class means. The
    default CONFIG is a recipe that squeezes digits through a bottleneck of two features. Whatever is not done
    yet is run first. For features of your own: `longtail boundaries features data.root=FILE.npz`.

    Example: longtail boundaries --out boundaries.svg
    """
    from longtail.pipeline.page.draw_boundaries import draw_boundaries

    draw_boundaries(load_config(config, overrides), store, out, force=force)
