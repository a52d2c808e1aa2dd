"""`init`: a folder of pictures becomes a configuration that loads, gives its reasons, and runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.init.proposal import propose
from longtail.pipeline.init.survey import Survey
from tests.command_line import HEAVY, failed, ok
from tests.finished_runs import results_by_classifier
from tests.places import CHECKOUT

COUNTS = (60, 40, 24, 12)


@pytest.fixture(scope="session")
def pictures(shared) -> Path:
    """Digits as PNG files in folders 0…3, as many as COUNTS says."""
    from sklearn.datasets import load_digits

    def fill(folder: Path) -> None:
        digits = load_digits()
        for label, count in enumerate(COUNTS):
            (folder / str(label)).mkdir()
            for row in np.flatnonzero(digits.target == label)[:count]:
                pixels = (digits.images[row] * 15).astype(np.uint8)
                Image.fromarray(pixels).save(folder / str(label) / f"{row}.png")

    return shared.make("tiny digits", fill)


def folder_of(root: Path, counts: dict[str, int], *, size=(40, 50), mode="RGB") -> Path:
    """Pictures from dark to light, `counts` of each class; a class may be ``part/name``."""
    slope = Image.linear_gradient("L").resize(size)
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for n in range(count):
            slope.point(range(61 * label + n, 61 * label + n + 256)).convert(mode).save(
                root / name / f"{n}.png"
            )
    return root


def proposal(counts: dict[str, dict[str, int]], sides=(48,), grey=False) -> dict:
    """Settings proposed for such a folder, without one."""
    sections, _ = propose("pictures", Survey(counts, list(sides), grey))
    return {name: {choice.key: choice.value for choice in choices} for name, choices in sections.items()}


def of_counts(*counts: int) -> dict[str, dict[str, int]]:
    return {"train": {f"class {n}": count for n, count in enumerate(counts)}}


# -- from folder to table -----------------------------------------------------------------------------------


@pytest.fixture
def written(pictures, tmp_path) -> tuple[Path, list[str]]:
    """The configuration `init` writes for the digits, and what it prints."""
    path = tmp_path / "written" / "mine.yaml"
    path.parent.mkdir()
    return path, ok("init", pictures, "--output", path).out.splitlines()


def test_configuration_loads_with_the_choices_the_folder_calls_for(written, pictures):
    config = load_config(str(written[0]))
    data, stage = config.data.full(), config.representation
    assert data["root"] == str(pictures) and data["image_size"] == 8 and data["mode"] == "gray"
    assert (data["test_fraction"], data["validation_fraction"]) == (0.2, 0.1)
    assert (stage.backbone.name, stage.epochs, stage.batch_size) == ("small_cnn", 100, 64)
    assert (stage.augment.pad, stage.augment.flip) == (1, False)
    assert stage.optimizer.full() == {
        "name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
    }  # fmt: skip
    assert stage.schedule.name == "one_cycle"


def test_next_command_runs_and_the_counts_printed_are_those_it_trains_on(written, tmp_path):
    path, printed = written
    assert printed[-2:] == [f"written: {path}", f"next: longtail run {shlex.quote(str(path))}"]
    small = ["representation.epochs=1", "classifiers=[joint, ncm]", "system.threads=1", "system.device=cpu"]
    root = ["--root", tmp_path / "root"]
    rows = json.loads(ok(*root, "run", path, *small, "--format", "json").out)
    assert [row["classifier"] for row in rows] == ["joint", "ncm"]
    result = results_by_classifier(tmp_path / "root")["joint"]
    printed_counts = [int(re.split(r"\s{2,}", line.strip())[1]) for line in printed[1:5]]
    # A fifth is held out to test, a tenth of the rest to validate.
    assert printed_counts == result.class_counts == [43, 29, 17, 9]
    chart = ok(*root, "show", path, *small).out.split("\n\n")[1]
    assert chart == "\n".join(printed[:-2])


def test_every_choice_that_needs_one_has_its_reason(written):
    text = written[0].read_text()
    assert text.startswith(f"# longtail run {written[0]}\n# 136 pictures")
    for key in ("image_size", "mode", "test_fraction", "validation_fraction", "epochs", "augment", "many"):
        before = text[: text.index(f"\n  {key}:")].splitlines()[-1]
        assert before.startswith("  # "), key


def test_configuration_is_named_after_the_folder_and_relative_paths_stay(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink(pictures, "my digits")
    outcome = ok("init", "./my digits/")
    assert outcome.out.splitlines()[-1] == "next: longtail run 'my digits.yaml'"
    assert load_config("my digits.yaml").data.params["root"] == "./my digits/"
    monkeypatch.chdir(pictures)
    (line,) = failed(1, "init", ".", "--output", ".")
    assert line == "error: .: is a folder; a configuration is written to a file"


def test_what_is_there_is_kept_unless_forced(pictures, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    (line,) = failed(1, "init", pictures, "--output", path)
    assert line == f"error: {path}: exists already; --force overwrites it, --output FILE writes elsewhere"
    assert path.read_text() == "mine"
    ok("init", pictures, "--output", path, "--force")
    assert load_config(str(path)).data.name == "image_folder"


def test_folder_named_to_break_the_file_is_quoted(tmp_path):
    hostile = "a: [b\nseed: 7\u2028seed: 8 #'\"{é" + " long" * 30
    folder = folder_of(tmp_path / hostile, {"x" * 2: 4, "yes": 4})
    ok("init", folder, "--output", tmp_path / "c.yaml")
    config = load_config(str(tmp_path / "c.yaml"))
    assert config.data.params["root"] == str(folder) and config.seed == 0


def test_command_loads_nothing_heavy(pictures, tmp_path):
    command = [sys.executable, "-c", HEAVY, "init", pictures, "--output", tmp_path / "c.yaml"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
    assert process.returncode == 0
    assert process.stderr.splitlines()[-1] == "HEAVY"


# -- rules of thumb -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "size", "backbone"),
    [
        ([8] * 5, 8, "small_cnn"), ([28] * 5, 28, "resnet20"), ([5] * 3, 5, "small_cnn"),
        ([20, 23, 30], 16, "small_cnn"), ([4, 5, 6], 8, "small_cnn"), ([31, 32, 33], 32, "resnet20"),
        ([63], 32, "resnet20"), ([64], 64, "resnet20"), ([100], 96, "resnet18"), ([127, 200], 96, "resnet18"),
        ([200], 128, "resnet18"), ([4000], 224, "resnet18"),
    ],
)  # fmt: skip
def test_image_size_is_the_next_lower_and_the_backbone_fits_it(sides, size, backbone):
    settings = proposal(of_counts(50, 50), sides)
    assert (settings["data"]["image_size"], settings["representation"]["backbone"]) == (size, backbone)


def test_pictures_that_would_not_fit_into_memory_are_made_smaller_or_stay_on_disk():
    data = proposal(of_counts(100_000, 100_000), [500])["data"]
    assert data["image_size"] == 64 and "in_memory" not in data  # 200,000·3·96² bytes are 5.1 GiB
    assert proposal(of_counts(100_000, 100_000), [500], grey=True)["data"]["image_size"] == 128
    data = proposal(of_counts(1_000_000, 1_000_000), [500], grey=True)["data"]
    assert data["image_size"] == 32 and data["mode"] == "gray"
    data = proposal(of_counts(3_000_000, 3_000_000), [500], grey=True)["data"]
    assert data["image_size"] == 32 and data["in_memory"] is False and data["mode"] == "gray"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((400, 40), {"test_per_class": 10, "validation_per_class": 5}),
        ((9000, 1000), {"test_per_class": 100, "validation_per_class": 50}),
        ((400, 39), {"test_fraction": 0.2, "validation_fraction": 0.1}),
    ],
)
def test_same_number_is_held_out_of_every_class_when_the_smallest_can_afford_it(counts, expected):
    data = proposal(of_counts(*counts))["data"]
    assert {key: value for key, value in data.items() if key.startswith(("test", "val"))} == expected


def test_parts_with_a_folder_are_left_as_they_are(tmp_path):
    pictures = {f"{part}/{name}": n for part, n in (("train", 9), ("test", 6)) for name in ("cat", "dog")}
    path = tmp_path / "c.yaml"
    out = ok("init", folder_of(tmp_path / "p", pictures), "--output", path).out
    data = load_config(str(path)).data.params
    assert "test_fraction" not in data and "test_per_class" not in data and data["validation_fraction"] == 0.1
    assert "validation 2, test 12" in out
    assert load_config(str(path)).representation.augment.flip is True


@pytest.mark.parametrize(
    ("counts", "epochs", "batch"),
    [((300, 200), 100, 64), ((3000, 1500), 44, 64), ((4000, 2000), 33, 128), ((20_000, 9_000), 30, 128),
     ((90_000, 60_000), 17, 128)],
)  # fmt: skip
def test_epochs_and_batches_follow_the_training_pictures(counts, epochs, batch):
    settings = proposal({"train": of_counts(*counts)["train"], "val": {}, "test": {}})["representation"]
    assert (settings["epochs"], settings["batch_size"]) == (epochs, batch)
    assert epochs * sum(counts) / batch < 20_100


@pytest.mark.parametrize(("names", "flip"), [(("0", "17"), False), (("a", "B"), False), (("a", "bee"), True)])
def test_mirror_images_are_left_out_for_digits_and_letters(names, flip):
    settings = proposal({"train": dict.fromkeys(names, 50)})
    assert settings["representation"]["augment"]["flip"] is flip


def test_small_classes_and_splits_are_warned_of(tmp_path):
    folder = folder_of(tmp_path / "p", {"cat": 40, "dog": 9, "fox": 2, "owl": 2})
    outcome = ok("init", folder, "--output", tmp_path / "c.yaml")
    assert outcome.err.splitlines() == [
        "warning: no test sample in 2 classes (fox, owl): in no mean, and accuracy undefined",
        "warning: 1 class has fewer than 5 test samples (dog 2): accuracy in steps of up to 50 %",
        "warning: validation has only 4 samples of 4 classes: what is chosen on it is uncertain",
    ]


def test_pictures_that_show_nothing_are_warned_of_as_they_would_be_read(tmp_path):
    folder = folder_of(tmp_path / "p", {"cat": 40, "dog": 40}, size=(9, 9))
    Image.new("RGB", (9, 9), 7).save(folder / "cat" / "0.png")
    outcome = ok("init", folder, "--output", tmp_path / "c.yaml")
    assert outcome.err == (
        "warning: 1 of 27 pictures sampled show one colour all over: cat/0.png; if a person sees more on "
        "them, data.background or data.mode is what loses it\n"
    )
    white = Image.new("RGBA", (9, 9), "white")
    white.putalpha(Image.linear_gradient("L").resize((9, 9)))
    for picture in folder.rglob("*.png"):
        white.save(picture)
    outcome = ok("init", folder, "data.background=white", "--output", tmp_path / "d.yaml")
    assert "27 of 27 pictures sampled show one colour all over: cat/0.png" in outcome.err
    assert "one colour" not in ok("init", folder, "--output", tmp_path / "e.yaml").err  # laid on black


# -- bad input ----------------------------------------------------------------------------------------------


def test_folders_that_will_not_do_are_refused_on_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    folder_of(tmp_path / "one", {"cat": 3})
    folder_of(tmp_path / "broken", {"cat": 0, "dog": 0})
    for name in ("cat", "dog"):
        (tmp_path / "broken" / name / "a.png").write_bytes(b"no picture")
    for folder, reason in (
        ("file", "must be a folder"), ("gone", "must be a folder"), ("empty", "a folder per class"),
        ("hollow", "a class needs a picture"), ("one", "pictures of one class, 'cat'"),
        ("broken", "none of 2 pictures sampled can be read"),
    ):  # fmt: skip
        (line,) = failed(1, "init", tmp_path / folder, "--output", tmp_path / "c.yaml")
        assert reason in line and folder in line
    assert not (tmp_path / "c.yaml").exists()


def test_unreadable_picture_among_others_is_warned_of(tmp_path):
    folder = folder_of(tmp_path / "p", {"cat": 30, "dog": 30})
    (folder / "cat" / "00.png").write_bytes(b"no picture")
    outcome = ok("init", folder, "--output", tmp_path / "c.yaml")
    assert "1 of 61 pictures sampled cannot be read" in outcome.err and "00.png" in outcome.err


def test_unreadable_pictures_seen_are_skipped_by_the_configuration_with_the_reason(tmp_path):
    folder = folder_of(tmp_path / "p", {"cat": 30, "dog": 30})
    (folder / "cat" / "00.png").write_bytes(b"no picture")
    ok("init", folder, "--output", tmp_path / "c.yaml")
    text = (tmp_path / "c.yaml").read_text()
    comment = " ".join(line.strip(" #") for line in text[: text.index("\n  unreadable: skip")].splitlines())
    assert "1 of 61 pictures sampled cannot be read (cat/00.png): such ones are left out" in comment
    outcome = ok("--root", tmp_path / "root", "run", tmp_path / "c.yaml", "representation.epochs=1",
               "classifiers=[joint]", "system.threads=1")  # fmt: skip
    assert (
        outcome.err.count("1 of 61 pictures cannot be read") == 1
    )  # warned of once, though each stage reads them
    assert "skip_limit" not in text and "unreadable" not in proposal(of_counts(50, 50))["data"]


def test_skip_limit_leaves_room_for_as_many_as_were_seen():
    sections, _ = propose("pictures", Survey(of_counts(5000, 5000), [48] * 198, False, ["a.png", "b.png"]))
    assert {c.key: c.value for c in sections["data"]}["skip_limit"] == 200  # 1 % of 10,000, twice


def test_shares_are_written_with_their_article(tmp_path):
    ok("init", folder_of(tmp_path / "p", {"cat": 50, "dog": 50}), "--output", tmp_path / "c.yaml")
    text = " ".join(line.strip(" #") for line in (tmp_path / "c.yaml").read_text().splitlines())
    assert "class: a quarter of it" in text and "class: an eighth of it" in text


# -- settings that are given --------------------------------------------------------------------------------


def test_links_that_leave_the_folder_are_read_as_the_refusal_says(tmp_path):
    outside = folder_of(tmp_path / "outside", {"dog": 4})
    folder = folder_of(tmp_path / "p", {"cat": 4})
    (folder / "dog").symlink_to(outside / "dog")
    (line,) = failed(1, "init", folder, "--output", tmp_path / "c.yaml")
    assert line.endswith("or set data.allow_outside=true")
    ok("init", folder, "data.allow_outside=true", "--output", tmp_path / "c.yaml")
    assert load_config(str(tmp_path / "c.yaml")).data.params["allow_outside"] is True


def test_folders_of_parts_are_read_as_the_refusal_says(tmp_path):
    pictures = {f"seg_{part}/{name}": 4 for part in ("train", "test") for name in ("cat", "dog")}
    folder = folder_of(tmp_path / "p", pictures)
    (line,) = failed(1, "init", folder, "--output", tmp_path / "c.yaml")
    advice = re.search(r"set (data.train=\S+), (data.test=\S+) if", line).groups()
    out = ok("init", folder, *advice, "--output", tmp_path / "c.yaml").out
    data = load_config(str(tmp_path / "c.yaml")).data.params
    assert (data["train"], data["test"]) == ("seg_train", "seg_test") and "test 8" in out


def test_given_settings_decide_what_depends_on_them(tmp_path):
    folder = folder_of(tmp_path / "p", {"cat": 4, "dog": 4}, mode="L")
    given = ("data.image_size=8", "data.mode=rgb", "data.unreadable=skip")
    ok("init", folder, *given, "--output", tmp_path / "c.yaml")
    config = load_config(str(tmp_path / "c.yaml"))
    assert config.data.params["image_size"] == 8 and config.data.params["unreadable"] == "skip"
    assert config.representation.backbone.name == "small_cnn" and config.representation.augment.pad == 1
    assert "# As given.\n  image_size: 8\n" in (tmp_path / "c.yaml").read_text()


@pytest.mark.parametrize(
    ("status", "override", "message"),
    [
        (2, "representation.epochs=3", "representation.epochs: set it in the file that is written"),
        (2, "data.root=elsewhere", "data.root: set it in the file that is written"),
        (2, "data.seed=3", "data.seed: set it in the file that is written"),
        (2, "data.allow_outside=maybe", "data.allow_outside: must be true or false, got 'maybe'"),
        (1, "data.train=gone", "data.train: must be a folder below data.root, got "),
    ],
)
def test_settings_that_cannot_be_given_are_refused(tmp_path, status, override, message):
    folder = folder_of(tmp_path / "p", {"cat": 4, "dog": 4})
    lines = failed(status, "init", folder, override, "--output", tmp_path / "c.yaml")
    assert message in " ".join(lines) and not (tmp_path / "c.yaml").exists()


def test_folder_around_the_set_is_said(tmp_path):
    folder = folder_of(tmp_path / "p", {"set/cat": 40, "set/dog": 40})
    outcome = ok("init", folder, "--output", tmp_path / "c.yaml")
    assert outcome.err == f"warning: {folder}: holds only the folder set, whose folders are read\n"


def test_next_command_of_a_file_that_looks_like_an_option_can_be_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "-pictures", {"cat": 4, "dog": 4})
    out = ok("init", "./-pictures").out
    assert out.splitlines()[-1] == "next: longtail run ./-pictures.yaml"
    assert ok("show", "./-pictures.yaml").out
