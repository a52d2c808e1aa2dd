"""The main job on real images: Debian's dataset-fashion-mnist."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.work.execute import run_stage_two

FOLDER = Path("/usr/share/datasets/fashion-mnist")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="Fashion-MNIST is not installed (apt-get install dataset-fashion-mnist)"
)


def test_retrained_classifiers_beat_joint_on_long_tailed_fashion_mnist(store):
    config = load_config(
        "fashion_mnist_lt_small", [f"data.root={FOLDER}", "representation.epochs=3", "data.max_count=3000"]
    )
    results = {r.classifier: r.metrics["test"] for r in run_stage_two(config, store)}
    assert set(results) == {"joint", "crt", "ncm", "tau_norm", "lws"}
    joint = results["joint"]
    assert 0.3 < joint["balanced_accuracy"] < 0.8
    for name in ("crt", "ncm", "lws"):
        assert results[name]["balanced_accuracy"] > joint["balanced_accuracy"] + 0.05, name
    assert results["crt"]["few"] > joint["few"] + 0.1
    assert results["crt"]["class_accuracy_std"] < joint["class_accuracy_std"]
