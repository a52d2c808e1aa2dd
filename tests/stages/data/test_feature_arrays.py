"""Feature arrays in folders and archives."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.feature_part import FeatureArrays
from longtail.stages.data.longtail import make_splits
from tests.stages.data.written_sets import features, write_features


def read_features(root: Path) -> Collection:
    return DATASETS.get("feature_arrays")(root=str(root))


def test_feature_arrays_read_a_folder_and_map_it(tmp_path):
    arrays = write_features(tmp_path, parts=("train", "val", "test"))
    splits = DATASETS.create("feature_arrays", root=str(tmp_path))
    assert splits.input_shape == (5,)
    assert splits.class_counts.tolist() == [4, 4, 4]
    assert splits.class_names == ["0", "1", "2"]
    for name, part in splits.parts().items():
        assert isinstance(part.X, np.memmap) and part.X.mode == "r"
        batch = part.batch(np.arange(len(part)))
        assert batch.dtype == torch.float32
        assert np.array_equal(batch.numpy(), arrays[f"{name}.X"])
        assert np.array_equal(part.labels, arrays[f"{name}.y"])
        assert part.constants == {}


@pytest.mark.parametrize("style", ["{part}.{array}", "{array}_{part}"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_feature_arrays_read_an_archive_in_both_key_styles(tmp_path, style, save):
    arrays = write_features(tmp_path / "folder", parts=("train", "val", "test"), style=style)
    save(tmp_path / "all.npz", **arrays, class_names=np.array(["ant", "bee", "cat", "none"]))
    data = read_features(tmp_path / "all.npz")
    assert data.class_names == ["ant", "bee", "cat", "none"]
    for part, name in ((data.train, "train"), (data.val, "val"), (data.test, "test")):
        assert np.array_equal(part.X, arrays[style.format(part=name, array="X")])
        assert np.array_equal(part.labels, arrays[style.format(part=name, array="y")])
    assert DATASETS.sources("feature_arrays", {"root": str(tmp_path / "all.npz")}) == [tmp_path / "all.npz"]


@pytest.mark.parametrize("archive", [False, True])
def test_feature_arrays_named_x_and_y_are_a_training_pool(tmp_path, archive):
    arrays = write_features(tmp_path, style="{array}")
    if archive:
        np.savez(tmp_path / "all.npz", **arrays)
    data = read_features(tmp_path / "all.npz" if archive else tmp_path)
    assert np.array_equal(data.train.X, arrays["X"])
    assert data.val is None and data.test is None
    splits = make_splits(data, profile="exponential", imbalance_factor=2, test_per_class=1)
    assert [len(part) for part in splits.parts().values()] == [6, 0, 3]


def test_feature_arrays_take_class_names_from_json(tmp_path):
    write_features(tmp_path)
    (tmp_path / "class_names.json").write_text('["a", "b", "c", "d"]')
    splits = DATASETS.create("feature_arrays", root=str(tmp_path), validation_per_class=0, test_per_class=0)
    assert splits.class_names == ["a", "b", "c", "d"]
    assert splits.class_counts.tolist() == [4, 4, 4, 0]


def test_feature_arrays_count_classes_over_all_parts(tmp_path):
    write_features(tmp_path, parts=("train", "test"))
    np.save(tmp_path / "test.y.npy", np.full(11, 6, np.uint8))
    assert len(read_features(tmp_path).class_names) == 7


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_feature_arrays_of_other_float_types_give_float32_batches(tmp_path, dtype):
    arrays = write_features(tmp_path, dtype=dtype)
    batch = read_features(tmp_path).train.batch([3, 1])
    assert batch.dtype == torch.float32
    assert np.array_equal(batch.numpy(), arrays["train.X"][[3, 1]].astype(np.float32))


def test_feature_arrays_take_composes_indices_without_copying(tmp_path):
    arrays = write_features(tmp_path)
    whole = read_features(tmp_path).train
    some = whole.take(np.array([10, 2, 7, 5]), np.array([0, 1, 0, 1]))
    fewer = some.take(np.array([3, 0]), np.array([1, 0])).normalized_like(whole).to("cpu")
    assert len(fewer) == 2 and fewer.labels.tolist() == [1, 0]
    assert np.shares_memory(fewer.X, whole.X) and fewer.X is whole.X
    assert np.array_equal(fewer.batch([1, 0, 0]).numpy(), arrays["train.X"][[10, 5, 5]])


def test_feature_arrays_put_batches_on_the_device_asked_for():
    X, y = features()
    assert FeatureArrays(X, y).to("meta").batch([0, 1]).device.type == "meta"
    assert FeatureArrays(X, y).to("meta").take(np.array([1]), np.array([0])).batch([0]).is_meta


def test_feature_arrays_batches_do_not_write_to_the_source():
    X, y = features()
    part = FeatureArrays(torch.from_numpy(X.copy()), y)
    part.batch([0, 1]).zero_()
    assert np.array_equal(part.X, X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_feature_arrays_name_the_rows_that_are_not_finite(tmp_path, monkeypatch, bad):
    monkeypatch.setattr("longtail.stages.data.feature_arrays.CHUNK", 15)  # three rows at a time
    X = write_features(tmp_path, dtype=np.float64)["train.X"]
    X[[2, 9], [4, 0]] = bad
    np.save(tmp_path / "train.X.npy", X)
    with pytest.raises(ValueError, match=r"train\.X\.npy: .*rows 2, 9 are not \(2 of 12"):
        read_features(tmp_path)


def test_feature_arrays_list_at_most_ten_bad_rows(tmp_path):
    X = write_features(tmp_path)["train.X"]
    np.save(tmp_path / "train.X.npy", X * np.nan)
    with pytest.raises(ValueError, match=r"rows 0, 1, .*, 9 and 2 more are not \(12 of 12"):
        read_features(tmp_path)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["object array", "object archive", "pickle", "pickled archive"])
def test_feature_arrays_refuse_pickles_without_running_them(tmp_path, kind):
    mark, root = tmp_path / "ran", tmp_path / "features"
    arrays = write_features(root)
    array = np.empty((12, 1), object)
    array[:] = Trap(mark)
    target = root / "train.X.npy"
    if kind == "object array":
        np.save(target, array, allow_pickle=True)
    elif kind == "pickle":
        target.write_bytes(pickle.dumps(Trap(mark)))
    else:
        root = target = tmp_path / "all.npz"
        np.savez(root, **{**arrays, "train.X": array}, allow_pickle=True)
        if kind == "pickled archive":
            root.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(ValueError, match=rf"{target.name}.*(Python objects|cannot be read as an .npz)"):
        read_features(root)
    assert not mark.exists()


def test_feature_arrays_name_a_truncated_file(tmp_path):
    write_features(tmp_path)
    path = tmp_path / "train.X.npy"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"train\.X\.npy: cannot be read"):
        read_features(tmp_path)
    arrays = write_features(tmp_path)
    np.savez(tmp_path / "all.npz", **arrays)
    data = bytearray((tmp_path / "all.npz").read_bytes())
    data[200] ^= 1
    (tmp_path / "all.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"all\.npz \[train\.X\]: cannot be read"):
        read_features(tmp_path / "all.npz")


def test_feature_arrays_that_are_an_archive_by_another_name_are_refused(tmp_path):
    arrays = write_features(tmp_path)
    with (tmp_path / "train.X.npy").open("wb") as stream:
        np.savez(stream, **arrays)
    with pytest.raises(ValueError, match=r"train\.X\.npy: must be one \.npy array"):
        read_features(tmp_path)


BAD_ARRAYS = {
    "integers": ("train.X", np.zeros((12, 5), np.int64), "must be float16, 32 or 64"),
    "one dimension": ("train.X", np.zeros(12, np.float32), r"\(N, D\), got float32 \(12,\)"),
    "no row": ("train.X", np.zeros((0, 5), np.float32), r"got float32 \(0, 5\)|cannot be read"),
    "rows": ("train.X", np.zeros((11, 5), np.float32), r"11 rows, but train\.y holds 12 labels"),
    "width": ("test.X", np.zeros((11, 4), np.float32), "4 features a row, but the training part has 5"),
    "float labels": ("train.y", np.zeros(12), "labels must be integers"),
    "negative": ("train.y", np.full(12, -1), r"row 0 \(from 0\) holds -1; 12 of 12"),
    "identifiers": ("train.y", np.full(12, 2**63, np.uint64), "row 0 .* holds 9223372036854775808"),
    "columns": ("test.y", np.zeros((11, 1), np.int64), r"labels must be integers \(N,\)"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_feature_arrays_name_the_file_that_does_not_fit(tmp_path, case):
    name, array, message = BAD_ARRAYS[case]
    write_features(tmp_path, parts=("train", "test"))
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(ValueError, match=rf"{name}\.npy: .*{message}"):
        read_features(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2, 3]", "must be a JSON list of names"),
        ("{}", "must be a JSON list of names"),
        ("[", "must be a JSON list of names"),
        ('["a", "b"]', r"train\.y\.npy: labels must be in 0\.\.1, row 2 \(from 0\) holds 2"),
    ],
)
def test_feature_arrays_check_class_names(tmp_path, text, message):
    write_features(tmp_path)
    (tmp_path / "class_names.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_features(tmp_path)


def test_feature_arrays_refuse_class_names_that_are_not_text(tmp_path):
    arrays = write_features(tmp_path)
    np.savez(tmp_path / "all.npz", **arrays, class_names=np.arange(3))
    with pytest.raises(ValueError, match=r"all\.npz \[class_names\]: must be text"):
        read_features(tmp_path / "all.npz")


def test_feature_arrays_miss_no_partner_and_no_misspelt_part(tmp_path):
    write_features(tmp_path, parts=("train", "test"))
    (tmp_path / "test.y.npy").unlink()
    with pytest.raises(ValueError, match=r"test\.y\.npy: is missing, though test\.X is there"):
        read_features(tmp_path)
    (tmp_path / "test.X.npy").rename(tmp_path / "tset.X.npy")
    with pytest.raises(ValueError, match=r"tset\.X\.npy: belongs to no part: train, val, test"):
        read_features(tmp_path)
    (tmp_path / "tset.X.npy").rename(tmp_path / "X_train.npy")
    with pytest.raises(ValueError, match=r"holds both train\.X and X_train"):
        read_features(tmp_path)


def test_feature_arrays_say_what_they_expect(tmp_path):
    for root in (tmp_path / "nowhere", tmp_path / "x.txt"):
        (tmp_path / "x.txt").touch()
        with pytest.raises(ValueError, match=r"^root: must be a folder of \.npy files or an \.npz file"):
            read_features(root)
    with pytest.raises(ValueError, match=r"^root: .* must hold train\.X and train\.y.*holds no array"):
        read_features(tmp_path)


def test_feature_arrays_sources_say_what_each_file_stands_for(tmp_path):
    write_features(tmp_path / "a", parts=("train", "test"))
    write_features(tmp_path / "b", parts=("train", "val"))
    write_features(tmp_path / "c", parts=("train", "test"), style="{array}_{part}")
    (tmp_path / "a" / "class_names.json").write_text('["a", "b", "c"]')

    def entries(name):
        sources = DATASETS.sources("feature_arrays", {"root": str(tmp_path / name)})
        return [entry if isinstance(entry, str) else entry.read_bytes() for entry in sources]

    assert entries("a")[:-2] == entries("c")
    assert entries("a")[-2:] == ["class_names", b'["a", "b", "c"]']
    assert entries("b")[1::2] == entries("c")[1::2] and entries("b") != entries("c")
