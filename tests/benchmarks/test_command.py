"""The command line: how soon it answers, in multiples of importing what it is made with (`make bench`)."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import numpy as np
import pytest

from longtail.pipeline.files import data_hashes
from tests.benchmarks.measuring import best, report, rivals

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


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_second_run_on_50000_pictures_over_asking_for_their_stamps(tmp_path, options):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    for number in range(50_000):
        path = tmp_path / f"pictures/{number % 50:02d}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
    settings = [
        f"data.root={tmp_path}/pictures", "data.image_size=4", "representation.epochs=1",
        "representation.batch_size=1024", "representation.backbone=small_cnn", "classifiers=[ncm]",
        "representation.augment={pad: 0, flip: false}", "system.device=cpu",
    ]  # fmt: skip
    arguments = ["--root", str(tmp_path / "root"), "run", "image_folder", *settings]
    python("-m", "longtail", *arguments)
    time.sleep(data_hashes.SETTLED_NS / 1e9)  # files that were written just now are not trusted
    python("-m", "longtail", *arguments)
    listing = (
        "import os, click, pydantic, yaml\n"
        f"for top in os.scandir({str(tmp_path / 'pictures')!r}):\n"
        "    for entry in os.scandir(top.path): entry.stat()"
    )
    report(
        f"second {' '.join(['run', *options])}",
        best(lambda: python("-m", "longtail", *arguments, *options)),
        " s",
    )
    times = rivals(lambda: python("-c", listing), lambda: python("-m", "longtail", *arguments, *options))
    report("over importing its libraries and asking for every stamp", times)
    assert times < 5
