"""Thousands of results under one root: what one run is asked does not depend on the others (`make bench`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtail.pipeline.store.result_index import SETTLED_NS
from tests.benchmarks.measuring import best, report
from tests.pipeline.store.many_results import many_results

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

FEW, MANY, MOST = 5, 5000, 50_000


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """``roots(count)``: a root with so many finished classifiers, whose files have settled."""
    top = tmp_path_factory.mktemp("roots")

    def make(count: int) -> Path:
        root = top / str(count)
        if not root.exists():
            many_results(root, count)
            for number in range(0, count, 5):
                os.makedirs(root / "representations" / f"{number // 5:016x}")
            time.sleep(SETTLED_NS / 1e9)
        return root

    yield make
    shutil.rmtree(top)


def seconds(root: Path, *arguments: str, rounds: int = 3) -> float:
    """What a command takes once the results are indexed."""
    command = [sys.executable, "-m", "longtail", "--quiet", "--root", str(root), *arguments]

    def run() -> None:
        subprocess.run(command, check=True, capture_output=True)

    run()
    return best(run, rounds)


@pytest.mark.parametrize("verb", ["show", "report"])
def test_one_run_among_thousands_over_one_among_few(roots, verb):
    run = f"{0:016x}"
    times = {count: seconds(roots(count), verb, str(roots(count) / "representations" / run)) for count in
             (FEW, MANY, MOST)}  # fmt: skip
    for count in (MANY, MOST):
        report(f"{verb} of a run among {count} classifiers, seconds", times[count], " s")
    assert times[MANY] < times[FEW] + 0.5
    assert times[MOST] < times[FEW] + 5


def test_report_of_everything(roots):
    times = {count: seconds(roots(count), "report", rounds=2) for count in (MANY, MOST)}
    for count, taken in times.items():
        report(f"report of {count} classifiers, seconds", taken, " s")
    assert times[MOST] < 12 * times[MANY]
