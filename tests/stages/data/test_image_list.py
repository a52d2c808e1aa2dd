"""Pictures named in list files, and the path that decodes them when they are needed."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.execute import run_stage_two
from longtail.stages.data import DATASETS
from longtail.stages.data.pictures import settings as picture_settings
from longtail.stages.data.pictures.augment import Augment
from longtail.stages.data.pictures.batches import Batches
from longtail.stages.data.pictures.on_disk import MEAN, STD, ImageFiles
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.features import extract_features
from longtail.stages.samplers import SAMPLERS
from tests.places import CHECKOUT


def write_picture(path, seed=0, size=(40, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """Twelve training pictures of three classes (6, 4, 2) and three test pictures, with their lists."""
    lines, row = [], 0
    for label, count in enumerate((6, 4, 2)):
        for k in range(count):
            write_picture(tmp_path / f"train/n0{label}/{k}.png", row)
            lines.append(f"train/n0{label}/{k}.png {label}")
            row += 1
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    for label in range(3):
        write_picture(tmp_path / f"test/{label}.png", 100 + label)
    (tmp_path / "test.txt").write_text("".join(f"test/{label}.png {label}\n" for label in range(3)))
    return tmp_path


def read(folder, **params):
    options = {"train": str(folder / "train.txt"), "test": str(folder / "test.txt"), "image_size": 16}
    return DATASETS.create("image_list", root=str(folder), workers=2, **{**options, **params})


# -- lists ------------------------------------------------------------------------------------------------


def test_list_gives_labels_counts_and_folders_as_class_names(folder):
    splits = read(folder, validation_per_class=1)
    assert splits.class_names == ["n00", "n01", "n02"]
    assert splits.class_counts.tolist() == [5, 3, 1]
    assert len(splits.val) == 3 and splits.test.labels.tolist() == [0, 1, 2]
    assert splits.input_shape == (3, 16, 16)


def test_class_names_come_from_a_file_when_there_is_one(folder):
    (folder / "names.txt").write_text("tench\ngoldfish\nwhite shark\n")
    assert read(folder, class_names=str(folder / "names.txt")).class_names[2] == "white shark"


def test_classes_without_a_folder_each_are_numbered(folder):
    (folder / "train.txt").write_text("test/0.png 0\ntest/1.png 1\ntest/2.png 2\n")
    assert read(folder, test=None, test_per_class=0).class_names == ["0", "1", "2"]


def test_test_list_that_is_the_training_list_is_refused(folder):
    with pytest.raises(ValueError, match=r"^test: names the same pictures as train.*`test_per_class`"):
        read(folder, test=str(folder / "train.txt"))


def test_a_path_may_hold_spaces(folder):
    write_picture(folder / "train/n00/a b.png")
    with (folder / "train.txt").open("a") as file:
        file.write("train/n00/a b.png 0\n\n")
    assert read(folder, validation_per_class=0).class_counts.tolist() == [7, 4, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/n00/0.png 1.5", r"train.txt, line 3: label must be an integer ≥ 0, got '1.5'"),
        ("train/n00/0.png -1", r"train.txt, line 3: label must be an integer ≥ 0, got '-1'"),
        ("train/n00/0.png", r"train.txt, line 3: must be 'relative/path label', .*, got 'train/n00/0.png'"),
        ("../secret.png 0", r"train.txt, line 3: .*leaves its root.*`allow_outside=True`"),
        ("/etc/hostname 0", r"train.txt, line 3: .*leaves its root"),
        ("train/n00/none.png 0", r"1 listed picture is not there: .*none.png \(.*train.txt, line 3\)"),
        ("train/n00/link.png 0", r"train.txt, line 3: .*link.png: a path that leaves its root"),
    ],
)
def test_a_bad_line_is_named(folder, line, message):
    write_picture(folder.parent / "secret.png")
    (folder / "train/n00/link.png").symlink_to(folder.parent / "secret.png")
    (folder / "train.txt").write_text(f"train/n00/0.png 0\ntrain/n01/0.png 2\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read(folder)
    with pytest.raises(ValueError, match=message):
        DATASETS.sources("image_list", {"root": str(folder), "train": str(folder / "train.txt")})


def test_a_label_beyond_training_is_refused_in_test(folder):
    (folder / "test.txt").write_text("test/0.png 0\ntest/1.png 3\n")
    with pytest.raises(ValueError, match=r"test.txt, line 2: label must be in 0..2, got 3"):
        read(folder)


def test_paths_may_leave_the_root_when_that_is_allowed(folder):
    write_picture(folder.parent / "more/outside.png")
    with (folder / "train.txt").open("a") as file:
        file.write("../more/outside.png 2\n")
    splits = read(folder, allow_outside=True, validation_per_class=0)
    assert splits.class_counts.tolist() == [6, 4, 3]


def test_validation_that_is_the_test_is_replaced_by_a_hold_out(folder):
    with pytest.warns(UserWarning, match="choosing on test pictures leaks"):
        splits = read(folder, val=str(folder / "test.txt"), validation_per_class=1)
    assert splits.class_counts.tolist() == [5, 3, 1] and len(splits.val) == 3


def inaturalist(folder, **changes):
    content = {
        "images": [
            {"id": 10 * c + k, "file_name": f"train/n0{c}/{k}.png"}
            for c, n in ((0, 6), (1, 4))
            for k in range(n)
        ],
        "annotations": [
            {"image_id": 10 * c + k, "category_id": c} for c, n in ((0, 6), (1, 4)) for k in range(n)
        ],
        "categories": [{"id": 0, "name": "Aves"}, {"id": 1, "name": "Mammalia"}],
    }
    (folder / "train2018.json").write_text(json.dumps(content | changes))
    return {"train": str(folder / "train2018.json"), "test": None}


def test_inaturalists_json_reads_like_the_list_it_stands_for(folder):
    splits = read(folder, **inaturalist(folder), test_per_class=0, validation_per_class=0)
    assert splits.class_names == ["Aves", "Mammalia"]
    assert splits.class_counts.tolist() == [6, 4]
    assert splits.train.path(0).name == "0.png"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 3}, "must hold images"),
        (
            {"annotations": []},
            r"image 0: needs a file_name and a category_id ≥ 0, got 'train/n00/0.png' and None",
        ),
        ({"annotations": [{"image_id": 0, "category_id": "x"}]}, r"image 0: needs .* 'x'"),
        (
            {"annotations": [{"image_id": 0, "category_id": c} for c in (0, 1)]},
            "annotation of image 0 comes twice",
        ),
        ({"images": [{"id": 0, "file_name": "a"}] * 2}, "image 0 comes twice"),
        ({"categories": [{"id": 0, "name": "a"}, {"id": "1", "name": "b"}]}, "must hold images"),
    ],
)
def test_json_of_another_form_is_refused(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        read(folder, **inaturalist(folder, **changes))


def lines_of(sources: list) -> list[str]:
    """What identifies listed pictures, their sizes for content."""
    *names, files = sources
    return [*names, *files.lines(files.sizes())]


def test_identity_follows_lists_files_and_labels_but_not_the_place(folder, tmp_path_factory):
    import shutil

    def lines(top):
        params = {"root": str(top), "train": str(top / "train.txt"), "test": str(top / "test.txt")}
        return lines_of(DATASETS.sources("image_list", params))

    before = lines(folder)
    assert "test\ttest/0.png\t" + str((folder / "test/0.png").stat().st_size) + "\t0" in before
    there = tmp_path_factory.mktemp("there") / "copy"
    shutil.copytree(folder, there)
    assert lines(there) == before
    write_picture(there / "test/0.png", size=(50, 50))
    assert lines(there) != before
    (folder / "test.txt").write_text("test/0.png 0\ntest/1.png 1\ntest/2.png 1\n")
    assert lines(folder) != before


def test_a_lists_own_order_changes_nothing(folder):
    def both():
        params = {"root": str(folder), "train": str(folder / "train.txt"), "test": str(folder / "test.txt")}
        splits = read(folder, validation_per_class=1, seed=3)
        lines = lines_of(DATASETS.sources("image_list", params))
        return lines, splits.train.paths.tolist(), splits.val.labels.tolist()

    before = both()
    lines = (folder / "train.txt").read_text().splitlines()
    (folder / "train.txt").write_text("\n".join(lines[::-1]) + "\n")
    assert both() == before


def test_class_names_are_part_of_the_identity(folder):
    params = {
        "root": str(folder),
        "train": str(folder / "train.txt"),
        "class_names": str(folder / "names.txt"),
    }
    sources = []
    for names in ("a\nb\nc\n", "b\na\nc\n"):
        (folder / "names.txt").write_text(names)
        sources.append(lines_of(DATASETS.sources("image_list", params)))
    assert sources[0] != sources[1]


def test_a_label_that_is_a_slip_of_the_pen_takes_no_memory(folder):
    with (folder / "train.txt").open("a") as file:
        file.write("train/n00/0.png 10000000000000\n")
    with pytest.raises(
        ValueError,
        match=r"train.txt, line 13: label 10000000000000 leaves 9999999999997 of 10000000000001 cla",
    ):
        read(folder)


def test_a_label_that_leaves_most_classes_empty_is_named_by_line(folder):
    with (folder / "train.txt").open("a") as file:
        file.write("test/0.png 99\n")
    message = r"line 13: label 99 leaves 96 of 100 classes .* \(3, 4, 5, 6, 7 and 91 more\); .*`class_names`"
    with pytest.raises(ValueError, match=message):
        read(folder)
    with pytest.raises(ValueError, match=message):
        DATASETS.sources("image_list", {"root": str(folder), "train": str(folder / "train.txt")})
    (folder / "names.txt").write_text("".join(f"class {c}\n" for c in range(100)))
    splits = read(folder, class_names=str(folder / "names.txt"), validation_per_class=0, test=None,
                  test_per_class=0)  # fmt: skip
    assert np.flatnonzero(splits.class_counts).tolist() == [0, 1, 2, 99]
    (folder / "train.txt").write_text("train/n00/0.png 0\ntrain/n01/0.png 3\n")  # half of four classes
    assert read(folder, test=None).class_counts.tolist() == [1, 0, 0, 1]


def test_lines_that_repeat_a_picture_are_warned_of_with_both_lines(folder):
    with (folder / "train.txt").open("a") as file:
        file.write("./train/n00//0.png 0\n" + "train/n01/1.png 1\n" * 6)
    message = r"^train: 7 lines repeat a picture: .*line \d+ and line \d+\).* and 2 more; it counts as often"
    with pytest.warns(UserWarning, match=message):
        splits = read(folder, validation_per_class=0)
    assert splits.class_counts.tolist() == [7, 10, 2]


@pytest.mark.parametrize("file", ["train.txt", "test.txt"])
def test_a_picture_with_two_labels_is_refused_with_both_lines(folder, file):
    with (folder / file).open("a") as stream:
        stream.write("train/n00/0.png 2\n")
    line = {"train.txt": 13, "test.txt": 4}[file]
    message = (
        rf"{file}, line {line}: train/n00/0.png has label 2, but 0 in .*train.txt, line 1; keep the right"
    )
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_validation_that_is_the_training_list_is_refused(folder):
    lines = (folder / "train.txt").read_text().splitlines()
    (folder / "val.txt").write_text("\n".join(lines[::-1]) + "\n")
    with pytest.raises(ValueError, match=r"^val: names the same pictures .*`validation_per_class`"):
        read(folder, val=str(folder / "val.txt"))


def test_a_test_list_in_another_order_is_still_the_test_list(folder):
    lines = (folder / "test.txt").read_text().splitlines()
    (folder / "val.txt").write_text("\n".join(lines[::-1]) + "\n")
    with pytest.warns(UserWarning, match="choosing on test pictures leaks"):
        splits = read(folder, val=str(folder / "val.txt"), validation_per_class=1)
    assert splits.class_counts.tolist() == [5, 3, 1]


def test_parts_that_share_pictures_are_warned_of(folder):
    with (folder / "test.txt").open("a") as file:
        file.write("train/n00/0.png 0\ntrain/n01/1.png 1\n")
    with pytest.warns(UserWarning, match="^train and test share 2 pictures"):
        read(folder, validation_per_class=1)


def test_categories_of_another_list_must_be_those_of_training(folder):
    params = inaturalist(folder)
    content = json.loads((folder / "train2018.json").read_text())
    content["categories"].reverse()
    for row, category in enumerate(content["categories"]):
        category["id"] = row
    (folder / "val2018.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"^test: .*val2018.json has other categories than"):
        read(folder, **{**params, "test": str(folder / "val2018.json")})


# -- decoding when needed ---------------------------------------------------------------------------------


def test_pictures_are_resized_cropped_and_normalized_by_imagenets_constants(folder):
    from torchvision.transforms import v2

    splits = read(folder, resize=20, validation_per_class=0)
    image = Image.open(splits.train.path(3)).convert("RGB")
    expected = v2.functional.pil_to_tensor(v2.CenterCrop(16)(v2.Resize(20)(image))).double()
    expected = (expected - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(splits.train.batch([3])[0].double(), expected, rtol=1e-5, atol=1e-5)


def test_grey_pictures_are_decoded_when_needed_as_they_are_in_memory(folder):
    kept, decoded = (
        read(folder, in_memory=m, mode="gray", resize=16, validation_per_class=0).train for m in (True, False)
    )
    mean, std = (
        0.299 * 123.675 + 0.587 * 116.28 + 0.114 * 103.53,
        0.299 * 58.395 + 0.587 * 57.12 + 0.114 * 57.375,
    )
    assert decoded.constants == {"mean": [pytest.approx(mean)], "std": [pytest.approx(std)]}
    pixels = decoded.batch(range(12))
    assert pixels.shape == (12, 1, 16, 16)
    assert (pixels.permute(0, 2, 3, 1) * std + mean - kept.images.float()).abs().max() < 2.5
    for taken in (decoded.take(np.arange(3), decoded.labels[:3]), decoded.to("cpu")):
        assert torch.equal(taken.batch([2]), pixels[2:3])
    drawn = next(iter(batches(decoded, 1, **ALL).epoch(0))).inputs
    assert drawn.shape == (5, 1, 16, 16)


def batches(part, workers, **options):
    settings = PictureSettings(image_size=16, mode=part.mode, workers=workers)
    part = ImageFiles(part.root, [os.fsdecode(p) for p in part.paths], part.labels, settings)
    sampler = SAMPLERS.create("class_balanced", part.labels, 3, seed=0)
    return Batches(part, sampler, batch_size=5, seed=0, augment=Augment(**options))


ALL = {"resized_crop": 0.3, "flip": True, "jitter": 0.4, "mixup": 0.3}


def test_a_thin_picture_needs_no_giant_one_on_the_way(folder, monkeypatch):
    from PIL.Image import Image as Picture

    sizes, resize = [], Picture.resize
    monkeypatch.setattr(
        Picture, "resize", lambda self, size, *a, **k: (sizes.append(size), resize(self, size, *a, **k))[1]
    )
    write_picture(folder / "train/n00/0.png", size=(2, 4000))
    part = read(folder, validation_per_class=0).train
    assert part.batch([0]).shape == (1, 3, 16, 16)
    assert max(max(size) for size in sizes) <= 40


def test_training_batches_do_not_depend_on_workers_nor_on_where_training_resumes(folder):
    part = read(folder, validation_per_class=0).train
    one, three = (list(batches(part, workers, **ALL).epoch(2)) for workers in (1, 3))
    resumed = list(batches(part, 2, **ALL).epoch(2, 1))
    assert len(one) == 3 and [len(b.labels) for b in one] == [5, 5, 2]
    for a, b in zip(one, three, strict=True):
        assert torch.equal(a.inputs, b.inputs) and torch.equal(a.labels, b.labels) and a.share == b.share
    for a, b in zip(one[1:], resumed, strict=True):
        assert torch.equal(a.inputs, b.inputs)


@pytest.mark.parametrize("option", ["resized_crop", "flip", "jitter", "mixup", "pad"])
def test_each_augmentation_changes_the_batch_and_draws_anew_each_epoch(folder, option):
    part = read(folder, validation_per_class=0).train
    value = {"resized_crop": 0.3, "flip": True, "jitter": 0.4, "mixup": 0.5, "pad": 3}[option]
    plain, changed = (batches(part, 1, **o) for o in ({}, {option: value}))
    first = next(iter(changed.epoch(0))).inputs
    assert not torch.equal(first, next(iter(plain.epoch(0))).inputs)
    again = next(iter(batches(part, 1, **{option: value}).epoch(0))).inputs
    assert torch.equal(first, again)


def test_streaming_leaves_the_global_generator_alone(folder):
    part = read(folder, validation_per_class=0).train
    before = torch.random.get_rng_state()
    list(batches(part, 1, **ALL).epoch(0))
    part.batch([0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_extraction_by_workers_is_that_of_the_batch(folder):
    part = read(folder, validation_per_class=0).train
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    features = extract_features(module, part)
    with torch.inference_mode():
        np.testing.assert_allclose(features.X, module(part.batch(range(12))).numpy(), rtol=1e-5, atol=1e-5)


def test_an_unreadable_picture_stops_training_by_name(folder):
    splits = read(folder, validation_per_class=0)
    (folder / "train/n01/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"n01/2.png: cannot be read .*`unreadable='skip'`") as caught:
        list(batches(splits.train, 2).epoch(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("in_memory", [True, False])
def test_unreadable_pictures_are_skipped_by_name_and_only_so_many(folder, in_memory):
    (folder / "train/n01/2.png").write_bytes(b"")
    (folder / "train/n00/5.png").write_bytes((folder / "train/n00/5.png").read_bytes()[:200])
    options = {"unreadable": "skip", "validation_per_class": 0, "in_memory": in_memory}
    with pytest.warns(UserWarning, match=r"2 of 12 pictures cannot be read: .*5.png.*2.png.*left out"):
        splits = read(folder, **options)
    assert splits.class_counts.tolist() == [5, 3, 2]
    assert splits.train.batch(range(10)).shape == (10, 3, 16, 16)
    with pytest.raises(ValueError, match=r"^skip_limit: 2 of 12 .*the limit is 1"):
        read(folder, skip_limit=1, **options)


def test_in_memory_and_from_files_show_the_same_pixels(folder):
    kept, decoded = (
        read(folder, in_memory=m, resize=16, validation_per_class=0).train for m in (True, False)
    )
    pixels = decoded.batch(range(12)) * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert (pixels.permute(0, 2, 3, 1) - kept.images.float()).abs().max() < 2.5  # crop, then resize: rounding


DEAD_WORKER = """
import multiprocessing, os, signal, sys
import numpy as np
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.dead_workers import report_dead_workers
from longtail.stages.data import DATASETS, Request
from longtail.stages.data.pictures.augment import Augment

