"""Profiles, splits, batches of pictures, and every reader on files in its real format."""

from __future__ import annotations

import gzip
import inspect
import itertools
import json
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.stages.data import DATASETS, SUPPLIED, Collection
from longtail.stages.data.feature_part import FeatureArrays
from longtail.stages.data.longtail import make_splits
from longtail.stages.data.pictures import settings as picture_settings
from longtail.stages.data.pictures.augment import Augment, draw_crops, draw_mixture
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.data.pictures.read_picture import decode
from longtail.stages.data.profiles import class_counts
from longtail.stages.registry import Registry
from longtail.stages.registry.annotations import rule_of_text
from tests.places import CHECKOUT
from tests.stages.data.numbered_pictures import by_class, collection, numbers

FASHION = Path("/usr/share/datasets/fashion-mnist")


# -- profiles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_classes", "max_count", "totals"),
    [
        (10, 5000, {10: 20431, 20: 17023, 50: 13996, 100: 12406, 200: 11203, 500: 10011}),
        (100, 500, {10: 19573, 20: 15907, 50: 12608, 100: 10847, 200: 9502, 500: 8155}),
        (100, 450, {10: 17614, 20: 14315, 50: 11349, 100: 9754, 200: 8548}),
    ],
)
def test_exponential_totals_match_the_published_ones(num_classes, max_count, totals):
    sums = {f: int(class_counts("exponential", num_classes, max_count, f).sum()) for f in totals}
    assert sums == totals


def test_exponential_counts_match_cifar10_at_factor_100():
    counts = class_counts("exponential", 10, 5000, 100)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert counts.dtype == np.int64


def test_exponential_counts_are_nominal_at_the_tail():
    assert class_counts("exponential", 100, 500, 200)[-1] == 2
    assert class_counts("exponential", 3, 5, 1000).tolist() == [5, 1, 1]


def test_step_counts_halve_the_classes_and_favour_the_tail_of_an_odd_number():
    assert class_counts("step", 4, 500, 10).tolist() == [500, 500, 50, 50]
    assert class_counts("step", 5, 500, 10).tolist() == [500, 500, 50, 50, 50]
    assert class_counts("step", 2, 5, 100).tolist() == [5, 1]


@pytest.mark.parametrize(
    ("ratio", "minority"), [(0.9, 500), (0.95, 250), (0.98, 100), (0.99, 50), (0.995, 25)]
)
def test_binary_counts_put_the_minority_first(ratio, minority):
    counts = class_counts("binary", 2, None, total=5000, majority_ratio=ratio)
    assert counts.tolist() == [minority, 5000 - minority]


@pytest.mark.parametrize("profile", ["exponential", "none"])
def test_a_single_class_gets_max_count(profile):
    assert class_counts(profile, 1, 7, 100).tolist() == [7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear", 3, 5), "profile"),
        (("exponential", 0, 5, 10), "num_classes"),
        (("exponential", 3, None, 10), "max_count"),
        (("exponential", 3, 5, None), "imbalance_factor"),
        (("step", 3, 5, 0.5), "imbalance_factor"),
        (("exponential", 3, 5, float("nan")), "imbalance_factor"),
        (("binary", 3, None), "two classes"),
        (("binary", 2, None), "total: is required .*; majority_ratio: is required"),
    ],
)
def test_class_counts_name_the_setting_that_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_counts(*arguments)


# -- splits -------------------------------------------------------------------------------------------


def test_held_out_samples_do_not_change_with_the_profile():
    data = collection([50, 50, 50, 50])
    common = {"validation_per_class": 5, "test_per_class": 10}
    plain = make_splits(data, **common)
    for shape in (
        {"profile": "exponential", "imbalance_factor": 10},
        {"profile": "step", "imbalance_factor": 7, "max_count": 20},
    ):
        skewed = make_splits(data, **shape, **common)
        assert numbers(skewed.val) == numbers(plain.val)
        assert numbers(skewed.test) == numbers(plain.test)
        assert set(numbers(skewed.train)) < set(numbers(plain.train))
    assert np.bincount(plain.val.labels).tolist() == [5] * 4
    assert np.bincount(plain.test.labels).tolist() == [10] * 4


def test_parts_are_disjoint_and_together_the_pool():
    data = collection([30, 12, 5])
    splits = make_splits(data)
    train, val, test = (set(numbers(part)) for part in splits.parts().values())
    assert not train & val and not train & test and not val & test
    assert train | val | test == set(numbers(data.train))


