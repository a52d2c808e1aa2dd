"""Which folders are parts and which are classes: what is recognised, what is refused and with which words."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from longtail.stages.data import DATASETS
from longtail.stages.data.files.part_names import similar_part
from longtail.stages.data.files.picture_folders import scan
from longtail.stages.parameters import is_access


def layout(root: Path, *folders: str) -> Path:
    """Empty files named like pictures: two in each folder, or one where a path ends in .png."""
    for name in folders:
        for path in (
            [root / name] if name.endswith(".png") else [root / name / "1.png", root / name / "2.png"]
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def read(root: Path, **named: str) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Pictures of each class in each part, and what was said."""
    said: list[str] = []
    parts, _ = scan(root, say=said.append, **named)
    return {part: dict(Counter(p.label for p in pictures)) for part, pictures in parts.items()}, said


def both(train: str, test: str) -> list[str]:
    return [f"{part}/{name}" for part in (train, test) for name in ("cat", "dog")]


TWO = {"cat": 2, "dog": 2}


@pytest.mark.parametrize(
    ("train", "part", "other"),
    [
        ("train", "test", "test"), ("Training", "test", "Testing"), ("training_set", "test", "test_set"),
        ("train_images", "test", "test_images"), ("trainset", "val", "valset"), ("TRAIN", "val", "Dev"),
        ("train", "test", "testing"), ("Training", "test", "test"), ("training", "test", "eval"),
        ("Training Data", "val", "Validation Data"), ("imagesTrain", "test", "imagesTest"),
    ],
)  # fmt: skip
def test_parts_are_recognised_by_their_names(tmp_path, train, part, other):
    assert read(layout(tmp_path, *both(train, other))) == ({"train": TWO, part: TWO}, [])


def test_training_folder_alone_is_read_as_training(tmp_path):
    assert read(layout(tmp_path, "Training/cat", "Training/dog")) == ({"train": TWO}, [])


@pytest.mark.parametrize("name", ["training", "dev", "eval", "test", "valid"])
def test_folder_named_like_a_part_is_a_class_beside_others(tmp_path, name):
    folders = layout(tmp_path, name, "invalid")
    assert read(folders)[0] == {"train": {name: 2, "invalid": 2}}


def test_classes_with_folders_of_their_own_stay_classes(tmp_path):
    folders = layout(tmp_path, "training/a", "training/b", "eating/a", "testing/c")
    assert read(folders)[0] == {"train": {"training": 4, "eating": 2, "testing": 2}}


@pytest.mark.parametrize("name", ["cat", "Training2", "seg_train", "data", "set", "trainer", "val_test"])
def test_names_that_say_something_else_are_classes(name):
    assert similar_part(name) is None


def test_folder_around_the_set_is_stepped_through_and_said(tmp_path):
    layout(tmp_path, "set/dataset/cat", "set/dataset/dog", "set/__MACOSX/")
    assert read(tmp_path) == (
        {"train": TWO},
        [f"{tmp_path}: holds only the folder set/dataset, whose folders are read"],
    )
    with pytest.warns(UserWarning, match="holds only the folder set/dataset"), pytest.raises(ValueError):
        DATASETS.create("image_folder", root=str(tmp_path))  # the files are no pictures
    assert read(tmp_path / "set" / "dataset") == ({"train": TWO}, [])


def test_folder_around_a_part_is_stepped_through_and_said(tmp_path):
    layout(tmp_path, *both("train/train", "test/images"))
    parts, said = read(tmp_path)
    assert parts == {"train": TWO, "test": TWO}
    assert [line.partition(": ")[2] for line in said] == [
        "holds only the folder train, whose folders are read",
        "holds only the folder images, whose folders are read",
    ]


def test_single_class_of_a_part_is_no_folder_around_it(tmp_path):
    layout(tmp_path, "train/cat", "train/dog", "test/cat/2019", "test/cat/2020")
    assert read(tmp_path) == ({"train": TWO, "test": {"cat": 4}}, [])


