"""Data of one's own from end to end."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.command_line import (
    CLASSIFIERS,
    failed,
    ok,
    snapshot,
)
from tests.pipeline.verbs.keys import RECORD_KEYS
from tests.stages.data.written_sets import write_pictures


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Long-tailed digits: images (N, 8, 8) of 0…16 and labels, 60, 40, 25 and 12 of four classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images, load_digits().target
    rows = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in enumerate((60, 40, 25, 12))])
    return images[rows], labels[rows]


def test_features_of_ones_own_run_end_to_end(tmp_path, pixels):
    images, labels = pixels
    np.savez(tmp_path / "features.npz", X=images.reshape(-1, 64).astype(np.float32), y=labels)
    command = [
        "--root",
        tmp_path / "root",
        "run",
        "features",
        f"data.root={tmp_path}/features.npz",
        "evaluation.many=30",
    ]
    outcome = ok(*command)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("feature_arrays · seed 0 · ") and "epochs" not in lines[0]
    assert [line.split("  ")[0].split(" tau=")[0] for line in lines[3:-1]] == [
        "joint (linear)",
        *CLASSIFIERS[1:],
    ]
    assert "training" not in outcome.err
    rows = json.loads(ok(*command, "--format", "json").out)
    assert [row["classifier"] for row in rows] == CLASSIFIERS
    assert all(row["representation"] is None and list(row) == RECORD_KEYS for row in rows)
    assert "is_linear_fit_" not in rows[0]["params"]
    assert all(row["metrics"]["balanced_accuracy"] > 0.8 for row in rows if row["classifier"] != "lws")
    assert not (tmp_path / "root" / "representations").exists()
    before = snapshot(tmp_path / "root")
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "features.npz").rename(tmp_path / "moved" / "f.npz")
    again = ok(*command[:4], f"data.root={moved}", "evaluation.many=30")
    assert again.out == outcome.out and snapshot(tmp_path / "root") == before


def test_features_of_two_archives_are_two_tables(tmp_path, pixels):
    images, labels = pixels
    for name, scale in (("a", 1.0), ("b", 0.5)):
        np.savez(tmp_path / f"{name}.npz", X=images.reshape(-1, 64).astype(np.float32) * scale, y=labels)
        ok(
            "--root",
            tmp_path / "root",
            "run",
            "features",
            f"data.root={tmp_path}/{name}.npz",
            "classifiers=[ncm]",
        )
    tables = ok("--root", tmp_path / "root", "report").out.split("\n\n")
    assert len(tables) == 2
    assert len({table.splitlines()[0] for table in tables}) == 2
    assert all("*" not in table for table in tables)  # nothing to be better than


def test_folder_of_pictures_runs_end_to_end(tmp_path, pixels):
    from PIL import Image

    images, labels = pixels
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "pictures" / f"digit {label}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
    command = [
        "--root", tmp_path / "root", "run", "image_folder", f"data.root={tmp_path}/pictures",
        "data.image_size=8", "data.mode=gray", "representation.backbone=small_cnn", "evaluation.many=30",
        "representation.augment={pad: 1, flip: false}", "representation.epochs=1",
        "representation.optimizer.lr=0.05", "system.threads=1", "system.device=cpu",
    ]  # fmt: skip
    outcome = ok(*command)
    assert outcome.out.startswith("image_folder · small_cnn · ")
    rows = json.loads(ok(*command, "--format", "json").out)
    assert [row["classifier"] for row in rows] == CLASSIFIERS
    assert all(len(row["metrics"]["class_accuracy"]) == 4 for row in rows)
    assert all(row["metrics"]["top5_accuracy"] is None for row in rows)  # four classes
    chart = ok(*command[:2], "show", *command[3:]).out
    assert re.search(r"digit 0 +43 ", chart)  # 60 less a fifth for test and a tenth of the rest
    assert ok(*command).out == outcome.out


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["set"], "error: the data have one class, 'set'; there must be at least two"),
        (["Training", "Testing"], "error: data.root: {root} holds Testing, Training: parts of a set by their "
         "names, but without a folder per class; set data.train=Training, data.test=Testing if they are, or "
         "data.train=. if each folder is a class"),
    ],
)  # fmt: skip
def test_folder_without_two_classes_is_refused_before_training(tmp_path, folders, message):
    write_pictures(tmp_path / "p", dict.fromkeys(folders, 1))
    command = ["--root", tmp_path / "root", "run", "image_folder", f"data.root={tmp_path}/p"]
    assert failed(1, *command) == [message.format(root=tmp_path / "p")]
    assert not (tmp_path / "root" / "representations").exists()


def test_data_without_test_samples_print_no_table_and_say_so(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "f.npz", X=rng.normal(size=(20, 3)).astype(np.float32), y=np.arange(20) % 2)
    run = ["--root", tmp_path / "root", "run", "features", f"data.root={tmp_path / 'f.npz'}",
           "classifiers=[ncm]", "data.test_fraction=0"]  # fmt: skip
    outcome = ok(*run)
    assert outcome.out == ""
    assert "warning: nothing was evaluated on test: the data have no such split" in outcome.err
    assert ok(*run, "--format", "json").out == "[]\n"
    assert "ncm" in ok(*run, "--split", "all").out
