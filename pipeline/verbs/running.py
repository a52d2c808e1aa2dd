"""run, joint, represent, extract, classify: the stages, each done once."""

from __future__ import annotations

import logging

import click

from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import records
from longtail.pipeline.verbs.console import say
from longtail.pipeline.verbs.options import (
    dry_run_option,
    fresh_option,
    print_records,
    splits_of,
    table_options,
    with_config,
)

log = logging.getLogger("longtail")


@click.command()
@with_config
@table_options
@fresh_option
@dry_run_option
def run(
    config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool, dry_run: bool
) -> None:
    """Train, extract features, fit classifiers and print the table.

    A run that was stopped is continued, and work that is done is not repeated.

    Example: longtail run digits_lt seed=1
    """
    if dry_run:
        from longtail.pipeline.work.plan import plan_text, planned_steps

        if form != "table" or split != "test" or classes:
            raise click.UsageError("--dry-run prints no results: leave out --format, --split and --classes")
        say(plan_text(planned_steps(config, store, fresh=fresh)))
        return
    _run_every_stage(config, store, form, split, classes, fresh)


@click.command()
@with_config
@table_options
@fresh_option
def joint(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Like `run`, with stage one's own head as the only classifier.

    This is the end-to-end baseline.

    Example: longtail joint digits_lt representation.sampler=class_balanced
    """
    only_joint = config.model_copy(update={"classifiers": [Spec("classifiers", "joint")]})
    _run_every_stage(only_joint, store, form, split, classes, fresh)


@click.command()
@with_config
@fresh_option
def represent(config: Config, store: Store, fresh: bool) -> None:
    """Train the representation: stage one.

    The same command continues a training that was stopped. Prints the representation's directory.

    Example: longtail represent fashion_mnist_lt
    """
    from longtail.pipeline.work.execute import run_stage_one

    stage_one = run_stage_one(config, store, fresh=fresh)
    if stage_one.id is None:
        raise LongtailError(f"data set {config.data.name} holds features already: there is nothing to train")
    say(store.folder("representations", stage_one.id))


@click.command()
@with_config
@fresh_option
def extract(config: Config, store: Store, fresh: bool) -> None:
    """Cache the frozen features of every split.

    Trains the representation first if that is not done yet. Prints the features' directory.

    Example: longtail extract digits_lt features.checkpoint=best
    """
    from longtail.pipeline.work.execute import run_extraction

    say(store.folder("features", run_extraction(config, store, fresh=fresh)))


@click.command()
@with_config
@table_options
@fresh_option
def classify(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Fit classifiers on the cached features: stage two.

    Trains and extracts features first if that is not done yet, then prints the table.

    Example: longtail classify digits_lt 'classifiers=[joint, lws]'
    """
    _fit_and_print(config, store, form, split, classes, fresh)


def _run_every_stage(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    from longtail.pipeline.work.execute import run_extraction, run_stage_one

    if fresh:
        check_choices(config)
        run_stage_one(config, store, fresh=True)
        run_extraction(config, store, fresh=True)
    _fit_and_print(config, store, form, split, classes, fresh)


def _fit_and_print(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Fit classifiers and print their table; a LongtailError at the end names those that failed."""
    from longtail.pipeline.work.execute import run_stage_two

    failed: list[str] = []
    results = run_stage_two(config, store, fresh=fresh, on_failure=failed.append)
    if results:
        thresholds = config.evaluation.thresholds
        rows = records(results, splits=splits_of(split), thresholds=thresholds)
        if not rows:
            log.warning(
                "nothing was evaluated on %s: the data have no such split", " or ".join(splits_of(split))
            )
        if rows or form in ("csv", "json"):
            print_records(rows, form, classes)
    if failed:
        raise LongtailError("\n".join(f"failed: {reason}" for reason in failed))
