"""IDX files: where they are searched, how they are read, and how damaged ones are reported."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from longtail.stages.data import DATASETS
from tests.stages.data.written_sets import IDX, idx_bytes, write_idx_set

FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("torchvision", [False, True])
def test_idx_files_are_read_plain_compressed_and_in_torchvisions_layout(
    tmp_path, name, compressed, torchvision
):
    layout = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    arrays = write_idx_set(tmp_path / layout / "raw" if torchvision else tmp_path, compressed=compressed)
    splits = DATASETS.create(name, root=str(tmp_path), validation_per_class=1)
    assert splits.input_shape == (1, 28, 28)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (30, 10, 20)
    assert np.array_equal(splits.test.images.numpy()[..., 0], arrays[IDX[2]])
    assert np.array_equal(splits.test.labels, arrays[IDX[3]])
    assert splits.class_names[9] == {"mnist": "9", "fashion_mnist": "ankle boot"}[name]


def test_idx_sources_come_in_one_order_wherever_they_lie(tmp_path):
    write_idx_set(tmp_path / "a")
    write_idx_set(tmp_path / "b" / "MNIST" / "raw", compressed=True)
    plain, packed = (DATASETS.sources("mnist", {"root": str(tmp_path / f)}) for f in "ab")
    assert [p.name for p in plain] == list(IDX)
    assert [p.name for p in packed] == [f"{name}.gz" for name in IDX]
    assert [p.read_bytes() for p in plain] == [gzip.decompress(p.read_bytes()) for p in packed]


def test_idx_files_are_looked_for_in_data_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_idx_set(Path("data"))
    assert DATASETS.sources("mnist", {})[0] == Path("data") / IDX[0]
    write_idx_set(Path("data/MNIST/raw"))  # the folder says which set it is: better evidence
    assert DATASETS.sources("mnist", {})[0] == Path("data/MNIST/raw") / IDX[0]


def test_missing_idx_files_name_the_folders_searched_and_the_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^root: no MNIST files.*data/MNIST/raw, data, .*`root="):
        DATASETS.create("mnist")
    with pytest.raises(ValueError, match=r"apt-get install dataset-fashion-mnist") as error:
        DATASETS.create("fashion_mnist", root="elsewhere")
    assert "elsewhere/FashionMNIST/raw, elsewhere;" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_incomplete_idx_folder_names_what_it_lacks(tmp_path):
    write_idx_set(tmp_path)
    (tmp_path / IDX[3]).unlink()
    with pytest.raises(ValueError, match=rf"lacks {IDX[3]};"):
        DATASETS.sources("mnist", {"root": str(tmp_path)})


def damage_truncate(folder):
    path = folder / IDX[0]
    path.write_bytes(path.read_bytes()[:-1])


def damage_lengthen(folder):
    path = folder / IDX[0]
    path.write_bytes(path.read_bytes() + b"\0")


def damage_header_only(folder):
    (folder / IDX[0]).write_bytes(struct.pack(">BBBBI", 0, 0, 8, 3, 40))


def damage_empty(folder):
    (folder / IDX[0]).write_bytes(b"")


def damage_magic(folder):
    path = folder / IDX[0]
    path.write_bytes(b"\x00\x00\x0d\x03" + path.read_bytes()[4:])


def damage_swap(folder):
    (folder / IDX[0]).write_bytes((folder / IDX[1]).read_bytes())


def damage_gzip_cut(folder):
    path = folder / IDX[0]
    path.with_name(f"{IDX[0]}.gz").write_bytes(gzip.compress(path.read_bytes())[:-100])
    path.unlink()


def damage_gzip_flip(folder):
    path = folder / IDX[0]
    data = bytearray(gzip.compress(path.read_bytes()))
    data[len(data) // 2] ^= 255
    path.with_name(f"{IDX[0]}.gz").write_bytes(data)
    path.unlink()


def damage_gzip_not(folder):
    path = folder / IDX[0]
    path.rename(path.with_name(f"{IDX[0]}.gz"))


def damage_count(folder):
    (folder / IDX[0]).write_bytes(idx_bytes(np.zeros((39, 28, 28), np.uint8)))


def damage_no_image(folder):
    (folder / IDX[0]).write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_truncate, "must hold 31376 bytes, says its header, got 31375"),
        (damage_lengthen, "must hold 31376 bytes, says its header, got 31377"),
        (damage_header_only, "ends inside its header of 16 bytes"),
        (damage_empty, "must begin with bytes 00 00 08 03"),
        (damage_magic, "must begin with bytes 00 00 08 03, got '00 00 0d 03'"),
        (damage_swap, "must begin with bytes 00 00 08 03, got '00 00 08 01'"),
        (damage_gzip_cut, "cannot be read, perhaps an incomplete download"),
        (damage_gzip_flip, "cannot be read, perhaps an incomplete download"),
        (damage_gzip_not, "cannot be read, perhaps an incomplete download"),
        (damage_count, "39 images, but .* holds 40 labels"),
        (damage_no_image, "0 images, but"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_idx_file_is_named(tmp_path, damage, message):
    write_idx_set(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=rf"{IDX[0]}(\.gz)?: {message}"):
        DATASETS.create("mnist", root=str(tmp_path))


def test_idx_labels_beyond_nine_are_refused_with_their_place(tmp_path):
    arrays = write_idx_set(tmp_path)
    arrays[IDX[3]][[7, 9]] = 10
    (tmp_path / IDX[3]).write_bytes(idx_bytes(arrays[IDX[3]]))
    with pytest.raises(ValueError, match=rf"{IDX[3]}: label 7 \(from 0\) must be in 0\.\.9, got 10"):
        DATASETS.create("mnist", root=str(tmp_path))


def test_idx_parts_of_different_picture_sizes_are_refused(tmp_path):
    write_idx_set(tmp_path)
    (tmp_path / IDX[2]).write_bytes(idx_bytes(np.zeros((20, 14, 28), np.uint8)))
    with pytest.raises(ValueError, match=r"14×28 pixels, but .*28×28"):
        DATASETS.create("mnist", root=str(tmp_path))


@pytest.mark.skipif(not FASHION.is_dir(), reason=f"no {FASHION}: apt-get install dataset-fashion-mnist")
def test_fashion_mnist_as_debian_installs_it_is_the_published_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = DATASETS.create(
        "fashion_mnist",
        profile="exponential",
        imbalance_factor=100,
        max_count=6000,
        validation_per_class=0,
    )
    assert len(splits.train) == splits.class_counts.sum() == 14886
    assert splits.class_counts[[0, -1]].tolist() == [6000, 60]
    assert (len(splits.val), len(splits.test)) == (0, 10000)
    assert np.bincount(splits.test.labels).tolist() == [1000] * 10
    assert splits.input_shape == (1, 28, 28)
    assert splits.class_names[0] == "t-shirt/top" and len(set(splits.class_names)) == 10
    pool = DATASETS.get("fashion_mnist")(layout="FashionMNIST").train
    assert pool.images.shape == (60000, 28, 28, 1)
    assert np.bincount(pool.labels).tolist() == [6000] * 10
    mean = pool.images.float().mean() / 255
    assert abs(float(mean) - 0.2860) < 1e-4  # the constant everyone normalises Fashion-MNIST with
