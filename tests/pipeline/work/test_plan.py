"""`run --dry-run` says what a run then does, and does none of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.inventory import PART
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.execute import run_stage_two
from longtail.pipeline.work.plan import plan_text, planned_steps
from tests.command_line import HEAVY, failed, ok, snapshot
from tests.command_line import SHORT as ONE
from tests.places import CHECKOUT

COMMAND = ("digits_lt", "representation.epochs=1", "classifiers=[joint, ncm]")


@pytest.fixture
def copy(short_run, copy_of) -> Store:
    """The finished root, to be spoilt."""
    return Store(copy_of(short_run))


def todos(config, store, **options) -> list[str]:
    return [step.todo for step in planned_steps(config, store, **options)]


def only(store: Store, kind: str) -> Path:
    (path,) = (store.root / kind).iterdir()
    return path


def test_nothing_done_means_everything_after_training(digits, store):
    steps = planned_steps(digits(*ONE), store)
    assert [(step.stage, step.label) for step in steps] == [
        ("representation", "small_cnn"), ("features", "last"), ("classifier", "joint"), ("classifier", "ncm"),
    ]  # fmt: skip
    assert [step.todo for step in steps] == ["would train 1 epoch", "would extract", "would fit", "would fit"]
    assert steps[0].id == representation_id(store, digits(*ONE))
    assert [step.id for step in steps[1:]] == [None] * 3
    assert not any(step.done for step in steps)
    assert not store.root.exists()


def test_everything_done_names_what_lies_on_disk(short_run, digits):
    steps = planned_steps(digits(*ONE), Store(short_run))
    assert all(step.done for step in steps)
    for kind, ids in (
        ("representations", {steps[0].id}),
        ("features", {steps[1].id}),
        ("classifiers", {steps[2].id, steps[3].id}),
    ):
        assert ids == {path.name for path in (short_run / kind).iterdir()}


def test_another_classifier_is_all_that_would_be_fitted(short_run, digits):
    config = digits(*ONE, "classifiers=[joint, {name: tau_norm, tau: 0.5}]")
    assert todos(config, Store(short_run)) == ["done", "done", "done", "would fit"]
    assert planned_steps(config, Store(short_run))[-1].label == "tau_norm tau=0.5"


def test_fresh_would_do_everything_again(short_run, digits):
    assert todos(digits(*ONE), Store(short_run), fresh=True) == [
        "would train 1 epoch", "would extract", "would fit", "would fit",
    ]  # fmt: skip


def test_features_that_no_classifier_waits_for_are_not_extracted(copy, digits):
    shutil.rmtree(only(copy, "features"))
    assert todos(digits(*ONE), copy)[1] == "not needed, every classifier is done"
    before = snapshot(copy.root)
    run_stage_two(digits(*ONE), copy)
    assert snapshot(copy.root) == before  # as was said
    other = digits(*ONE, "classifiers=[lws]")
    assert todos(other, copy)[1:] == ["would extract", "would fit"]
    key = planned_steps(other, copy)[1].id
    copy.folder("features", key + PART).mkdir(parents=True)
    assert todos(other, copy)[1] == "would go on extracting"


@pytest.mark.parametrize(
    ("checkpoints", "expected"),
    [
        (["epoch-0006"], "would go on at epoch 7 of 30"),
        (["epoch-0005", "epoch-0006-batch-000012"], "would go on at epoch 7 of 30"),
        (["epoch-0000-batch-000004"], "would go on at epoch 1 of 30"),
        (["epoch-0030"], "would finish, 30 epochs are trained"),
        ([], "would train 30 epochs"),
    ],
)
def test_training_goes_on_from_the_newest_checkpoint(digits, store, checkpoints, expected):
    config = digits("representation.epochs=30")
    folder = store.folder("representations", representation_id(store, config))
    folder.mkdir(parents=True)
    for stem in checkpoints:
        (folder / f"{stem}.state").touch()
        (folder / f"{stem}.safetensors").touch()
    (folder / "epoch-0028.safetensors").touch()  # weights alone are nothing to go on from
    (folder / "epoch-0029.state").touch()  # nor is a state
    assert todos(config, store)[0] == expected


def test_finished_run_without_its_done_would_be_finished(copy, digits):
    (only(copy, "representations") / "DONE").unlink()
    assert todos(digits(*ONE), copy)[0] == "would finish, 1 epoch is trained"


def test_features_as_data_need_no_representation(tmp_path, store):
    import numpy as np

    from longtail.pipeline.config.loading import load_config

    np.savez(tmp_path / "f.npz", X=np.eye(12, dtype=np.float32), y=np.arange(12) % 2)
    config = load_config("features", [f"data.root={tmp_path}/f.npz", "classifiers=[ncm]"])
    steps = planned_steps(config, store)
    assert [(step.stage, step.label, step.todo) for step in steps] == [
        ("features", "given", "would extract"), ("classifier", "ncm", "would fit"),
    ]  # fmt: skip
    assert None not in [step.id for step in steps]
    run_stage_two(config, store)
    assert todos(config, store) == ["done", "done"]
    assert todos(config, store, fresh=True) == ["would extract", "would fit"]


def test_plan_names_what_training_starts_from_and_when_it_stops(short_run, digits):
    store = Store(short_run)
    (folder,) = (short_run / "representations").iterdir()
    for override, expected in (
        (f"representation.init={folder.name}", f"would train 9 epochs, going on from {folder.name}"),
        ("representation.early_stopping=3", "would train at most 9 epochs"),
    ):
        assert todos(digits("representation.epochs=9", override), store)[0] == expected
    given = f"representation.weights={folder / 'epoch-0001.safetensors'}"
    config = digits(given, "representation.epochs=0")
    assert todos(config, store)[0] == "would take the weights as they are given"


def test_component_in_a_classifier_is_named(short_run, digits):
    config = digits("classifiers=[{name: crt, sampler: {name: power, q: 0.3}}]")
    assert planned_steps(config, Store(short_run))[-1].label == "crt sampler=power(q=0.3)"


def test_rows_stand_in_columns(short_run, digits):
    steps = planned_steps(digits(*ONE), Store(short_run))
    lines = plan_text(steps).splitlines()
    assert len({line.index(step.id) for line, step in zip(lines, steps, strict=True)}) == 1
    assert all(line.endswith("  done") for line in lines)


def test_command_loads_nothing_heavy_and_writes_nothing(tmp_path, short_run):
    before = snapshot(short_run)
    for root in (short_run, tmp_path / "none"):
        command = [sys.executable, "-c", HEAVY, "--root", root, "run", *COMMAND, "--dry-run"]
        process = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
        assert (process.returncode, process.stderr.strip()) == (0, "HEAVY")
        assert process.stdout.splitlines()[0].startswith("representation  small_cnn  ")
    assert snapshot(short_run) == before
    assert not (tmp_path / "none").exists()


def test_hashes_of_large_data_are_not_kept(tmp_path, digits):
    import os

    import numpy as np

    path = tmp_path / "f.npz"
    np.savez(path, X=np.zeros((600, 512), np.float32), y=np.arange(600) % 2)
    os.utime(path, (1e9, 1e9))  # long settled: a run would remember its hash
    ok("--root", tmp_path / "root", "run", "features", f"data.root={path}", "--dry-run")
    assert not (tmp_path / "root").exists()


def test_missing_data_is_the_error_of_a_run(tmp_path):
    command = ("--root", tmp_path / "r", "run", "image_folder", f"data.root={tmp_path}/gone")
    assert failed(1, *command, "--dry-run") == failed(1, *command)


@pytest.mark.parametrize("option", [("--format", "json"), ("--split", "all")])
def test_options_about_results_are_refused(tmp_path, option):
    lines = failed(2, "--root", tmp_path, "run", "digits_lt", "--dry-run", *option)
    assert "--dry-run prints no results" in lines[-1]


def test_a_dry_run_downloads_nothing(store, tmp_path, monkeypatch):
    from longtail.stages.data import cifar

    monkeypatch.setattr(cifar, "download_files", lambda *args: pytest.fail("downloaded"))
    config = load_config("cifar10_lt", [f"data.root={tmp_path}", "data.download=true"])
    with pytest.raises(ValueError, match="no CIFAR10 files"):
        planned_steps(config, store)
    assert not list(tmp_path.glob("cifar*"))