root = sys.argv[1]
part = DATASETS.create("image_list", root=root, train=f"{root}/train.txt", image_size=16, workers=2,
                       validation_per_class=0).train
try:
    with report_dead_workers():
        stream = part.stream([Request(np.array([k % 12]), (0, "test", k)) for k in range(400)], Augment())
        next(stream)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        list(stream)
except LongtailError as error:
    print(error, flush=True)
    sys.exit(3)
"""


def test_a_dead_worker_is_an_error_and_no_hang(folder):
    """In a process of its own: torch raises in the main thread, wherever that is, pytest included."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", DEAD_WORKER, str(folder)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "TMPDIR": str(folder)}, cwd=CHECKOUT,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "a process that decodes pictures died" in done.stdout


LEFT_OPEN = """
import sys
import numpy as np
from longtail.stages.data import DATASETS, Request
from longtail.stages.data.pictures.augment import Augment
from tests.places import CHECKOUT

root = sys.argv[1]
part = DATASETS.create("image_list", root=root, train=f"{root}/train.txt", image_size=16, workers=2,
                       validation_per_class=0).train
stream = part.stream([Request(np.array([k % 12]), (0, "test", k)) for k in range(400)], Augment())
next(stream)
sys.modules["keeps it"] = stream  # to the very end
print("ended", flush=True)
"""