def test_max_count_defaults_to_the_smallest_class_after_hold_out():
    splits = make_splits(
        collection([60, 40, 50]),
        profile="exponential",
        imbalance_factor=5,
        validation_per_class=4,
        test_per_class=6,
    )
    assert splits.class_counts.tolist() == class_counts("exponential", 3, 30, 5).tolist()
    assert splits.class_counts.tolist() == np.bincount(splits.train.labels).tolist()


def test_a_steeper_subset_lies_inside_a_flatter_one():
    data = collection([200] * 5)
    kept = [
        set(
            numbers(
                make_splits(data, profile="exponential", imbalance_factor=f, test_per_class=20).train,
            )
        )
        for f in (100, 20, 5, 1)
    ]
    assert all(steep < flat for steep, flat in itertools.pairwise(kept))


def test_data_seed_changes_the_subset_and_repeats_it():
    data = collection([40, 40])
    shape = {"profile": "exponential", "imbalance_factor": 4, "max_count": 20}
    first, again, other = (make_splits(data, **shape, seed=seed) for seed in (0, 0, 1))
    assert numbers(first.train) == numbers(again.train)
    assert set(numbers(first.train)) != set(numbers(other.train))
    assert set(numbers(first.test)) != set(numbers(other.test))
    assert first.class_counts.tolist() == other.class_counts.tolist()


def test_making_splits_touches_no_global_generator():
    def states():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    make_splits(collection([40, 40]), profile="exponential", imbalance_factor=4)
    DATASETS.create("digits", profile="exponential", imbalance_factor=4)
    assert states() == before


def test_classes_keep_only_those_and_are_renumbered_in_the_order_given():
    data = collection([10, 20, 30, 40], test=[4, 4, 4, 4])
    splits = make_splits(data, classes=[3, 1], validation_per_class=0)
    assert splits.class_names == ["class 3", "class 1"]
    assert splits.num_classes == 2
    assert splits.class_counts.tolist() == [40, 20]
    original = by_class(data.train)
    assert by_class(splits.train) == {0: original[3], 1: original[1]}
    assert by_class(splits.test) == {0: by_class(data.test)[3], 1: by_class(data.test)[1]}


@pytest.mark.parametrize("classes", [[], [0, 0], [0, 4]])
def test_classes_that_are_none_or_repeated_are_refused(classes):
    with pytest.raises(ValueError, match="classes: must be distinct labels below 4"):
        make_splits(collection([10] * 4), classes=classes)


def test_binary_profile_makes_the_class_named_first_the_minority():
    data = collection([0, 0, 0, 0, 100, 0, 0, 0, 0, 100], test=[9] * 10)
    splits = make_splits(
        data, profile="binary", classes=[4, 9], total=50, majority_ratio=0.9, validation_per_class=10
    )
    assert splits.class_counts.tolist() == [5, 45]
    assert splits.class_names == ["class 4", "class 9"]
    assert np.bincount(splits.val.labels).tolist() == [10, 10]
    assert np.bincount(splits.test.labels).tolist() == [9, 9]


def test_max_count_above_what_a_class_has_names_class_and_number():
    with pytest.raises(ValueError, match=r"^max_count: .* 30 .* 'class 0', which has 20 left"):
        make_splits(
            collection([25, 50]),
            profile="exponential",
            imbalance_factor=2,
            max_count=30,
            test_per_class=5,
            validation_per_class=0,
        )


@pytest.mark.parametrize("key", ["validation_per_class", "test_per_class"])
def test_holding_out_a_whole_class_is_refused_by_name(key):
    with pytest.raises(ValueError, match=rf"^{key}: must be below \d+, what class 'class 1'"):
        make_splits(collection([25, 5]), **{key: 5})


def test_max_count_without_a_profile_caps_each_class():
    splits = make_splits(collection([25, 8, 5], val=[1] * 3, test=[1] * 3), max_count=8)
    assert splits.class_counts.tolist() == [8, 8, 5]


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 1.0])
def test_fractions_leave_every_class_a_training_sample(fraction):
    sizes = [1, 2, 3, 4, 10, 101]
    splits = make_splits(collection(sizes), validation_fraction=fraction, test_fraction=fraction)
    assert (splits.class_counts >= 1).all()
    assert splits.class_counts[0] == 1
    for part in splits.parts().values():
        assert len(part.batch(np.arange(len(part)))) == len(part)


def test_fractions_are_stratified():
    splits = make_splits(collection([100, 50, 10]))
    assert np.bincount(splits.test.labels).tolist() == [20, 10, 2]
    assert np.bincount(splits.val.labels).tolist() == [8, 4, 1]


