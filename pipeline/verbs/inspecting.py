"""list, show, init, clean: what there is, what it amounts to, how to begin, what may go."""

from __future__ import annotations

import json
import re

import click

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import KINDS
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.text import FORMATS
from longtail.pipeline.verbs.options import complete

LIKE_AN_ID = re.compile("[0-9a-f]+")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*KINDS, "configs"]), metavar="[KIND]")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS[:2]),
    default="table",
    show_default=True,
    help="How to print.",
)
def list_(kind: str | None, form: str) -> None:
    """List components with their parameters and source, and shipped configurations.

    KIND is one of datasets, samplers, losses, reweightings, backbones, classifiers... or configs; without
    one everything is listed.

    Example: longtail list samplers
    """
    from longtail.pipeline.tables.listing import listing

    click.echo(listing(kind, form))


@click.command()
@click.argument("reference", metavar="CONFIG|RUN", required=False, shell_complete=complete("configs"))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete("settings"))
@click.option("--schema", is_flag=True, help="Print the JSON schema of configurations, for editors.")
@click.pass_obj
def show(store: Store, reference: str | None, overrides: tuple[str, ...], schema: bool) -> None:
    """Show a configuration with every default filled in, its class counts and how far its run has come.

    RUN is the directory or the beginning of the id of a representation, of features or of a classifier.

    Example: longtail show fashion_mnist_lt data.imbalance_factor=10
    """
    if schema == (reference is not None):
        raise click.UsageError("give either CONFIG or RUN, or --schema alone")
    if schema:
        from longtail.pipeline.config.schema import schema as described

        click.echo(json.dumps(described(), indent=1, ensure_ascii=False))
        return
    from longtail.pipeline.store.references import find_result, is_unknown
    from longtail.pipeline.tables.states import result_state, run_progress
    from longtail.pipeline.training.continuation import check_start
    from longtail.pipeline.work.class_chart import class_chart

    found = None if overrides else find_result(store, reference)
    if found is not None:
        click.echo(result_state(store, *found))
        return
    try:
        config = load_config(reference, overrides)
    except ConfigError as error:
        if is_unknown(error) and LIKE_AN_ID.fullmatch(reference):
            raise LongtailError(f"{reference}: no id under {store.root} begins so") from None
        raise
    check_choices(config, refuse=False)
    check_start(config, store)
    click.echo(strict_yaml.dump(config.full()).rstrip())
    click.echo()
    click.echo(class_chart(config))
    if config.representation is not None:
        run_id = representation_id(store, config)
        if store.folder("representations", run_id).exists():
            click.echo("\n" + "\n".join(run_progress(store, run_id)))


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path())
@click.option("--output", metavar="FILE", help="Where to write; FOLDER's name with .yaml by default.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(folder: str, output: str | None, force: bool) -> None:
    """Write a configuration for a folder of pictures, each choice with its reason.

    FOLDER holds a folder per class, alone or below train/, val/ and test/.

    Example: longtail init path/to/pictures
    """
    from longtail.pipeline.init.write import start

    click.echo(start(folder, output, force=force))


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--unfinished", is_flag=True, help="Remove unfinished results, too.")
@click.option("--states", is_flag=True, help="Remove optimiser states of finished runs, too.")
@click.pass_obj
def clean(store: Store, dry_run: bool, unfinished: bool, states: bool) -> None:
    """Print what takes how much space under the root, and remove what nothing needs.

    That is what killed processes left, and features whose representation is gone. Whatever was written within
    the hour stays, and so does every file that is not longtail's.

    Example: longtail clean --dry-run
    """
    from longtail.pipeline.store.clean import clean

    click.echo(clean(store, dry_run=dry_run, unfinished=unfinished, states=states))