def test_what_lies_beside_parts_or_classes_is_said_not_to_be_read(tmp_path):
    layout(tmp_path, *both("train", "test"), "pred", "train/x.png", "docs/notes")
    (tmp_path / "docs" / "notes" / "1.png").rename(tmp_path / "docs" / "notes" / "1.txt")
    (tmp_path / "docs" / "notes" / "2.png").unlink()
    assert read(tmp_path) == (
        {"train": TWO, "test": TWO},
        [
            f"{tmp_path}: pred beside train, test: not read",
            f"{tmp_path}/train: 1 picture beside the class folders: not read",
        ],
    )


def test_parts_that_settings_name_are_read_whatever_they_are_called(tmp_path):
    layout(tmp_path, *both("seg_train/seg_train", "seg_test/seg_test"), "seg_pred", "b")
    named = {"train": "seg_train/seg_train", "test": "seg_test/seg_test/"}
    assert read(tmp_path, **named) == ({"train": TWO, "test": TWO}, [])
    layout(tmp_path / "mixed", "cat", "dog", "test/cat")
    assert read(tmp_path / "mixed", train=".", test="test")[0] == {"train": TWO, "test": {"cat": 2}}
    assert read(tmp_path / "mixed", train=".")[0] == {"train": {**TWO, "test": 2}}


def test_folders_named_as_parts_are_part_of_an_id():
    registered = DATASETS.describe("image_folder").parameters
    assert not any(is_access(registered[part].rule) for part in ("train", "val", "test"))


@pytest.mark.parametrize(
    ("folders", "named", "message"),
    [
        (["Training", "Testing"], {}, "holds Testing, Training: parts of a set by their names, but without "
         "a folder per class; set `train=Training`, `test=Testing` if they are, or `train=.` if each folder"),
        (["train/cat", "train/dog", "test"], {}, "test: holds 2 pictures and no class folder, so their "
         "classes are unknown; sort them into a folder per class, or set `train=train` alone to hold test"),
        ([*both("Training", "Testing"), "cat"], {}, "set `train=Training`, `test=Testing` if they are"),
        (both("seg_train/seg_train", "seg_test/seg_test"), {},
         "set `train=seg_train/seg_train`, `test=seg_test/seg_test` if they are, or `train=.` if each"),
        ([*both("my_train", "my_val"), "other"], {}, "set `train=my_train`, `val=my_val` if they are"),
        (both("testing", "dev"), {}, "a folder train, holds dev, testing; `train=.` takes each folder"),
        (["a", "b", "test/a"], {}, "holds a, b, test; `train=.` takes each .*, with `test=test` the others"),
        (["set/a", "set/b", "set/test/a"], {}, "`train=set` takes each .*, with `test=set/test` the others"),
        (both("training", "train_images"), {}, "train_images: .*/training is there too; keep one"),
        (["1.png", "2.png"], {}, "or a folder train, holds no folder and 2 pictures$"),
        (["train/1.png", "test/cat"], {}, "train: must hold a folder per class, holds 1 picture and no"),
        (both("a", "b"), {"test": "b"}, "^test: must be given with `train`"),
        (both("a", "b"), {"train": "c"}, "^train: must be a folder below `root`, got '.*/c'"),
        (both("a", "b"), {"train": "a", "val": "../b"}, "^val: must be a folder below `root`"),
        (both("a", "b"), {"train": "a", "val": "a/"}, "^val: must be another folder than that of the other"),
    ],
)  # fmt: skip
def test_folders_that_are_unclear_are_refused_with_what_to_set(tmp_path, folders, named, message):
    with pytest.raises(ValueError, match=message):
        read(layout(tmp_path, *folders), **named)


def test_settings_that_a_refusal_names_are_accepted(tmp_path):
    layout(tmp_path, *both("outer/seg train/inner", "outer/seg test"))
    with pytest.raises(ValueError) as caught:
        read(tmp_path)
    named = dict(part.split("=") for part in re.findall(r"`([^`]+=[^`]+)`", str(caught.value))[:2])
    assert read(tmp_path, **named) == ({"train": TWO, "test": TWO}, [])
