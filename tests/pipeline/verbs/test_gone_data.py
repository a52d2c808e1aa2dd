"""Finished runs whose data are gone: verbs that need no data use them, and say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.store.data import remembered
from longtail.pipeline.store.records.done import read_done, write_done
from tests.command_line import failed, ok
from tests.picture_runs import exchange, on_pictures, write_grounds

SAYING_SO = "was made when the data were there, and is used"


@pytest.fixture(scope="module")
def finished(shared) -> Path:
    """A folder with a root, the pictures its run was made of, and nothing else."""

    def fill(folder: Path) -> None:
        write_grounds(folder / "pictures")
        ok("--root", folder / "root", "run", *on_pictures(folder / "pictures"))

    return shared.make("run_on_pictures", fill)


@pytest.fixture
def gone(finished, tmp_path) -> tuple[Path, list[str], Path]:
    """(root, words of the configuration, a picture) after the pictures have moved."""
    shutil.copytree(finished / "root", tmp_path / "root")
    pictures = shutil.copytree(finished / "pictures", tmp_path / "moved")
    return tmp_path / "root", on_pictures(finished / "pictures"), pictures / "class1" / "0.bmp"


@pytest.fixture
def words(gone, finished, monkeypatch) -> list[str]:
    """The configuration, whose pictures cannot be found."""
    from longtail.stages.data import image_folder

    def missing(root, **_):
        raise FileNotFoundError(f"{root} is not there")

    monkeypatch.setattr(image_folder, "scan", missing)
    return gone[1]


@pytest.mark.parametrize("verb", ["report", "show"])
def test_a_finished_run_is_reported_and_shown(gone, words, verb):
    outcome = ok("--root", gone[0], verb, *words)
    (line,) = [line for line in outcome.err.splitlines() if SAYING_SO in line]
    assert "is not there" in line
    assert ("ncm" in outcome.out) and ("2 epochs" in outcome.out)


def test_a_finished_run_predicts_and_is_exported(gone, words, tmp_path):
    outcome = ok("--root", gone[0], "predict", words[0], gone[2], *words[1:], "--classifier", "ncm")
    assert SAYING_SO in outcome.err and "class1" in outcome.out
    outcome = ok("--root", gone[0], "export", words[0], tmp_path / "m.pt2", *words[1:], "--classifier", "ncm")
    assert SAYING_SO in outcome.err and (tmp_path / "m.pt2").exists()


@pytest.mark.parametrize("arguments", [["run"], ["run", "--dry-run"], ["classify"], ["sweep"]])
def test_what_needs_the_data_says_what_is_missing(gone, words, arguments):
    verb, *options = arguments
    *_, message = failed(1, "--root", gone[0], verb, *words, *options)
    assert "is not there" in message


@pytest.mark.parametrize("other", ["seed=1", "data.seed=1", "data.image_size=16", "data.root=elsewhere"])
def test_a_run_under_other_settings_is_not_taken_for_it(gone, words, other):
    *_, message = failed(1, "--root", gone[0], "report", *words, other)
    assert "is not there" in message


def test_settings_of_runs_on_other_data_are_not_read(gone, words, monkeypatch):
    (own,) = (gone[0] / "representations").iterdir()
    other = shutil.copytree(own, own.with_name("0" * 16))
    done = read_done(own)[0]
    write_done(other, {**done, "data": {**done["data"], "content": "another"}}, done["files"])
    read, settings = [], remembered._data_settings

    def reading(store, run_id):
        read.append(run_id)
        return settings(store, run_id)

    monkeypatch.setattr(remembered, "_data_settings", reading)
    assert SAYING_SO in ok("--root", gone[0], "report", *words).err
    assert read == [own.name]


def test_of_two_contents_the_last_one_is_meant(gone, finished, tmp_path, monkeypatch):
    root, _, picture = gone
    moved = on_pictures(picture.parents[1])
    for shift in (0, 1):
        exchange(picture.parents[1], shift=shift)
        last = ok("--root", root, "run", *moved).out
    picture.parents[1].rename(tmp_path / "away")
    assert ok("--root", root, "report", *moved).out == last


def test_features_that_are_gone(tmp_path):
    path, labels = tmp_path / "features.npz", np.arange(60) % 3
    np.savez(path, X=np.eye(3, dtype=np.float32)[labels], y=labels)
    words = ["features", f"data.root={path}", "classifiers=[ncm]"]
    table = ok("--root", tmp_path / "root", "run", *words).out
    path.unlink()
    outcome = ok("--root", tmp_path / "root", "report", *words)
    assert outcome.out == table and SAYING_SO in outcome.err
    failed(1, "--root", tmp_path / "root", "run", *words)


@pytest.mark.parametrize("verb", ["report", "predict"])
def test_data_that_have_changed_name_the_run_on_what_they_held(tmp_path, verb):
    root, words = tmp_path / "root", on_pictures(write_grounds(tmp_path / "pictures"))
    ok("--root", root, "run", *words)
    (run,) = (folder.name for folder in root.glob("representations/*"))
    picture = tmp_path / "pictures" / "class1" / "0.bmp"
    picture.rename(tmp_path / "0.bmp")
    pictures = [] if verb == "report" else [tmp_path / "0.bmp"]
    (line,) = failed(1, "--root", root, verb, words[0], *pictures, *words[1:])
    assert line.endswith(f"{run} is one on what the data held earlier; `longtail run` makes one")
    overrides = [*words[1:], "representation.epochs=77"]
    assert "held earlier" not in failed(1, "--root", root, verb, words[0], *pictures, *overrides)[-1]
