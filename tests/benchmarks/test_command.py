"""The command line: how soon it answers, in multiples of importing what it is made with (`make bench`)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.measuring import report, rivals

pytestmark = pytest.mark.bench

ROUNDS = 15


def python(*arguments: str) -> None:
    """One process, from start to end."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_over_importing_click(option):
    times = rivals(
        lambda: python("-c", "import click"), lambda: python("-m", "longtail", option), rounds=ROUNDS
    )
    report(f"{option} over importing click", times)
    assert times < 3.5


def test_second_run_over_importing_its_libraries(tmp_path):
    arguments = ["--root", str(tmp_path), "run", "digits_lt", "representation.epochs=1"]
    python("-m", "longtail", *arguments)
    times = rivals(
        lambda: python("-c", "import click, pydantic, yaml"),
        lambda: python("-m", "longtail", *arguments),
        rounds=ROUNDS,
    )
    report("second run over importing click, pydantic and yaml", times)
    assert times < 10
