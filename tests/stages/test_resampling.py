"""Resamplers of features: how many samples each class ends with, and where the new ones lie."""

import inspect
import sys
import warnings

import numpy as np
import pytest

from longtail.stages.parameters import Problems
from longtail.stages.resampling import NEEDS_EXTRA, RESAMPLERS

NAMES = RESAMPLERS.names()
RANDOM = ["random_over", "random_under"]
SYNTHETIC = [name for name in NAMES if name not in RANDOM]
FILLING = [name for name in NAMES if name not in ("random_under", "smote_tomek")]
every_name = pytest.mark.parametrize("name", NAMES)
every_filling = pytest.mark.parametrize("name", FILLING)

COUNTS = [24, 9, 0, 4, 2, 1]  # one class absent, one with two samples, one with one
pytestmark = pytest.mark.filterwarnings("ignore:.* its samples are (repeated|kept)")


def blobs(counts=COUNTS, *, apart=1.0, seed=0, dtype=np.float32):
    """Shuffled features (N, 3), one centre a class, and row numbers (N,)."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    centers = apart * np.random.default_rng(7).normal(size=(len(counts), 3))
    return (centers[y] + rng.normal(size=(len(y), 3))).astype(dtype), y


X, Y = blobs()


def resample(name, X=X, y=Y, *, random_state=0, **params):
    return RESAMPLERS.create(name, X, y, random_state=random_state, **params)


def fraction_of_the_way(new, start, end):
    """(u, distance from the line) of a point on the line from `start` to `end`."""
    way = end - start
    u = way @ (new - start) / (way @ way)
    return u, np.linalg.norm(start + u * way - new)


# -- every resampler --------------------------------------------------------------------------------------


def test_there_are_the_six_of_the_design():
    expected = ["adasyn", "borderline_smote", "random_over", "random_under", "smote", "smote_tomek"]
    assert expected == NAMES


@every_name
def test_parameters_are_those_of_the_signature(name):
    signature = inspect.signature(RESAMPLERS.get(name)).parameters
    assert list(signature)[:3] == ["X", "y", "random_state"]
    assert list(RESAMPLERS.describe(name).parameters) == list(signature)[3:]


@every_filling
def test_over_samplers_fill_every_present_class_up_to_the_largest(name):
    features, y = resample(name)
    assert np.bincount(y, minlength=6).tolist() == [24, 24, 0, 24, 24, 24]
    np.testing.assert_array_equal(features[: len(X)], X)
    np.testing.assert_array_equal(y[: len(X)], Y)


def test_random_under_keeps_as_many_as_the_smallest_class_has():
    X3, rows = blobs([10, 3, 0, 7])
    features, y = resample("random_under", X3, rows)
    assert np.bincount(y).tolist() == [3, 3, 0, 3]
    for c in (0, 1, 3):
        own = {tuple(row) for row in X3[rows == c]}
        kept = {tuple(row) for row in features[y == c]}
        assert len(kept) == 3 and kept <= own


@every_name
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, other, third = (resample(name, random_state=seed) for seed in (0, 0, 1))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
    assert one[0].shape != third[0].shape or not np.array_equal(one[0], third[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@every_name
@pytest.mark.parametrize(
    ("given", "expected"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_features_keep_their_type_but_for_float16(name, given, expected):
    values, y = resample(name, X.astype(given))
    assert (values.dtype, y.dtype) == (np.dtype(expected), Y.dtype)


@every_name
def test_inputs_stay_as_they_were(name):
    features, y = X.copy(), Y.copy()
    resample(name, features, y)
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(y, Y)


@every_name
@pytest.mark.parametrize("counts", [[5], [0, 3], [1], [4, 4, 4], [1, 1]])
def test_equal_classes_or_one_class_alone_are_left_alone(name, counts):
    X3, rows = blobs(counts, apart=9.0)
    features, y = resample(name, X3, rows)
    np.testing.assert_array_equal(features, X3)
    np.testing.assert_array_equal(y, rows)


@every_filling
def test_a_single_sample_is_repeated(name):
    features, y = resample(name)
    assert (features[y == 5] == X[Y == 5][0]).all()


@every_filling
def test_two_samples_are_enough_for_five_neighbours(name):
    features, y = resample(name)
    pair = X[Y == 4].astype(float)
    for new in features[y == 4].astype(float):
        u, off = fraction_of_the_way(new, *pair)
        assert -1e-6 <= u <= 1 + 1e-6 and off < 1e-6


@every_name
def test_what_is_no_feature_matrix_is_refused(name):
    for bad, rows, message in [
        (np.where(X > 1, np.nan, X), Y, "NaN"),
        (X, Y.astype(float), "labels: must be integers, got float64"),
        (X[:-1], Y, "inconsistent"),
    ]:
        with pytest.raises(ValueError, match=message):
            resample(name, bad, rows)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_parameters_obey_their_rule(name):
    with pytest.raises(Problems, match="k_neighbors: must be an integer ≥ 1, got 0"):
        resample(name, k_neighbors=0)
    large = dict.fromkeys(RESAMPLERS.describe(name).parameters, 10**6)
    resample(name, k_neighbors=1), resample(name, **large)


# -- random over-sampling ---------------------------------------------------------------------------------


def test_random_over_repeats_all_samples_alike_up_to_one():
    features, y = resample("random_over")
    for c in (1, 3, 4):  # 24 of 9: two or three times each; of 4 and 2: six and twelve times exactly
        _, times = np.unique(features[y == c], axis=0, return_counts=True)
        share, rest = divmod(24, COUNTS[c])
        assert sorted(times) == [share] * (COUNTS[c] - rest) + [share + 1] * rest


# -- SMOTE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smote", "borderline_smote", "adasyn"])
@pytest.mark.parametrize("k", [1, 3])
def test_new_samples_lie_between_near_neighbours_of_one_class(name, k):
    X3, rows = blobs([40, 12, 3], apart=0.3, dtype=np.float64)
    features, y = resample(name, X3, rows, k_neighbors=k)
    for c in (1, 2):
        own = X3[rows == c]
        between = np.linalg.norm(own[:, None] - own[None], axis=2)
        nearest = np.argsort(between, axis=1)[:, 1 : k + 1]
        pairs = [(own[i], own[j]) for i in range(len(own)) for j in nearest[i]]
        for new in features[len(X3) :][y[len(X3) :] == c]:
            spots = [fraction_of_the_way(new, *pair) for pair in pairs]
            assert any(off < 1e-9 and -1e-9 <= u <= 1 + 1e-9 for u, off in spots)
    other = resample(name, X3, rows, k_neighbors=4 - k)[0]
    assert other.shape == features.shape and not np.array_equal(other, features)


def test_smote_alone_makes_as_many_different_samples_as_are_missing():
    features, y = resample("smote")
    for c in (1, 3, 4):
        assert len(np.unique(features[y == c], axis=0)) == 24


def test_borderline_smote_starts_from_samples_in_danger_only():
    """Class 1 has four samples far out and two inside class 0: only these two are started from."""
    rng = np.random.default_rng(0)
    safe, danger = 0.1 * rng.normal(size=(8, 2)) + 50, 0.1 * rng.normal(size=(2, 2))
    X3 = np.concatenate([rng.normal(size=(30, 2)), safe, danger])
    rows = np.repeat([0, 1], [30, 10])
    features, y = resample("borderline_smote", X3, rows, k_neighbors=1, m_neighbors=6)
    made = features[40:]
    assert (y[40:] == 1).all() and len(made) == 20
    assert np.abs(made).max() < 2  # between the two, each other's nearest of the class


def test_adasyn_makes_more_where_there_are_more_strangers():
    rng = np.random.default_rng(0)
    safe, danger = rng.normal(size=(8, 2)) + 50, 0.1 * rng.normal(size=(8, 2))
    X3 = np.concatenate([rng.normal(size=(60, 2)), safe, danger])
    rows = np.repeat([0, 1], [60, 16])
    features, _ = resample("adasyn", X3, rows, k_neighbors=3)
    made = features[76:]
    assert len(made) == 44
    assert (np.abs(made).max(1) < 5).mean() > 0.9


# -- falling back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("borderline_smote", "class 1 holds no sample in danger: its samples are repeated"),
        ("adasyn", "class 1 has no neighbours of other classes to go by: its samples are repeated"),
    ],
)
def test_a_class_far_from_all_others_is_repeated_with_a_warning(name, reason):
    X3, rows = blobs([30, 12])
    X3[rows == 1] += 100
    with pytest.warns(UserWarning, match=reason):
        features, y = resample(name, X3, rows)
    assert np.bincount(y).tolist() == [30, 30]
    assert len(np.unique(features[y == 1], axis=0)) == 12


def test_adasyn_whose_shares_all_round_to_none_repeats():
    X3 = np.linspace(0, 1, 21)[:, None]
    rows = np.arange(21) % 2  # every neighbour but a few is foreign: eleven against ten, one missing
    with pytest.warns(UserWarning, match="class 1 has no neighbours"):
        _, y = resample("adasyn", X3, rows, k_neighbors=2)
    assert np.bincount(y).tolist() == [11, 11]


@pytest.mark.parametrize("name", ["smote", "random_over", "random_under"])
def test_nothing_is_warned_of_where_nothing_is_wrong(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resample(name)


# -- Tomek links ------------------------------------------------------------------------------------------


def test_smote_tomek_leaves_out_both_ends_of_every_link():
    X3, rows = blobs([20, 12], apart=0.5, dtype=np.float64)
    full, y = resample("smote", X3, rows)
    apart = np.linalg.norm(full[:, None] - full[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(1)
    linked = (nearest[nearest] == np.arange(len(full))) & (y != y[nearest])
    assert linked.any()
    features, kept = resample("smote_tomek", X3, rows)
    np.testing.assert_array_equal(features, full[~linked])
    np.testing.assert_array_equal(kept, y[~linked])


def test_smote_tomek_never_empties_a_class():
    X3, rows = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 1, 0, 1])
    with pytest.warns(UserWarning, match="all of class 0, 1 is in Tomek links: its samples are kept"):
        features, y = resample("smote_tomek", X3, rows)
    np.testing.assert_array_equal(features, X3)
    np.testing.assert_array_equal(y, rows)


# -- without the extra ------------------------------------------------------------------------------------


@pytest.fixture
def no_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "imblearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "imblearn", None)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_missing_library_names_the_extra(no_extra, name):
    with pytest.raises(ImportError) as caught:
        resample(name, *blobs([3, 3]))  # even where nothing is missing
    assert str(caught.value) == NEEDS_EXTRA
    assert NEEDS_EXTRA == "resampling needs imbalanced-learn: pip install 'longtail[imbalance]'"


@pytest.mark.parametrize("name", RANDOM)
def test_random_ones_need_no_library(no_extra, name):
    resample(name)