def test_a_class_without_training_samples_is_kept_with_its_test_samples():
    splits = make_splits(collection([5, 0, 3], val=[2, 2, 2], test=[2, 2, 2]))
    assert splits.class_counts.tolist() == [5, 0, 3]
    assert splits.num_classes == 3
    assert np.bincount(splits.test.labels).tolist() == [2, 2, 2]


def test_an_empty_class_may_hold_out_nothing_but_has_no_place_in_a_profile():
    splits = make_splits(collection([5, 0]), validation_per_class=0, test_per_class=0)
    assert splits.class_counts.tolist() == [5, 0]
    with pytest.raises(ValueError, match="1 training samples of class 'class 1', which has 0 left"):
        make_splits(collection([5, 0]), profile="exponential", imbalance_factor=2)


def test_no_training_sample_at_all_is_refused():
    with pytest.raises(ValueError, match="no training sample"):
        make_splits(collection([5, 0], val=[1, 1], test=[1, 1]), classes=[1])


def test_parts_the_data_set_brings_are_used_whole_or_trimmed():
    data = collection([10, 10], val=[6, 4], test=[5, 5])
    whole = make_splits(data)
    assert set(numbers(whole.val)) == set(numbers(data.val))
    assert whole.class_counts.tolist() == [10, 10]
    trimmed = make_splits(data, validation_per_class=4, test_per_class=2)
    assert np.bincount(trimmed.val.labels).tolist() == [4, 4]
    assert np.bincount(trimmed.test.labels).tolist() == [2, 2]


def test_normalisation_constants_are_those_of_the_training_pixels():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
    images[..., 2] = 7  # a channel that never changes
    data = Collection(ImageArrays(images, np.repeat([0, 1], 30)), None, None, ["a", "b"])
    splits = make_splits(data, profile="exponential", imbalance_factor=3)
    pixels = splits.train.images.numpy().reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(splits.train.mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(splits.train.std[:2], pixels.std(0)[:2], rtol=1e-6)
    batch = splits.train.batch(np.arange(len(splits.train)))
    np.testing.assert_allclose(batch.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std((0, 2, 3), correction=0)[:2], 1, rtol=1e-5)
    assert torch.isfinite(batch).all()
    assert splits.val.constants == splits.test.constants == splits.train.constants
    assert splits.input_shape == (3, 5, 4)


# -- batches of pictures ------------------------------------------------------------------------------


@pytest.fixture
def pictures() -> ImageArrays:
    rng = np.random.default_rng(1)
    part = ImageArrays(rng.integers(0, 256, (12, 5, 6, 3), dtype=np.uint8), np.arange(12) % 3)
    return part.normalized_like(part)


def test_batch_is_pixels_minus_mean_over_std_by_index(pictures):
    rows = [7, 0, 7]
    pixels = pictures.images.numpy()[rows].astype(np.float64)
    expected = (pixels - pictures.mean.numpy()) / pictures.std.numpy()
    images = pictures.batch(rows)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_augmenting_with_nothing_gives_exactly_the_batch(pictures):
    rows = np.array([3, 1, 11])
    images, mixture = pictures.augmented(rows, Augment(), np.random.default_rng(0))
    assert mixture is None
    assert torch.equal(images, pictures.batch(rows))


@pytest.mark.parametrize(
    "augment", [Augment(pad=2), Augment(flip=True), Augment(pad=1, flip=True), Augment(2, True, 0.7)]
)
def test_augmented_matches_one_picture_at_a_time(pictures, augment):
    rows = np.array([5, 2, 2, 9, 0, 11, 4, 4])
    images, mixture = pictures.augmented(rows, augment, np.random.default_rng(3))

    rng = np.random.default_rng(3)
    height, width = pictures.images.shape[1:3]
    top_rows, left_cols = draw_crops(len(rows), height, width, augment, rng)
    mixed = draw_mixture(len(rows), augment, rng)
    expected = []
    for i, row in enumerate(rows):
        image = pictures.images[row].numpy().astype(np.float64)
        p = augment.pad
        image = np.pad(image, ((p, p), (p, p), (0, 0)))
        flipped = left_cols[i][0] > left_cols[i][-1]
        top, left = top_rows[i].min(), left_cols[i].min()
        image = image[top : top + height, left : left + width]
        image = image[:, ::-1] if flipped else image
        expected.append((image - pictures.mean.numpy()) / pictures.std.numpy())
    expected = np.stack(expected).transpose(0, 3, 1, 2)
    if mixed is None:
        assert mixture is None
    else:
        assert mixture.share == mixed.share
        expected = mixed.share * expected + (1 - mixed.share) * expected[mixture.partner]
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_drawn_crops_reach_every_place_and_both_directions():
    rows, cols = draw_crops(2000, 4, 4, Augment(pad=2, flip=True), np.random.default_rng(0))
    assert sorted(set(rows[:, 0].tolist())) == sorted(set(cols.min(1).tolist())) == [0, 1, 2, 3, 4]
    flipped = cols[:, 0] > cols[:, -1]
    assert 0.45 < flipped.mean() < 0.55
    assert (np.abs(np.diff(cols, axis=1)) == 1).all() and (np.diff(rows, axis=1) == 1).all()


def test_mixup_pairs_are_a_permutation_and_the_share_is_beta():
    rng = np.random.default_rng(0)
    drawn = [draw_mixture(6, Augment(mixup=0.5), rng) for _ in range(2000)]
    assert all(sorted(m.partner.tolist()) == list(range(6)) for m in drawn)
    shares = np.array([m.share for m in drawn])
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 0.125) < 0.01  # of Beta(a, a): 1/(4(2a + 1))


