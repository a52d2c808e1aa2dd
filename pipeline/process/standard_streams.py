"""Standard output and standard error as they come: closed, full, or of an encoding without ≥ and ─."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

STANDARD_OUTPUT = "standard output"  # the file that its errors name
PLAIN = "plain"  # the name of the error handler for encoding
PLAIN_FORMS = {
    "≥": ">=", "≤": "<=", "≠": "!=", "−": "-", "–": "-", "─": "-", "│": "|", "·": "*", "×": "x", "±": "+-",
    "…": "...", "→": "->", "Δ": "diff. ", "τ": "tau", "λ": "lambda", "Σ": "sum ", "α": "alpha", "β": "beta",
    "γ": "gamma", "ε": "epsilon", "σ": "sigma", "ρ": "rho", "μ": "mu", "δ": "delta", "ω": "omega",
    **{raised: f"^{digit}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip


def prepare_streams() -> None:
    """At the start of a process: let no character and no missing stream make a command fail.

    A stream that the caller closed becomes the null device, so that no file gets its number. A character
    that an encoding lacks is written in a plain form, or as ``\\\\u…``, which JSON reads as well.
    """
    codecs.register_error(PLAIN, _in_plain_form)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None and not _is_open(number):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            raw = io.FileIO(number, "r" if name == "stdin" else "w", closefd=False)
            buffered = io.BufferedReader(raw) if name == "stdin" else io.BufferedWriter(raw)
            setattr(sys, name, io.TextIOWrapper(buffered, encoding="utf-8"))
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _naming_itself(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "surrogateescape":
            stream.reconfigure(errors=PLAIN)


class _StandardOutput(io.FileIO):
    """Standard output, whose errors say so."""

    def write(self, content) -> int:
        """Write `content`; an OSError names standard output as its file."""
        try:
            return super().write(content)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


def _naming_itself(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Standard output wrapped anew, with errors that name it; what was written before comes first."""
    stream.flush()
    raw = _StandardOutput(stream.fileno(), "w", closefd=False)
    options = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
    return io.TextIOWrapper(io.BufferedWriter(raw), **options)


def _in_plain_form(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler of :mod:`codecs`, for one character at a time."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    plain = PLAIN_FORMS.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")
    return plain, error.start + 1


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def silence(stream: io.TextIOBase) -> None:
    """Send what else is written to `stream`, and what it holds back, to the null device.

    For a standard error that takes no more: messages are for people, and losing them fails no work.
    """
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # not a file
        return
    stream.flush()
