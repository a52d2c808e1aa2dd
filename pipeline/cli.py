"""The command line: one verb a stage, results on standard output, everything else on standard error."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from contextlib import nullcontext, suppress

import click

from longtail.pipeline.errors import ConfigError, Interrupted, in_words
from longtail.pipeline.process.interrupt import stop_at_once
from longtail.pipeline.process.standard_streams import STANDARD_OUTPUT, prepare_streams, silence
from longtail.pipeline.verbs.catalogue import HELP_OPTIONS, VERBS, LazyCommand
from longtail.pipeline.verbs.console import (
    fail,
    fail_unexpectedly,
    log_to_stderr,
    set_log_level,
    show_tracebacks,
    write_to_stderr,
)
from longtail.stages.wording import for_terminal


def import_components(context: click.Context, parameter: click.Parameter, modules: tuple[str, ...]) -> None:
    """Make components from outside known, for commands and for the shell's completion, which stays silent."""
    if not modules:  # the configuration is not loaded for this
        return
    from longtail.pipeline.config.imports import use_imports

    with suppress(ConfigError) if context.resilient_parsing else nullcontext():
        use_imports(modules)


@click.group(context_settings=HELP_OPTIONS)
@click.option(
    "--root",
    type=click.Path(file_okay=False),
    default="checkpoints",
    show_default=True,
    envvar="LONGTAIL_ROOT",
    help="Where results are kept.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Print more: ids, what is done already, how long things take."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only results, warnings and errors.")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda context, parameter, wanted: show_tracebacks(True) if wanted else None,
    help="Show the traceback of a failure.",
)
@click.option(
    "--import",
    metavar="MODULE",
    multiple=True,
    expose_value=False,
    callback=import_components,
    help="Use the components of a module or .py file, too; may be repeated.",
)
@click.version_option(package_name="longtail", prog_name="longtail")
@click.pass_context
def cli(context: click.Context, root: str, verbose: bool, quiet: bool) -> None:
    """Train on long-tailed data in two stages: a representation, then classifiers on its frozen features.

    CONFIG is a YAML file or the name of a shipped recipe (`longtail list configs`); KEY=VALUE overrides a
    setting, e.g. `seed=1` or `representation.epochs=10`. Finished work is never repeated.

    Example: longtail run digits_lt
    """
    from longtail.pipeline.store.store import Store

    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet exclude each other")
    if verbose or quiet:
        set_log_level(logging.DEBUG if verbose else logging.WARNING)
    context.obj = Store(root, one_command=True)


for name in VERBS:
    cli.add_command(LazyCommand(name))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 failure, 2 usage, 70 a bug, 130 interrupt, 143 terminated.

    A failure prints one line; with --debug or LONGTAIL_TRACEBACK=1 in the environment, its traceback as well.
    A bug leaves its traceback in a file.
    """
    prepare_streams()
    log_to_stderr()
    show_tracebacks(bool(os.environ.get("LONGTAIL_TRACEBACK")))
    signal.signal(signal.SIGTERM, stop_at_once)
    try:
        cli.main(arguments, prog_name="longtail", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(0)
    except click.ClickException as error:
        shown = io.StringIO()
        error.message = for_terminal(error.message)
        error.show(file=shown)
        write_to_stderr(shown.getvalue().rstrip("\n"))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("stopped", 130)
    except Interrupted as error:
        fail(str(error), 128 + error.signum)
    except BrokenPipeError:  # the reader of our output left: nothing to print, and nobody to read it
        silence(sys.stdout)
        sys.exit(1)
    except ConfigError as error:
        fail(str(error), 2)
    except Exception as error:
        if getattr(error, "filename", None) == STANDARD_OUTPUT:
            silence(sys.stdout)  # else the rest is tried again as the interpreter ends
        words = in_words(error)
        if words is None:
            fail_unexpectedly(error)
        fail(words, 1)


if __name__ == "__main__":
    main()