def test_images_of_another_type_are_refused():
    with pytest.raises(ValueError, match=r"uint8 \(N, H, W, C\)"):
        ImageArrays(np.zeros((2, 3, 3, 1), np.float32), [0, 1])


# -- contract: every data set -------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS.names())
def test_parameters_read_from_the_source_match_the_signature(name):
    component = Registry.describe(DATASETS, name)
    reader = DATASETS.get(name)
    signature = dict(inspect.signature(reader).parameters)
    signature.pop("workers", None)  # the program's to give, no setting of the data
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.values())
    assert set(signature) == {*component.parameters, *component.fixed}
    for key, parameter in component.parameters.items():
        assert parameter.default == signature[key].default
        assert parameter.rule == rule_of_text(signature[key].annotation)
    shared = set(inspect.signature(make_splits).parameters) - {"collection", *SUPPLIED}
    assert shared.isdisjoint(component.parameters)
    assert set(DATASETS.describe(name).parameters) == shared | set(component.parameters)


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_says_what_it_is_and_where_it_comes_from(name):
    component = DATASETS.describe(name)
    assert component.summary.endswith(".")
    assert component.source


@pytest.mark.parametrize("name", DATASETS.names())
def test_sources_take_the_parameters_of_the_reader(name):
    reader = DATASETS.get(name)
    sources = inspect.signature(sys.modules[reader.__module__].sources).parameters
    own = {key for key, p in sources.items() if p.kind is p.KEYWORD_ONLY}
    takes_more = any(p.kind is p.VAR_KEYWORD for p in sources.values())
    expected = set(inspect.signature(reader).parameters) - {"workers"}
    assert own <= expected if takes_more else own == expected


