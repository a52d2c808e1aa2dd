"""What is written to standard error: log lines, warnings, and one line for a failure."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import click


def fail(message: str, status: int) -> NoReturn:
    """Print `message`, ``error:`` before each line, and exit with `status`.

    With LONGTAIL_TRACEBACK set in the environment, the traceback is printed first.
    """
    if os.environ.get("LONGTAIL_TRACEBACK"):
        import traceback

        traceback.print_exc()
    for line in message.splitlines() or ["failed"]:
        click.echo(f"{_coloured('error:', 'red')} {line}", err=True)
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
            text = text.splitlines()[0].split("Warning: ", 1)[-1]
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
