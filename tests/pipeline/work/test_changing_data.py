"""Data that change: noticed before a run, while it trains and while it extracts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.files import data_hashes
from longtail.pipeline.files.set_memory import load_known, save_known
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.session import Session
from longtail.pipeline.work import feature_extraction
from longtail.pipeline.work.execute import run_extraction, run_stage_one
from tests.command_line import failed, ok
from tests.picture_runs import exchange, on_pictures, write_grounds
from tests.training_runs import assert_same_weights, weights

STREAMED = ("data.in_memory=false",)


@pytest.fixture
def pictures(tmp_path) -> Path:
    return write_grounds(tmp_path / "pictures")


def todo(root: Path, *words: str) -> list[str]:
    """What a dry run would do, by stage."""
    return [line.split("  ")[-1] for line in ok("--root", root, "run", *words, "--dry-run").out.splitlines()]


def test_pictures_of_the_same_names_sizes_and_times_are_other_data(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(data_hashes, "SETTLED_NS", -1)
    command = on_pictures(pictures)
    first = ok("--root", tmp_path / "root", "run", *command)
    assert todo(tmp_path / "root", *command) == ["done"] * 4
    exchange(pictures)
    assert todo(tmp_path / "root", *command)[0] == "would train 2 epochs"
    exchange(pictures, shift=0)
    assert ok("--root", tmp_path / "root", "run", *command).out == first.out


def test_listed_pictures_of_the_same_sizes_and_times_are_other_data(pictures, tmp_path):
    names = [path.relative_to(pictures) for path in sorted(pictures.rglob("*.bmp"))]
    (tmp_path / "train.txt").write_text("".join(f"{name} {str(name)[5]}\n" for name in names))
    words = on_pictures(pictures, f"data.train={tmp_path / 'train.txt'}", name="image_list")
    before = todo_ids(tmp_path / "root", words)
    exchange(pictures)
    assert todo_ids(tmp_path / "root", words) != before
    exchange(pictures, shift=0)
    assert todo_ids(tmp_path / "root", words) == before


def todo_ids(root: Path, words: list[str]) -> list[str]:
    """The first id of a dry run."""
    return ok("--root", root, "run", *words, "--dry-run").out.split()[2]


def test_an_archive_of_the_same_size_and_time_is_other_data(tmp_path, monkeypatch):
    monkeypatch.setattr(data_hashes, "WORTH_KEEPING", 0)
    monkeypatch.setattr(data_hashes, "SETTLED_NS", -1)
    path, labels = tmp_path / "features.npz", np.arange(60) % 3
    words = ["features", f"data.root={path}", "classifiers=[ncm]"]
    np.savez(path, X=np.eye(3, dtype=np.float32)[labels] + 1, y=labels)
    ok("--root", tmp_path / "root", "run", *words)
    assert todo(tmp_path / "root", *words) == ["done"] * 2
    before = path.stat()
    np.savez(path, X=np.eye(3, dtype=np.float32)[labels] + 2, y=labels)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert todo(tmp_path / "root", *words)[0] == "would extract"


def test_by_stat_the_same_names_and_sizes_are_the_same_data(pictures, tmp_path):
    words = on_pictures(pictures, "data.identity=stat")
    ok("--root", tmp_path / "root", "run", *words)
    exchange(pictures)
    assert todo(tmp_path / "root", *words) == ["done"] * 4
    (record,) = {
        json.loads(path.read_text())["settings"]["all"]["data.identity"]
        for path in (tmp_path / "root").glob("classifiers/*/result.json")
    }
    assert record == "stat"
    (provenance,) = (tmp_path / "root").glob("representations/*/provenance.json")
    assert json.loads(provenance.read_text())["data"]["identity"] == "stat"
    assert "identified by: names and sizes" in ok("--root", tmp_path / "root", "show", *words).out
    assert todo(tmp_path / "root", *on_pictures(pictures))[0] == "would train 2 epochs"


def test_verify_reads_again_what_is_remembered(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(data_hashes, "SETTLED_NS", -1)
    root, words = tmp_path / "root", on_pictures(pictures)
    ok("--root", root, "run", *words)
    (memory,) = root.glob("fingerprints/*")
    known = load_known(memory)
    save_known(memory, known._replace(digests=bytes(len(known.digests))))  # as if all had held other pixels
    assert todo(root, *words)[0] == "would train 2 epochs"
    outcome = ok("--root", root, "run", *words, "--dry-run", "--verify")
    assert outcome.out.count("done") == 4
    assert "24 files hold something else than when last read" in outcome.err
    for verb in ("run", "show", "report"):
        assert "24 files hold" in ok("--root", root, verb, *words, "--verify").err
        save_known(memory, known._replace(digests=bytes(len(known.digests))))


# -- while a run is under way -------------------------------------------------------------------------------


@pytest.fixture
def change_after_epoch(pictures, monkeypatch):
    """``change_after_epoch(1)``: the pictures are exchanged before that epoch's checkpoint."""

    def arrange(number: int) -> None:
        after_epoch = Session.after_epoch

        def exchange_then_go_on(self, summary):
            if summary.epoch == number:
                exchange(pictures)
            after_epoch(self, summary)

        monkeypatch.setattr(Session, "after_epoch", exchange_then_go_on)

    return arrange


