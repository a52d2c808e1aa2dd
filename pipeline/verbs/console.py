"""The one place that prints: results, log lines, warnings, and one line for a failure.

Names of files and classes, settings and messages of libraries may hold anything: what a terminal would obey
instead of showing is escaped here.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

import click

from longtail.pipeline.process.standard_streams import silence
from longtail.stages.wording import excerpt, for_terminal

MOST_LINE = 2000  # characters of a line of an error; it may quote what somebody wrote
MOST_SHOWN = 300  # characters of a bug's message

UNEXPECTED = 70  # the exit status of a bug; EX_SOFTWARE of sysexits.h
_show_tracebacks = False


def say(text: object) -> None:
    """Print a result on standard output."""
    click.echo(for_terminal(str(text)))


def show_tracebacks(wanted: bool) -> None:
    """Whether :func:`fail` prints the traceback of the exception at hand before its line."""
    global _show_tracebacks
    _show_tracebacks = wanted


def fail(message: str, status: int) -> NoReturn:
    """Print `message`, ``error:`` before each line, and exit with `status`."""
    if _show_tracebacks:
        write_to_stderr(for_terminal(_traceback().rstrip()))
    for line in (message.strip("\n") or "failed").split("\n"):
        shown = for_terminal(excerpt(line, MOST_LINE))
        write_to_stderr(f"{_coloured('error:', 'red')} {shown}")
    sys.exit(status)


def fail_unexpectedly(error: Exception) -> NoReturn:
    """Say in one line that `error` is a bug, keep its traceback in a file, and exit with UNEXPECTED."""
    import tempfile

    what = " ".join(f"{type(error).__name__}: {error}".split())
    try:
        file, path = tempfile.mkstemp(prefix="longtail-", suffix="-traceback.txt")
        with open(file, "w", encoding="utf-8", errors="backslashreplace") as written:
            written.write(f"{' '.join(sys.argv)}\n\n{_traceback()}")
        where = f"the traceback is in {path}"
    except OSError as reason:
        where = f"its traceback could not be written ({reason.strerror}); longtail --debug shows it"
    fail(f"a mistake in longtail: {what[:MOST_SHOWN]} ({where})", UNEXPECTED)


def _traceback() -> str:
    """The traceback of the exception at hand, and the one it has in a worker process."""
    import traceback

    return traceback.format_exc() + getattr(sys.exc_info()[1], "trace", "")


def write_to_stderr(text: str) -> None:
    """Write a line to standard error; if that takes no more, the line is lost and the work goes on."""
    try:
        tqdm = sys.modules.get("tqdm")
        if tqdm is None:
            click.echo(text, err=True)
        else:
            tqdm.tqdm.write(text, file=sys.stderr)
    except OSError:
        silence(sys.stderr)


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
        write_to_stderr(text)
