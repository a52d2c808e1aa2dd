"""The one place where text goes to a terminal: results, log lines, warnings, and one line for a failure.

Names of files and classes, settings and messages of libraries may hold anything: what a terminal would obey
instead of showing is escaped here.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import click

from longtail.stages.wording import excerpt, for_terminal

MOST_LINE = 2000  # characters of a line of an error; it may quote what somebody wrote


def say(text: object) -> None:
    """Print a result on standard output."""
    click.echo(for_terminal(str(text)))


def error_text(error: Exception) -> str:
    """What an exception says, without Python's ``[Errno 28]``: ``/x/DONE: No space left on device``."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def fail(message: str, status: int) -> NoReturn:
    """Print `message`, ``error:`` before each line, and exit with `status`.

    With LONGTAIL_TRACEBACK set in the environment, the traceback is printed first.
    """
    if os.environ.get("LONGTAIL_TRACEBACK"):
        import traceback

        click.echo(for_terminal(traceback.format_exc()), err=True, nl=False)
    for line in (message.strip("\n") or "failed").split("\n"):
        shown = for_terminal(excerpt(line, MOST_LINE))
        click.echo(f"{_coloured('error:', 'red')} {shown}", err=True)
    sys.exit(status)


def log_to_stderr() -> None:
    """Send the program's log and Python's warnings to standard error, a line each."""
    handler = _StderrHandler()
    logging.captureWarnings(True)
    for name in ("longtail", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    set_log_level(logging.INFO)


def set_log_level(level: int) -> None:
    """Show messages of `level` and above: DEBUG, INFO or WARNING."""
    logging.getLogger("longtail").setLevel(level)


def _coloured(word: str, colour: str) -> str:
    """`word` in colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or not sys.stderr.isatty()
    return word if plain else click.style(word, fg=colour)


class _StderrHandler(logging.Handler):
    """Lines on standard error that leave a progress bar whole; a repeated warning is shown once."""

    def __init__(self):
        super().__init__()
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == "py.warnings":  # "file:line: Category: text\n  source"
            text = text.split("\n")[0].split("Warning: ", 1)[-1]
        text = for_terminal(text)
        if record.levelno >= logging.WARNING:
            text = f"{_coloured('warning:', 'yellow')} {text}"
            if text in self.shown:  # each stage that needs the data reads them, and warns
                return
            self.shown.add(text)
        tqdm = sys.modules.get("tqdm")
        if tqdm is None:
            click.echo(text, err=True)
        else:
            tqdm.tqdm.write(text, file=sys.stderr)
