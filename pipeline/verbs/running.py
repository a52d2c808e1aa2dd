"""run, joint, represent, extract, classify: the stages, each made sure of once."""

from __future__ import annotations

import click

from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import records
from longtail.pipeline.verbs.options import (
    classes_option,
    echo,
    format_option,
    fresh_option,
    split_option,
    splits_of,
    with_config,
)


@click.command()
@with_config
@format_option
@split_option
@classes_option
@click.option("--fresh", is_flag=True, help="Start over from stage one.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run(
    config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool, dry_run: bool
) -> None:
    """Train, extract features, fit every classifier, print the table.

    Example: longtail run digits_lt seed=1
    """
    if dry_run:
        from longtail.pipeline.work.plan import plan_text, planned_steps

        if form != "table" or split != "test" or classes:
            raise click.UsageError("--dry-run prints no results: leave out --format, --split and --classes")
        click.echo(plan_text(planned_steps(config, store, fresh=fresh)))
        return
    _classify(config, store, form, split, classes, fresh)


@click.command()
@with_config
@format_option
@split_option
@classes_option
@click.option("--fresh", is_flag=True, help="Start over from stage one.")
def joint(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """`run` with stage one's own head as the only classifier: the end-to-end baseline.

    Example: longtail joint digits_lt representation.sampler=class_balanced
    """
    only_joint = config.model_copy(update={"classifiers": [Spec("classifiers", "joint")]})
    _classify(only_joint, store, form, split, classes, fresh)


@click.command()
@with_config
@fresh_option
def represent(config: Config, store: Store, fresh: bool) -> None:
    """Stage one: train the representation. The same command continues one that was stopped.

    Prints the representation's directory.

    Example: longtail represent fashion_mnist_lt
    """
    from longtail.pipeline.work.execute import run_stage_one

    one = run_stage_one(config, store, fresh=fresh)
    if one.id is None:
        raise LongtailError(f"data set {config.data.name} holds features already: there is nothing to train")
    click.echo(store.folder("representations", one.id))


@click.command()
@with_config
@fresh_option
def extract(config: Config, store: Store, fresh: bool) -> None:
    """Cache the frozen features of every split, training first if need be.

    Prints the features' directory.

    Example: longtail extract digits_lt features.checkpoint=best
    """
    from longtail.pipeline.work.execute import run_extraction

    click.echo(store.folder("features", run_extraction(config, store, fresh=fresh)))


@click.command()
@with_config
@format_option
@split_option
@classes_option
@fresh_option
def classify(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Stage two: fit classifiers on the cached features, making sure of those first; print the table.

    Example: longtail classify digits_lt 'classifiers=[joint, lws]'
    """
    _stage_two(config, store, form, split, classes, fresh)


def _classify(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    from longtail.pipeline.work.execute import run_extraction, run_stage_one

    if fresh:
        check_choices(config)
        run_stage_one(config, store, fresh=True)
        run_extraction(config, store, fresh=True)
    _stage_two(config, store, form, split, classes, fresh)


def _stage_two(config: Config, store: Store, form: str, split: str, classes: bool, fresh: bool) -> None:
    """Classifiers and their table; LongtailError at the end naming those that could not be fitted."""
    from longtail.pipeline.work.execute import run_stage_two

    failed: list[str] = []
    results = run_stage_two(config, store, fresh=fresh, on_failure=failed.append)
    if results:
        echo(
            records(results, splits=splits_of(split), thresholds=config.evaluation.thresholds), form, classes
        )
    if failed:
        raise LongtailError("\n".join(f"failed: {said}" for said in failed))
