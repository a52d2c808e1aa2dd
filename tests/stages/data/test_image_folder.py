"""Folders of pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.pictures import settings as picture_settings
from longtail.stages.data.pictures.read_picture import decode
from tests.stages.data.written_sets import picture, write_pictures


def read_folder(root: Path, **params) -> Collection:
    return DATASETS.get("image_folder")(root=str(root), **params)


def test_image_folder_reads_classes_directly_below_the_root(tmp_path):
    write_pictures(tmp_path, {"zebra": 3, "ant": 2})
    data = read_folder(tmp_path, image_size=8)
    assert data.class_names == ["ant", "zebra"]
    assert data.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.train.images.shape == (5, 8, 8, 3)
    assert data.val is None and data.test is None


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_image_folder_reads_parts_and_val_may_lack_a_class(tmp_path, validation):
    write_pictures(tmp_path, {"train/a": 3, "train/b": 2, f"{validation}/b": 1, "test/a": 1, "test/b": 0})
    splits = DATASETS.create("image_folder", root=str(tmp_path), image_size=4)
    assert splits.class_names == ["a", "b"]
    assert splits.class_counts.tolist() == [3, 2]
    assert splits.val.labels.tolist() == [1]
    assert splits.test.labels.tolist() == [0]
    assert splits.input_shape == (3, 4, 4)


def test_image_folder_without_val_and_test_holds_them_out(tmp_path):
    write_pictures(tmp_path, {"train/a": 10, "train/b": 10})
    splits = DATASETS.create("image_folder", root=str(tmp_path), image_size=4)
    assert [len(part) for part in splits.parts().values()] == [14, 2, 4]


def test_image_folder_keeps_pixels_of_pictures_that_have_the_size(tmp_path):
    (tmp_path / "a").mkdir()
    original = picture(5, (8, 8))
    original.save(tmp_path / "a" / "x.png")
    data = read_folder(tmp_path, image_size=8)
    assert np.array_equal(data.train.images[0].numpy(), np.asarray(original))


def test_image_folder_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 50)  # the central square
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a" / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "a" / "tall.png")
    inner = read_folder(tmp_path, image_size=10).train.images[:, 1:-1, 1:-1].numpy()
    assert (inner == (200, 100, 50)).all()


@pytest.mark.filterwarnings("ignore:.* if a person sees more")
def test_image_folder_averages_when_it_shrinks(tmp_path):
    (tmp_path / "a").mkdir()
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checks).save(tmp_path / "a" / "x.png")
    pixels = read_folder(tmp_path, image_size=8, mode="gray").train.images.numpy()
    assert np.abs(pixels.astype(int) - 127).max() <= 2  # nearest neighbour would give 0 or 255


def test_image_folder_mode_gray_has_one_channel(tmp_path):
    write_pictures(tmp_path, {"a": 1})
    data = read_folder(tmp_path, image_size=7, mode="gray")
    assert data.train.images.shape == (1, 7, 7, 1)
    expected = np.asarray(picture(0).convert("L"))[:, 1:8]
    assert np.array_equal(data.train.images[0, ..., 0].numpy(), expected)


@pytest.mark.filterwarnings("ignore:.* if a person sees more")
def test_image_folder_turns_pictures_upright(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # the camera's top half; orientation 6: turn clockwise to view
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a" / "x.png", exif=exif)
    image = read_folder(tmp_path, image_size=16).train.images[0].numpy()
    assert np.array_equal(image, np.rot90(pixels, -1))


@pytest.mark.filterwarnings("ignore:.* if a person sees more")
@pytest.mark.parametrize(
    "suffix", [".PNG", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff"]
)
def test_image_folder_reads_every_format(tmp_path, suffix):
    (tmp_path / "a").mkdir()
    smooth = np.full((8, 8, 3), (250, 128, 10), np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a" / f"x{suffix}")
    image = read_folder(tmp_path, image_size=8).train.images[0].numpy()
    assert np.abs(image.astype(int) - smooth).max() <= 4


def test_image_folder_scales_sixteen_bit_pictures(tmp_path):
    (tmp_path / "a").mkdir()
    deep = (np.arange(16, dtype=np.uint16) * 4096).reshape(4, 4)
    Image.fromarray(deep).save(tmp_path / "a" / "x.png")
    image = read_folder(tmp_path, image_size=4, mode="gray").train.images[0, ..., 0].numpy()
    assert np.array_equal(image, deep >> 8)


@pytest.mark.filterwarnings("error")
def test_image_folder_reads_transparent_palettes_quietly(tmp_path):
    (tmp_path / "a").mkdir()
    picture().quantize(8).save(tmp_path / "a" / "x.png", transparency=bytes([0, 255]))
    assert len(read_folder(tmp_path, image_size=4).train) == 1


def test_image_folder_finds_nested_pictures_and_ignores_the_rest(tmp_path):
    write_pictures(tmp_path, {"a": 1, "a/deep/er": 1, "b": 1, ".hidden": 1, "a/.cache": 1})
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "a" / "._000.png").write_text("no picture")
    (tmp_path / "README.md").write_text("no class")
    with pytest.warns(UserWarning, match=r": 1 file not read: 1 \.txt$"):
        (files,) = DATASETS.sources("image_folder", {"root": str(tmp_path)})
    lines = [line.split("\t") for line in files.lines(files.sizes())]
    assert [(path, label) for path, _, label in lines] == [
        ("a/000.png", "a"),
        ("a/deep/er/000.png", "a"),
        ("b/000.png", "b"),
    ]
    assert [int(size) for _, size, _ in lines] == [(tmp_path / path).stat().st_size for path, _, _ in lines]
    with pytest.warns(UserWarning, match="1 file not read"):
        assert read_folder(tmp_path, image_size=4).train.labels.tolist() == [0, 0, 1]


def test_image_folder_sources_are_the_same_wherever_the_root_lies(tmp_path):
    for place in ("here", "there"):
        write_pictures(tmp_path / place, {"train/a": 2, "train/b": 1, "test/a": 1})
    here, there = (
        DATASETS.sources("image_folder", {"root": str(tmp_path / place), "image_size": 8})[0]
        for place in ("here", "there")
    )
    assert here.lines("abcd") == there.lines("abcd") == sorted(here.lines("abcd"))
    assert here.lines("abcd")[0] == "test/a/000.png\ta\ta"
    assert next(here.paths()) == str(tmp_path / "here/test/a/000.png")


def test_image_folder_order_is_that_of_relative_paths(tmp_path):
    write_pictures(tmp_path, {"b": 2, "a": 2})
    data = read_folder(tmp_path, image_size=7)
    in_order = [tmp_path / c / f"{k:03d}.png" for c in "ab" for k in range(2)]
    expected = [decode(path, (7, 7), "rgb") for path in in_order]
    assert np.array_equal(data.train.images.numpy(), np.stack(expected))


def test_image_folder_names_unreadable_pictures_and_counts_them(tmp_path):
    write_pictures(tmp_path, {"a": 70, "b": 3}, suffix=".jpg", size=(40, 40))
    for k in range(7):
        (tmp_path / "a" / f"{k:03d}.jpg").write_bytes(b"not a picture")
    truncated = tmp_path / "b" / "001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"^8 of 73 pictures cannot be read: .*a/000\.jpg.* and 3 more"):
        read_folder(tmp_path)
    for k in range(7):
        (tmp_path / "a" / f"{k:03d}.jpg").unlink()
    with pytest.raises(ValueError, match=r"^1 of 66 pictures cannot be read: .*b/001\.jpg \(.*truncated"):
        read_folder(tmp_path)


def test_image_folder_does_not_hand_a_disguised_file_to_another_decoder(tmp_path):
    (tmp_path / "a").mkdir()
    picture().save(tmp_path / "a" / "x.eps")
    (tmp_path / "a" / "x.eps").rename(tmp_path / "a" / "x.png")
    with pytest.raises(ValueError, match="1 of 1 pictures cannot be read"):
        read_folder(tmp_path)


@pytest.mark.parametrize("kind", ["file", "folder", "class", "relative"])
def test_image_folder_refuses_links_that_leave_the_root(tmp_path, kind):
    root = write_pictures(tmp_path / "root", {"a": 1, "b": 1})
    outside = write_pictures(tmp_path / "outside", {"c": 1})
    if kind == "file":
        (root / "a" / "link.png").symlink_to(outside / "c" / "000.png")
    elif kind == "folder":
        (root / "a" / "link").symlink_to(outside / "c")
    elif kind == "class":
        (root / "c").symlink_to(outside / "c")
    else:
        (root / "a" / "link.png").symlink_to("../../outside/c/000.png")
    for use in (read_folder, lambda root: DATASETS.sources("image_folder", {"root": str(root)})):
        with pytest.raises(ValueError, match="a path that leaves its root"):
            use(root)


def test_image_folder_follows_links_inside_the_root_but_no_circle(tmp_path):
    write_pictures(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "b" / "same.png").symlink_to("000.png")
    assert len(read_folder(tmp_path, image_size=4).train) == 3
    (tmp_path / "b" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(ValueError, match=r"gone\.png: a link to a file that is not there"):
        read_folder(tmp_path)
    (tmp_path / "b" / "gone.png").unlink()
    (tmp_path / "b" / "again").symlink_to(tmp_path / "b")
    with pytest.raises(ValueError, match="again: a link to a folder it lies in"):
        read_folder(tmp_path)


def test_image_folder_root_may_itself_be_a_link(tmp_path):
    write_pictures(tmp_path / "real", {"a": 1, "b": 1})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(read_folder(tmp_path / "link", image_size=4).train) == 2


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "must hold a folder per class or a folder train, holds no folder"),
        ({"a": 1, "b": 0}, "b: a class needs a picture"),
        ({"train/a": 1, "train/b": 0}, "train/b: a class needs a picture"),
        ({"train/a": 1, "test/b": 1}, "test/b: is not a class"),
        ({"train/a": 1, "val/a": 1, "valid/a": 1}, "valid is there too"),
        ({"train/a": 1, "test/a": 0}, "test: holds no picture"),
        ({"train": 1, "test": 1}, "train: must hold a folder per class"),
        ({"val/a": 1, "test/a": 1}, "or a folder train, holds test, val"),
        ({"a": 1, "b": 1, "test/a": 1}, "or a folder train, holds a, b, test"),
    ],
)
def test_image_folder_says_what_is_wrong_with_the_folders(tmp_path, counts, message):
    write_pictures(tmp_path, counts)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_image_folder_takes_train_for_a_class_beside_others(tmp_path):
    write_pictures(tmp_path, {"bus": 1, "car": 1, "train": 2})
    assert read_folder(tmp_path, image_size=4).class_names == ["bus", "car", "train"]


def test_image_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^root: must be a folder of class folders, got '.*nowhere'"):
        read_folder(tmp_path / "nowhere")


def test_image_folder_beyond_the_memory_limit_names_a_size_that_fits(tmp_path, monkeypatch):
    write_pictures(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setattr(picture_settings, "MAX_BYTES", 4 * 10**2 * 3)
    with pytest.raises(ValueError, match=r"^image_size: 4 pictures of 11×11×3 .*; 10 fits"):
        read_folder(tmp_path, image_size=11)
    assert len(read_folder(tmp_path, image_size=10).train) == 4


@pytest.mark.parametrize("allow_outside", [False, True])
def test_image_folder_refuses_a_fifo_that_is_called_a_picture(tmp_path, allow_outside):
    write_pictures(tmp_path, {"a": 2, "b": 2})
    os.mkfifo(tmp_path / "a" / "odd.png")
    with pytest.raises(ValueError, match=r"a/odd\.png: must be a file, is a FIFO"):
        read_folder(tmp_path, image_size=8, allow_outside=allow_outside)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_picture_whose_name_has_two_lines_is_named_in_one(tmp_path, in_memory):
    write_pictures(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "odd\nname.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a/odd\\u000aname\.png") as caught:
        train = read_folder(tmp_path, image_size=8, in_memory=in_memory).train
        train.batch(np.arange(len(train)))
    assert "\n" not in str(caught.value)