def test_a_stream_left_open_does_not_keep_the_process_from_ending(folder):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN, str(folder)], capture_output=True, text=True, timeout=90,
        env={**os.environ, "TMPDIR": str(folder)}, cwd=CHECKOUT,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == "ended\n", done.stderr
    assert "Traceback" not in done.stderr


def test_images_in_memory_refuse_what_needs_files(folder):
    part = read(folder, in_memory=True, validation_per_class=0).train
    sampler = SAMPLERS.create("class_balanced", part.labels, 3, seed=0)
    for option in ({"resized_crop": 0.1}, {"jitter": 0.4}):
        with pytest.raises(ValueError, match=rf"^{next(iter(option))}: is for pictures decoded from files"):
            list(Batches(part, sampler, batch_size=4, seed=0, augment=Augment(**option)).epoch(0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"resize": 8}, r"^resize: must be ≥ `image_size` \(16\), got 8"),
        ({"train": "none.txt"}, r"^train: none\.txt: no such file$"),
        ({"root": "/none"}, r"^root: must be the folder the lists' paths begin in, got '/none'"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, params, message):
    with pytest.raises(ValueError, match=message):
        DATASETS.create("image_list", **{"root": str(folder), "train": str(folder / "train.txt"),
                                         "image_size": 16, **params})  # fmt: skip


