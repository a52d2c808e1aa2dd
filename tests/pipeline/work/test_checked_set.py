"""The check of a set before training: in `run`, `show --check` and `init`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.checked_set import set_findings, warn_of_set
from tests.command_line import failed, ok
from tests.stages.data.written_sets import write_features, write_pictures

LEAK = "train and test hold 1 sample alike (train/cat/000.png = test/cat/copy.png): test measures"


@pytest.fixture
def pictures(tmp_path) -> Path:
    return write_pictures(tmp_path / "p", {"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 2})


def config_of(root: Path, *settings: str):
    return load_config("image_folder", [f"data.root={root}", *settings])


def findings(tmp_path: Path, root: Path, *settings: str) -> list[str]:
    return set_findings(config_of(root, *settings), Store(tmp_path / "root"))


@pytest.mark.parametrize("identity", ["content", "stat"])
def test_leak_between_folders_is_named_by_both_files(pictures, tmp_path, identity):
    setting = f"data.identity={identity}"
    assert findings(tmp_path, pictures, setting) == []
    shutil.copy(pictures / "train/cat/000.png", pictures / "test/cat/copy.png")
    (finding,) = findings(tmp_path, pictures, setting)
    assert finding.startswith(LEAK)
    limited = set_findings(config_of(pictures, setting), Store(tmp_path / "root"), most=10)
    assert limited == ([finding] if identity == "content" else [])  # what is hashed already is not read


def test_copies_in_a_pool_that_is_split_and_in_two_classes_are_named(pictures, tmp_path):
    pool = pictures / "train"
    shutil.copy(pool / "cat/000.png", pool / "cat/again.png")
    shutil.copy(pool / "cat/001.png", pool / "dog/other.png")
    assert findings(tmp_path, pool) == [
        "1 sample is in several classes (cat/001.png in 'cat' = dog/other.png in 'dog'): "
        "one label at most is right",
        "1 sample of train is a copy (cat/000.png = cat/again.png): some leak into val and test",
    ]
    nothing = ("data.test_fraction=0", "data.validation_per_class=0")
    assert len(findings(tmp_path, pool, *nothing)) == 1


def test_list_with_copies_under_other_names_is_found(pictures, tmp_path):
    shutil.copy(pictures / "train/cat/000.png", pictures / "test/cat/copy.png")
    (tmp_path / "train.txt").write_text("train/cat/000.png 0\ntrain/dog/000.png 1\n")
    (tmp_path / "test.txt").write_text("test/cat/copy.png 0\ntest/dog/000.png 1\n")
    lists = [f"data.{part}={tmp_path}/{part}.txt" for part in ("train", "test")]
    config = load_config("image_list", [f"data.root={pictures}", *lists])
    (finding,) = set_findings(config, Store(tmp_path / "root"))
    assert finding.startswith(LEAK)


def test_rows_of_arrays_are_compared(tmp_path):
    arrays = write_features(tmp_path / "f", parts=("train", "test"))
    config = load_config("features", [f"data.root={tmp_path}/f"])
    assert set_findings(config, Store(tmp_path / "root")) == []
    arrays["test.X"][4] = arrays["train.X"][7]
    np.save(tmp_path / "f" / "test.X.npy", arrays["test.X"])
    (finding,) = set_findings(config, Store(tmp_path / "root"))
    assert finding.startswith("train and test hold 1 sample alike (train[7] = test[4])")
    assert set_findings(config, Store(tmp_path / "root"), most=10) == []


def test_same_data_are_checked_once_by_a_command(pictures, tmp_path, caplog):
    shutil.copy(pictures / "train/cat/000.png", pictures / "test/cat/copy.png")
    store = Store(tmp_path / "root")
    for epochs in (1, 2):
        warn_of_set(config_of(pictures, f"representation.epochs={epochs}"), store)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_run_warns_before_it_trains_and_says_nothing_when_it_is_done(pictures, tmp_path):
    shutil.copy(pictures / "train/cat/000.png", pictures / "test/cat/copy.png")
    run = ["--root", tmp_path / "root", "run", "image_folder", f"data.root={pictures}", "data.image_size=8",
           "representation.backbone=small_cnn", "representation.epochs=1", "classifiers=[ncm]",
           "system.threads=1", "system.device=cpu"]  # fmt: skip
    assert ok(*run).err.count(f"warning: {LEAK}") == 1
    assert "alike" not in ok(*run).err


def test_show_and_init_tell_of_the_same(pictures, tmp_path):
    show = ["--root", tmp_path / "root", "show", "image_folder", f"data.root={pictures}", "data.image_size=8"]
    assert ok(*show, "--check").out.endswith(
        "\ncheck: no copies across splits or classes\n"
        "check: 2 classes have fewer than 5 test samples (cat 2, dog 2): accuracy in steps of up to 50 %\n"
        "check: validation has only 2 samples of 2 classes: what is chosen on it is uncertain\n"
    )
    init = ["init", pictures, "--output", tmp_path / "c.yaml", "--force"]
    assert "alike" not in ok(*init).err
    shutil.copy(pictures / "train/cat/000.png", pictures / "test/cat/copy.png")
    assert f"\ncheck: {LEAK}" in ok(*show, "--check").out
    assert "check:" not in ok(*show).out
    assert f"warning: {LEAK}" in ok(*init).err
    (line,) = failed(2, "show", "--schema", "--check")[-1:]
    assert "give either CONFIG or RUN" in line