def test_sources_load_neither_numpy_nor_torch(tmp_path):
    write_idx_set(tmp_path / "idx")
    write_pictures(tmp_path / "pictures", {"a": 1, "b": 1})
    write_features(tmp_path / "features")
    params = {
        "digits": {},
        "mnist": {"root": str(tmp_path / "idx")},
        "fashion_mnist": {"root": str(tmp_path / "idx")},
        "image_folder": {"root": str(tmp_path / "pictures"), "image_size": 8},
        "feature_arrays": {"root": str(tmp_path / "features")},
    }
    program = (
        "import json, sys\n"
        "from longtail.stages.data import DATASETS\n"
        "entries = {k: [*map(str, DATASETS.sources(k, v))] for k, v in json.loads(sys.argv[1]).items()}\n"
        "heavy = [m for m in ('numpy', 'torch', 'PIL', 'sklearn') if m in sys.modules]\n"
        "print(json.dumps([entries, heavy]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(params)],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    entries, heavy = json.loads(done.stdout)
    assert heavy == []
    assert all(entries.values()) and set(entries) == set(params)


def test_digits_splits_are_the_real_thing():
    splits = DATASETS.create("digits", validation_per_class=20, test_per_class=40)
    assert splits.class_counts.sum() == 1797 - 600
    assert splits.input_shape == (1, 8, 8)
    assert splits.train.images.max() == 240
    assert DATASETS.sources("digits", {})[0].is_file()


# -- idx files ----------------------------------------------------------------------------------------

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, compressed=False, train=40, test=20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for images, labels, n in ((IDX[0], IDX[1], train), (IDX[2], IDX[3], test)):
        arrays[images] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[labels] = (np.arange(n) % 10).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        data = idx_bytes(array)
        path = folder / (name + ".gz" if compressed else name)
        path.write_bytes(gzip.compress(data) if compressed else data)
    return arrays


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


# -- folders of pictures ------------------------------------------------------------------------------


def picture(seed=0, size=(9, 7), mode="RGB") -> Image.Image:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def write_pictures(root: Path, counts: dict[str, int], *, suffix=".png", size=(9, 7)) -> Path:
    """`root` with one folder per class; a name may hold slashes."""
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            picture(100 * c + k, size).save(root / name / f"{k:03d}{suffix}")
    return root


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


def test_image_folder_turns_pictures_upright(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # the camera's top half; orientation 6: turn clockwise to view
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a" / "x.png", exif=exif)
    image = read_folder(tmp_path, image_size=16).train.images[0].numpy()
    assert np.array_equal(image, np.rot90(pixels, -1))


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
    lines = [line.split("\t") for line in DATASETS.sources("image_folder", {"root": str(tmp_path)})]
    assert [(path, label) for path, _, label in lines] == [
        ("a/000.png", "a"),
        ("a/deep/er/000.png", "a"),
        ("b/000.png", "b"),
    ]
    assert [int(size) for _, size, _ in lines] == [(tmp_path / path).stat().st_size for path, _, _ in lines]
    assert read_folder(tmp_path, image_size=4).train.labels.tolist() == [0, 0, 1]


def test_image_folder_sources_are_the_same_wherever_the_root_lies(tmp_path):
    for place in ("here", "there"):
        write_pictures(tmp_path / place, {"train/a": 2, "train/b": 1, "test/a": 1})
    here, there = (
        DATASETS.sources("image_folder", {"root": str(tmp_path / place), "image_size": 8})
        for place in ("here", "there")
    )
    assert here == there == sorted(here) and len(here) == 4


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


# -- feature arrays -----------------------------------------------------------------------------------


def features(n=12, d=5, classes=3, seed=0, dtype=np.float32):
    X = np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)
    return X, np.arange(n) % classes


def write_features(
    root: Path, *, parts=("train",), style="{part}.{array}", **options
) -> dict[str, np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for k, part in enumerate(parts):
        for array, values in zip("Xy", features(12 - k, seed=k, **options), strict=True):
            arrays[style.format(part=part, array=array)] = values
    for name, values in arrays.items():
        np.save(root / f"{name}.npy", values)
    return arrays


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


@pytest.mark.parametrize(
    "settings",
    [
        {"imbalance_factor": 100.0},
        {"profile": "exponential", "imbalance_factor": 2.0, "total": 10},
        {"profile": "binary", "classes": [0, 1], "total": 10, "majority_ratio": 0.9, "max_count": 5},
    ],
)
def test_a_setting_the_profile_has_no_use_for_is_refused(settings):
    with pytest.raises(ValueError, match=r"^\w+: has no meaning with profile \w+, got"):
        DATASETS.create("digits", **settings)


def test_data_set_without_sources_is_refused_with_what_to_add(monkeypatch):
    monkeypatch.setattr(DATASETS, "_by_hand", {})
    monkeypatch.setattr(DATASETS, "_objects", dict(DATASETS._objects))

    @DATASETS.register("scans")
    def scans(*, root: str):
        raise AssertionError("nothing is read")

    module = sys.modules[__name__]
    with pytest.raises(ValueError, match=rf"'scans': {__name__} must define sources\(\*, root\)"):
        DATASETS.sources("scans", {"root": "here"})
    monkeypatch.setattr(module, "sources", list, raising=False)
    with pytest.raises(ValueError, match=r"sources must take .*unexpected keyword argument 'root'"):
        DATASETS.sources("scans", {"root": "here"})
    monkeypatch.setattr(module, "sources", lambda *, root: [root])
    assert DATASETS.sources("scans", {"root": "here"}) == ["here"]


def test_labels_without_a_class_name_are_refused_not_dropped():
    part = ImageArrays(np.zeros((6, 2, 2, 1), np.uint8), [0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"train part: labels must be in 0\.\.1, .* got 2"):
        make_splits(Collection(part, None, None, ["a", "b"]))


def test_images_need_a_label_each():
    with pytest.raises(ValueError, match=r"must have labels \(N,\), got \(6, 2, 2, 1\) and \(5,\)"):
        ImageArrays(np.zeros((6, 2, 2, 1), np.uint8), range(5))