def test_pictures_too_many_for_memory_point_to_decoding_them_when_needed(folder, monkeypatch):
    monkeypatch.setattr(picture_settings, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"^image_size: 15 pictures .*`in_memory=False`"):
        read(folder, in_memory=True)
    assert len(read(folder, in_memory=False).test) == 3


def test_a_list_runs_from_pictures_to_classifiers(folder, tmp_path_factory):
    (folder / "run.yaml").write_text(
        f"data: {{name: image_list, root: {folder}, train: {folder}/train.txt, test: {folder}/test.txt, "
        "image_size: 16, validation_per_class: 1}\n"
        "representation: {epochs: 1, batch_size: 4, augment: {resized_crop: 0.3, flip: true, jitter: 0.4}}\n"
        "features: {views: 2}\nclassifiers: [joint, crt, lws, ncm]\nsystem: {threads: 1, workers: 1}\n"
    )
    store = Store(tmp_path_factory.mktemp("root"))
    results = run_stage_two(load_config(str(folder / "run.yaml")), store)
    assert [r.classifier for r in results] == ["joint", "crt", "lws", "ncm"]
    assert all(0 <= r.metrics["test"]["accuracy"] <= 1 for r in results)
    again = run_stage_two(load_config(str(folder / "run.yaml")), store)
    assert again == results


