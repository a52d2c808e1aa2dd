"""How close the pipeline comes to what it is made of: ratios, each measured in one run (`make bench`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from pipeline.config import load_config
from pipeline.training import build
from stages.classifiers.tau_norm import tau_path
from stages.data import Splits
from stages.data.images import ImageArrays
from stages.features import BATCH, extract_features
from stages.representation import train_representation

pytestmark = pytest.mark.bench
ROUNDS = 5


def best(measure, rounds: int = ROUNDS) -> float:
    """Smallest of several timings, seconds."""

    def once() -> float:
        began = time.perf_counter()
        measure()
        return time.perf_counter() - began

    return min(once() for _ in range(rounds))


def report(what: str, value: float, unit: str = "") -> None:
    print(f"\n  {what}: {value:.3g}{unit}", end="")


def random_images(count: int, side: int, channels: int, classes: int = 10) -> ImageArrays:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    part = ImageArrays(images, rng.integers(0, classes, count))
    return part.normalized_like(part)


@pytest.mark.parametrize(("backbone", "batches", "floor"), [("resnet32", 12, 0.9), ("small_cnn", 60, 0.75)])
def test_stage_one_over_the_bare_step(backbone, batches, floor):
    overrides = [
        f"representation.backbone={backbone}",
        "representation.epochs=1",
        "representation.batch_size=128",
    ]
    config = load_config("digits_lt", [*overrides, "representation.augment={pad: 4, flip: true}"])
    part = random_images(128 * batches, 32, 3)
    counts = np.bincount(part.labels, minlength=10)
    splits = Splits(part, part, part, 10, counts, [str(c) for c in range(10)], (3, 32, 32))
    trainee = build(config, splits, "cpu", "float32", True)
    batch = next(trainee.batches.epoch(0))

    def stage_one():
        for _ in train_representation(
            trainee.network,
            trainee.batches,
            trainee.loss,
            trainee.optimizer,
            schedule=lambda *_: 1.0,
            epochs=1,
        ):
            pass

    def bare():
        trainee.network.train()
        for _ in range(batches):
            value = torch.nn.functional.cross_entropy(trainee.network(batch.inputs), batch.labels)
            trainee.optimizer.zero_grad(set_to_none=True)
            value.backward()
            trainee.optimizer.step()

    bare(), stage_one()
    ratio = best(bare) / best(stage_one)
    report(f"stage one over the bare step, {backbone}", ratio)
    assert ratio > floor


def test_extraction_over_the_bare_forward():
    config = load_config("digits_lt", ["representation.backbone=resnet20"])
    part = random_images(4 * BATCH, 32, 3)
    counts = np.bincount(part.labels, minlength=10)
    network = build(
        config, Splits(part, part, part, 10, counts, [], (3, 32, 32)), "cpu", "float32", True
    ).network
    batch = part.batch(range(BATCH))

    def bare():
        network.eval()
        with torch.inference_mode():
            for _ in range(4):
                network.backbone(batch)

    bare()
    ratio = best(bare) / best(lambda: extract_features(network.backbone, part))
    report("extraction over the bare forward, resnet20", ratio)
    assert ratio > 0.8


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
