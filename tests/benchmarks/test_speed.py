"""Stage two and the command line: ratios, each measured in one run (`make bench`)."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from stages.classifiers.tau_norm import tau_path
from tests.benchmarks.measuring import best, report

pytestmark = pytest.mark.bench


def test_exact_tau_path_over_a_grid_of_21_products():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5000, 256)).astype(np.float32)
    weight = rng.standard_normal((200, 256)).astype(np.float32) * rng.uniform(0.5, 2, (200, 1)).astype(
        np.float32
    )
    y = rng.integers(0, 200, 5000)
    norms = np.linalg.norm(weight, axis=1, keepdims=True)

    def grid():
        for tau in np.linspace(0, 1, 21):
            ((X @ (weight / norms**tau).T).argmax(1) == y).mean()

    ratio = best(grid) / best(lambda: tau_path(X, y, weight))
    report("a 21-point grid over the exact τ path", ratio)
    assert ratio > 0.5


def test_second_run_over_importing_its_libraries(tmp_path):
    arguments = ["--root", str(tmp_path), "run", "digits_lt", "representation.epochs=1"]
    run = [sys.executable, "-m", "pipeline.cli", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True, "env": os.environ}
    subprocess.run(run, **quiet)
    second = best(lambda: subprocess.run(run, **quiet))
    imports = best(lambda: subprocess.run([sys.executable, "-c", "import click, pydantic, yaml"], **quiet))
    report("second run", second, " s")
    report("second run over importing click, pydantic and yaml", second / imports)
    assert second < 10 * imports
