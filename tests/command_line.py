"""The command line in a test: one command, what it prints and how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from longtail.pipeline.cli import main
from tests.places import CHECKOUT

SMALL = ("digits_lt", "representation.epochs=2", "system.threads=1", "system.device=cpu")
SHORT = ("representation.epochs=1", "classifiers=[joint, ncm]", "system.device=cpu")
CLASSIFIERS = ["joint", "crt", "ncm", "tau_norm", "lws"]


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


def longtail(*arguments: str | Path) -> Outcome:
    """One command in this process, with everything it sets outside itself set back."""
    loggers = [logging.getLogger(name) for name in ("longtail", "py.warnings")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    handler, out, err = signal.getsignal(signal.SIGTERM), io.StringIO(), io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as caught,
        ):
            warnings.simplefilter("default", UserWarning)  # what it warns a person of is said, not raised
            main([str(argument) for argument in arguments])
    finally:
        logging.captureWarnings(False)
        signal.signal(signal.SIGTERM, handler)
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
    return Outcome(caught.value.code, out.getvalue(), err.getvalue())


def ok(*arguments: str | Path) -> Outcome:
    outcome = longtail(*arguments)
    assert outcome.status == 0, outcome.err
    assert "Traceback" not in outcome.err
    return outcome


def failed(status: int, *arguments: str | Path) -> list[str]:
    """Lines on standard error of a command that has to fail and to print nothing else."""
    outcome = longtail(*arguments)
    assert outcome.status == status, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    return outcome.err.splitlines()


def in_process(code: str, *arguments: str | Path, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=120, **options)


def records(root: Path, *arguments: str | Path) -> list[dict]:
    return json.loads(ok("--root", root, *arguments, "--format", "json").out)


def snapshot(root: Path) -> dict[str, int]:
    """Every file under `root` with its modification time."""
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in sorted(root.rglob("*")) if p.is_file()}


HEAVY = """
import sys
from longtail.pipeline.cli import main
from tests.places import CHECKOUT
status = 0
try:
    main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
heavy = {"torch", "torchvision", "numpy", "scipy", "sklearn", "faiss"} & set(sys.modules)
print("HEAVY", *sorted(heavy), file=sys.stderr)
sys.exit(status)
"""
MAIN = "import sys; from longtail.pipeline.cli import main; main(sys.argv[1:])"
