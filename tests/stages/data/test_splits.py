"""Profiles and splits: class counts, held-out samples, imbalance, classes and normalisation."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.longtail import make_splits
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.data.profiles import class_counts
from tests.stages.data.numbered_pictures import by_class, collection, numbers

# -- profiles --------------------------------------------------------------------------------------------


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


def test_unknown_profile_is_refused_by_name_when_a_set_is_split():
    with pytest.raises(
        ValueError, match=r"^profile: must be one of exponential, step, binary, none, got 'linear'"
    ):
        make_splits(collection([5, 5]), profile="linear")


# -- splits ----------------------------------------------------------------------------------------------


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
def test_unknown_or_repeated_classes_are_refused(classes):
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
        make_splits(collection([5, 0, 0], val=[1, 1, 1], test=[1, 1, 1]), classes=[1, 2])


@pytest.mark.parametrize(
    ("sizes", "classes", "message"),
    [
        ([5], None, "^the data have one class, 'class 0'; there must be at least two"),
        ([5, 5], [1], "^classes: must name two classes or more, got 'class 1' alone"),
    ],
)
def test_one_class_is_refused(sizes, classes, message):
    with pytest.raises(ValueError, match=message):
        make_splits(collection(sizes), classes=classes)


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