# -- workers and signals ----------------------------------------------------------------------------------


def training(folder, root):
    """A process group that trains on pictures decoded by workers, past its first epoch."""
    import subprocess
    import sys

    arguments = [
        "represent", "image_folder", f"data.root={folder}/train", "data.image_size=64",
        "data.in_memory=false", "representation.backbone=resnet8", "representation.epochs=5000",
        "representation.batch_size=4",
        "data.validation_fraction=0", "data.test_fraction=0", "system.workers=1", "system.threads=1",
        "system.compile=off",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "longtail", "--root", str(root), *arguments],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(root)},  # a killed worker cannot remove its sockets
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not list(root.glob("representations/*/epoch-*.state")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_a_signal_to_the_whole_group_still_leaves_a_checkpoint(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    process = training(folder, root)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors


def test_a_worker_that_dies_while_the_network_computes_is_one_line(folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    process = training(folder, root)
    for _ in range(2000):  # workers come and go with every epoch
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        if process.poll() is not None:
            break
        time.sleep(0.005)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "a process that decodes pictures died" in lines[0]
    assert "Traceback" not in errors


@pytest.mark.parametrize("path", ["x" * 5000 + ".png", "a/" * 5000 + "x.png"])
def test_a_listed_path_that_is_too_long_is_named_by_list_and_line(folder, path):
    (folder / "train.txt").write_text(f"train/n00/0.png 0\n{path} 1\n")
    with pytest.raises(ValueError, match=r"train\.txt, line 2: .*…: cannot be looked up \(") as caught:
        DATASETS.sources("image_list", {"root": str(folder), "train": str(folder / "train.txt")})
    assert len(str(caught.value)) < 600
