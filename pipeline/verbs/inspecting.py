"""list, show, init, clean: what there is, how to begin, what can be removed."""

from __future__ import annotations

import json
import logging
import re

import click

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import KINDS
from longtail.pipeline.config.loading import Config, load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.data.remembered import DATA_GONE, remembered_identity, used_without_data
from longtail.pipeline.store.identity import data_identity, representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.text import FORMATS
from longtail.pipeline.verbs.console import say
from longtail.pipeline.verbs.options import (
    config_or_run_argument,
    dry_run_option,
    force_option,
    format_option_of,
    overrides_argument,
    verify_option,
)

log = logging.getLogger("longtail")

LIKE_AN_ID = re.compile("[0-9a-f]+")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, "configs"]), metavar="[KIND]")
@format_option_of(FORMATS[:2])
def list_(kind: str | None, form: str) -> None:
    """List components and shipped configurations.

    Components are listed with their parameters and source. KIND is one of datasets, samplers, losses,
    reweightings, backbones, classifiers... or configs; without KIND everything is listed.

    Example: longtail list samplers
    """
    from longtail.pipeline.tables.listing import listing

    say(listing(kind, form))


@click.command()
@config_or_run_argument
@overrides_argument
@click.option("--schema", is_flag=True, help="Print the JSON schema of configurations, for editors.")
@click.option(
    "--check", is_flag=True, help="Also look for copies across splits and classes, and tiny splits."
)
@verify_option
@click.pass_obj
def show(store: Store, reference: str | None, overrides: tuple[str, ...], schema: bool, check: bool) -> None:
    """Show a full configuration, its class counts and progress.

    Every default is filled in. RUN is the directory or the beginning of the id of a representation, of
    features or of a classifier; its state is shown instead.

    Example: longtail show fashion_mnist_lt data.imbalance_factor=10
    """
    if schema == (reference is not None) or (schema and check):
        raise click.UsageError("give either CONFIG or RUN, or --schema alone")
    if schema:
        from longtail.pipeline.config.schema import schema as config_schema

        say(json.dumps(config_schema(), indent=1, ensure_ascii=False))
        return
    from longtail.pipeline.store.references import find_result, is_unknown
    from longtail.pipeline.tables.states import result_state

    result = None if overrides else find_result(store, reference)
    if result is not None and check:
        raise click.UsageError("--check is for the data of a CONFIG, not for a RUN")
    if result is not None:
        say(result_state(store, *result))
        return
    try:
        config = load_config(reference, overrides)
    except ConfigError as error:
        if is_unknown(error) and LIKE_AN_ID.fullmatch(reference):
            raise LongtailError(f"{reference}: no id under {store.root} begins with it") from None
        raise
    data_are_there = _show_config(config, store)
    if check:
        _check_set(config, store, sizes=data_are_there)


def _check_set(config: Config, store: Store, *, sizes: bool) -> None:
    """Print what is wrong with the data set; with `sizes` also load it and check the sizes of its splits."""
    from longtail.pipeline.training.splits import load_splits
    from longtail.pipeline.work.checked_set import set_findings, size_findings

    copies = set_findings(config, store) or ["no copies across splits or classes"]
    small = size_findings(load_splits(config)) if sizes else []
    say("\n" + "\n".join(f"check: {finding}" for finding in [*copies, *small]))


def _show_config(config: Config, store: Store) -> bool:
    """Print every setting, the class counts and, when a run has begun, how far it has come.

    Finished results hold the class counts: the data are loaded where there are none. No counts are printed
    where the data are gone. Returns whether they are there.
    """
    from longtail.pipeline.store.finished_results import results_on
    from longtail.pipeline.tables.states import run_progress
    from longtail.pipeline.training.continuation import check_start
    from longtail.pipeline.work.class_chart import class_chart

    check_choices(config, refuse=False)
    try:
        data = data_identity(store, config)
    except DATA_GONE as error:
        remembered = remembered_identity(store, config)
        if remembered is None:
            raise
        run_id = representation_id(store, config, remembered)
        log.warning("%s", used_without_data(error, run_id))
        say(strict_yaml.dump(config.full()).rstrip())
        say("\n" + "\n".join(run_progress(store, run_id, results_on(store, config, remembered))))
        return False
    check_start(config, store)
    results = results_on(store, config, data)
    say(strict_yaml.dump(config.full()).rstrip())
    say("")
    say(class_chart(config, results))
    if config.representation is not None:
        run_id = representation_id(store, config, data)
        if store.folder("representations", run_id).exists():
            say("\n" + "\n".join(run_progress(store, run_id, results)))
    return True


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path())
@overrides_argument
@click.option("--output", metavar="FILE", help="File to write; FOLDER's name with .yaml by default.")
@force_option
def init(folder: str, overrides: tuple[str, ...], output: str | None, force: bool) -> None:
    """Write a first configuration for a folder of pictures.

    Each choice is written with its reason. FOLDER holds a folder per class, directly or below train/, val/
    and test/. KEY=VALUE says how pictures are read: data.train=..., data.allow_outside=true,
    data.image_size=... and the like.

    Example: longtail init path/to/pictures
    """
    from longtail.pipeline.init.first_config import write_first_config

    say(write_first_config(folder, output, overrides, force=force))


@click.command()
@dry_run_option
@click.option("--unfinished", is_flag=True, help="Also remove unfinished results.")
@click.option("--states", is_flag=True, help="Also remove optimiser states of finished runs.")
@click.pass_obj
def clean(store: Store, dry_run: bool, unfinished: bool, states: bool) -> None:
    """Show what takes up space and remove what nothing needs.

    That is what killed processes left behind, and features whose representation is gone. Anything written
    within the last hour stays, and so does every file that is not longtail's.

    Example: longtail clean --dry-run
    """
    from longtail.pipeline.store.clean import clean

    say(clean(store, dry_run=dry_run, unfinished=unfinished, states=states))