@pytest.mark.parametrize("options", [(), STREAMED])
def test_pictures_that_change_during_training_leave_nothing_finished(
    pictures, tmp_path, change_after_epoch, monkeypatch, options
):
    root, words = tmp_path / "root", on_pictures(pictures, *options)
    with monkeypatch.context():
        change_after_epoch(2)
        *_, message = failed(1, "--root", root, "run", *words)
    monkeypatch.undo()
    assert "24 files of the data changed during training: " in message
    assert f"{pictures}/class0/0.bmp" in message and "and 19 more" in message
    assert not list(root.glob("*/*/DONE")) and not list(root.glob("features/*/manifest.json"))
    exchange(pictures, shift=0)
    config = load_config(words[0], words[1:])
    run_stage_one(config, Store(root))
    run_stage_one(config, Store(tmp_path / "fresh"))
    assert_same_weights(weights(config, Store(root)), weights(config, Store(tmp_path / "fresh")))


def test_no_checkpoint_holds_what_was_learned_from_pictures_before_and_after_a_change(
    pictures, tmp_path, change_after_epoch
):
    root, words = tmp_path / "root", on_pictures(pictures, *STREAMED)
    change_after_epoch(2)
    failed(1, "--root", root, "run", *words)
    assert [path.name for path in root.glob("representations/*/*.state")] == ["epoch-0001.state"]


def test_pictures_that_change_while_they_are_read_are_refused(pictures, tmp_path, monkeypatch):
    from longtail.pipeline.training import train

    load = train.load_splits
    monkeypatch.setattr(train, "load_splits", lambda config: exchange(pictures) or load(config))
    *_, message = failed(1, "--root", tmp_path / "root", "run", *on_pictures(pictures))
    assert "24 files of the data changed during reading" in message
    assert not (tmp_path / "root" / "representations").exists()


@pytest.mark.parametrize("options", [(), STREAMED])
def test_pictures_that_change_during_extraction_leave_no_features(pictures, tmp_path, monkeypatch, options):
    words = on_pictures(pictures, *options)
    config, store = load_config(words[0], words[1:]), Store(tmp_path / "root", one_command=True)
    run_stage_one(config, store)
    check, changes = feature_extraction.reject_non_finite, []

    def exchange_once(*arguments):
        if not changes:
            changes.append(exchange(pictures))
        check(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(feature_extraction, "reject_non_finite", exchange_once)
        *_, message = failed(1, "--root", store.root, "extract", *words)
    assert "24 files of the data changed during extraction" in message
    assert not list(store.root.glob("features/*/manifest.json"))
    exchange(pictures, shift=0)
    key = run_extraction(config, Store(store.root))
    fresh = Store(tmp_path / "fresh")
    assert run_extraction(config, fresh) == key
    for name in ("train", "val", "test"):
        of_both = [np.load(s.folder("features", key) / f"{name}.X.npy") for s in (store, fresh)]
        np.testing.assert_array_equal(*of_both)


def test_arrays_that_change_while_features_are_taken_are_refused(tmp_path, monkeypatch):
    path, labels = tmp_path / "features.npz", np.arange(60) % 3
    np.savez(path, X=np.eye(3, dtype=np.float32)[labels], y=labels)
    check = feature_extraction.reject_non_finite

    def rewrite(*arguments):
        np.savez(path, X=np.eye(3, dtype=np.float32)[labels] + 1, y=labels)
        check(*arguments)

    monkeypatch.setattr(feature_extraction, "reject_non_finite", rewrite)
    words = ["features", f"data.root={path}", "classifiers=[ncm]"]
    *_, message = failed(1, "--root", tmp_path / "root", "run", *words)
    assert f"1 file of the data changed during extraction: {path}; " in message
    assert not list((tmp_path / "root").glob("*/*/DONE"))
    assert not list((tmp_path / "root").glob("features/*/manifest.json"))
