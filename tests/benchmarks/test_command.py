"""The command line: how soon a finished run is recognised (`make bench`)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.benchmarks.measuring import best, report

pytestmark = pytest.mark.bench


def test_second_run_over_importing_its_libraries(tmp_path):
    arguments = ["--root", str(tmp_path), "run", "digits_lt", "representation.epochs=1"]
    run = [sys.executable, "-m", "longtail", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True, "env": os.environ}
    subprocess.run(run, **quiet)
    second = best(lambda: subprocess.run(run, **quiet))
    imports = best(lambda: subprocess.run([sys.executable, "-c", "import click, pydantic, yaml"], **quiet))
    report("second run", second, " s")
    report("second run over importing click, pydantic and yaml", second / imports)
    assert second < 10 * imports
