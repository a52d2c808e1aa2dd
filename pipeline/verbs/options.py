"""What verbs share: arguments, options, how records are printed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial, wraps

import click

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.record_table import records_text
from longtail.pipeline.tables.records import Record
from longtail.pipeline.tables.text import FORMATS

OVERRIDE = re.compile(r"[a-z_]\w*(\.\w+)*=")


def complete(what: str) -> Callable:
    """A shell's completion by a function of ``verbs/completion.py``, imported when a shell asks."""

    def completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list:
        from longtail.pipeline.verbs import completion

        return getattr(completion, what)(context, parameter, incomplete)

    return completed


config_argument = click.argument("config", metavar="CONFIG", shell_complete=complete("configs"))
overrides_argument = click.argument(
    "overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete("settings")
)


def with_config(command: Callable) -> Callable:
    """``CONFIG [KEY=VALUE ...]``: the command gets a validated Config and the Store."""

    @config_argument
    @overrides_argument
    @click.pass_obj
    @wraps(command)
    def wrapped(store: Store, config: str, overrides: tuple[str, ...], **options):
        return command(load_config(config, overrides), store, **options)

    return wrapped


format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How to print."
)
split_option = click.option(
    "--split",
    type=click.Choice(["test", "val", "all"]),
    default="test",
    show_default=True,
    help="Records of which split.",
)
classifier_option = click.option(
    "--classifier",
    metavar="NAME",
    shell_complete=complete("classifiers"),
    help="A classifier of the run by name or id; the best on validation by default.",
)


def page_options(command: Callable) -> Callable:
    """``--html``, ``--figures`` and ``--figures-format``; the command gets ``page``, what to write them by.

    ``page(store, groups, rows, cells=...)`` is :func:`longtail.pipeline.page.page.write_page`; None when
    neither was asked for. A missing extra is found before the command does anything.
    """

    @click.option(
        "--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page with figures, too."
    )
    @click.option(
        "--figures", type=click.Path(file_okay=False), metavar="DIR", help="Write every figure, too."
    )
    @click.option("--figures-format", type=click.Choice(["svg", "png"]), help="Of --figures: svg by default.")
    @wraps(command)
    def wrapped(*args, html: str | None, figures: str | None, figures_format: str | None, **options):
        if figures_format and figures is None:
            raise click.UsageError("--figures-format is for --figures DIR")
        if not html and not figures:
            return command(*args, page=None, **options)
        from longtail.pipeline.page.page import need_libraries, write_page

        need_libraries()
        page = partial(write_page, html=html, figures=figures, form=figures_format or "svg")
        return command(*args, page=page, **options)

    return wrapped


classes_option = click.option("--classes", is_flag=True, help="Show accuracy class by class, by name.")
fresh_option = click.option("--fresh", is_flag=True, help="Do it again even when it is done.")


def splits_of(choice: str) -> tuple[str, ...]:
    """The splits ``--split`` names."""
    return ("val", "test") if choice == "all" else (choice,)


def split_overrides(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(files and folders, ``KEY=VALUE`` settings): what exists is a file, whatever its name."""
    settings = [word for word in words if OVERRIDE.match(word) and not os.path.exists(word)]
    return [word for word in words if word not in settings], settings


def echo(rows: list[Record], form: str, classes: bool) -> None:
    """Print records as `form`, or class by class."""
    from longtail.pipeline.tables.by_class import classes_text

    click.echo(classes_text(rows, form) if classes else records_text(rows, form))
