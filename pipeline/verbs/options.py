"""What verbs share: arguments, options, how records are printed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial, wraps

import click

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.record_table import records_text
from longtail.pipeline.tables.records import Record
from longtail.pipeline.tables.text import FORMATS
from longtail.pipeline.verbs.console import say

OVERRIDE = re.compile(r"[a-z_]\w*(\.\w+)*=")


def complete(what: str) -> Callable:
    """A shell's completion by a function of ``verbs/completion.py``, imported when a shell asks."""

    def completions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list:
        from longtail.pipeline.verbs import completion

        return getattr(completion, what)(context, parameter, incomplete)

    return completions


# -- arguments --------------------------------------------------------------------------------------------

config_argument = click.argument("config", metavar="CONFIG", shell_complete=complete("configs"))
overrides_argument = click.argument(
    "overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete("settings")
)
run_argument = click.argument("reference", metavar="RUN", shell_complete=complete("configs"))
config_or_run_argument = click.argument(
    "reference", metavar="CONFIG|RUN", required=False, shell_complete=complete("configs")
)


def verify_option(command: Callable) -> Callable:
    """``--verify``: the command's Store hashes data files anew."""

    def verifying(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
        if asked and context.obj is not None:  # None where a shell asks for completions
            context.obj = Store(context.obj.root, one_command=True, verify=True)

    return click.option(
        "--verify",
        is_flag=True,
        expose_value=False,
        callback=verifying,
        help="Read the data again, even where no time stamp says that they changed.",
    )(command)


def with_config(command: Callable) -> Callable:
    """``CONFIG [KEY=VALUE ...]`` and --verify: the command gets a validated Config and the Store."""

    @config_argument
    @overrides_argument
    @verify_option
    @click.pass_obj
    @wraps(command)
    def wrapped(store: Store, config: str, overrides: tuple[str, ...], **options):
        return command(load_config(config, overrides), store, **options)

    return wrapped


def split_overrides(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(files and folders, ``KEY=VALUE`` settings): what exists is a file, whatever its name."""
    settings = [word for word in words if OVERRIDE.match(word) and not os.path.exists(word)]
    return [word for word in words if word not in settings], settings


# -- options ----------------------------------------------------------------------------------------------


def format_option_of(formats: Sequence[str]) -> Callable:
    """``--format``, one of `formats`; the command gets it as ``form``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats),
        default="table",
        show_default=True,
        help="How to print.",
    )


format_option = format_option_of(FORMATS)
split_option = click.option(
    "--split",
    type=click.Choice(["test", "val", "all"]),
    default="test",
    show_default=True,
    help="The split to print results of.",
)
classes_option = click.option("--classes", is_flag=True, help="Print the accuracy of each class, by name.")
classifier_option = click.option(
    "--classifier",
    metavar="NAME",
    shell_complete=complete("classifiers"),
    help="A classifier of the run by name or id; the best on validation by default.",
)
fresh_option = click.option("--fresh", is_flag=True, help="Do it again even when it is done.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
force_option = click.option("--force", is_flag=True, help="Overwrite a file that exists, whatever it is.")


def table_options(command: Callable) -> Callable:
    """``--format``, ``--split`` and ``--classes``, of verbs that print results."""
    return format_option(split_option(classes_option(command)))


def page_options(command: Callable) -> Callable:
    """``--html``, ``--figures``, ``--figures-format``, ``--force``; the command gets ``page``, which writes.

    ``page(store, groups, rows, cells=...)`` is :func:`longtail.pipeline.page.page.write_page`; None when
    neither --html nor --figures was given. A missing extra, and a file in the way that is not longtail's, are
    reported before the command does anything.
    """

    @click.option(
        "--html", type=click.Path(dir_okay=False), metavar="FILE", help="Also write a page with figures."
    )
    @click.option(
        "--figures", type=click.Path(file_okay=False), metavar="DIR", help="Also write every figure."
    )
    @click.option("--figures-format", type=click.Choice(["svg", "png"]), help="Of --figures: svg by default.")
    @force_option
    @wraps(command)
    def wrapped(
        *args, html: str | None, figures: str | None, figures_format: str | None, force: bool, **options
    ):
        if figures_format and figures is None:
            raise click.UsageError("--figures-format is for --figures DIR")
        if not html and not figures:
            return command(*args, page=None, **options)
        from longtail.pipeline.page.page import check_outputs, need_libraries, write_page

        check_outputs(html, figures, force=force)
        need_libraries()
        page = partial(write_page, html=html, figures=figures, form=figures_format or "svg", force=force)
        return command(*args, page=page, **options)

    return wrapped


# -- printing ---------------------------------------------------------------------------------------------


def splits_of(choice: str) -> tuple[str, ...]:
    """The splits ``--split`` names."""
    return ("val", "test") if choice == "all" else (choice,)


def print_records(rows: list[Record], form: str, classes: bool) -> None:
    """Print records as `form`, or class by class."""
    if classes:
        from longtail.pipeline.tables.by_class import classes_text

        say(classes_text(rows, form))
    else:
        say(records_text(rows, form))
