"""The exact τ path against dense evaluation, and the rules by which a best τ is picked."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.stages.classifiers.tools import intervals
from longtail.stages.classifiers.tools.accuracy_path import NARROWEST, TauPath
from longtail.stages.classifiers.tools.paths import (
    adjustment_path,
    correct_intervals,
    exponential_path,
    linear_path,
    tau_path,
)
from longtail.stages.network import Head

MANY, FEW = 3, 2  # so that toys have classes in all three groups


def naive_hits(X, y, weight, tau, playing):
    """Whether the true class is strictly largest among the `playing` ones at `tau`, (N,) bool, float64."""
    X, weight = np.asarray(X, np.float64), np.asarray(weight, np.float64)
    norms = np.sqrt((weight**2).sum(1))
    norms[norms == 0] = 1
    hits = np.zeros(len(y), bool)
    for i, label in enumerate(y):
        scores = (X[i] @ weight.T) / norms**tau
        rivals = [c for c in playing if c != label]
        hits[i] = label in playing and all(scores[label] > scores[c] for c in rivals)
    return hits


def naive_recalls(hits, y, num_classes):
    return [float(hits[y == c].mean()) if (y == c).any() else None for c in range(num_classes)]


def naive_groups(recalls, counts):
    def mean(wanted):
        chosen = [r for r, n in zip(recalls, counts, strict=True) if r is not None and wanted(n)]
        return pytest.approx(np.mean(chosen)) if chosen else None

    return {
        "many": mean(lambda n: n > MANY),
        "medium": mean(lambda n: FEW <= n <= MANY),
        "few": mean(lambda n: 0 < n < FEW),
    }


def cells(path):
    """(left, right) of every cell wider than the narrowest one."""
    ends = [0.0, *path.break_points, np.inf]
    return [(a, b) for a, b in pairwise(ends) if b - a > NARROWEST]


def inside(left, right):
    return left + 1 if np.isinf(right) else (left + right) / 2


def assert_equals_dense_evaluation(X, y, weight, counts):
    path = tau_path(X, y, weight, class_counts=counts, many=MANY, few=FEW)
    shown = np.bincount(y, minlength=len(weight)) if counts is None else np.asarray(counts)
    playing = np.arange(len(weight)) if counts is None else np.flatnonzero(shown)
    balanced = []
    for left, right in cells(path):
        tau = inside(left, right)
        hits = naive_hits(X, y, weight, tau, playing)
        recalls = naive_recalls(hits, y, len(weight))
        balanced.append(np.mean([r for r in recalls if r is not None]))
        assert path.accuracy(tau) == pytest.approx(hits.mean(), abs=1e-12)
        assert path.balanced_accuracy(tau) == pytest.approx(balanced[-1], abs=1e-12)
        assert path.class_accuracy(tau) == recalls
        assert path.shot_accuracies(tau) == naive_groups(recalls, shown)
    return path, balanced


# Small integers: scores are exact, and so are ties, equal norms and zeros.
small = st.integers(-2, 2).map(float)


@st.composite
def problems(draw):
    num_classes, num_features = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    row = st.lists(small | st.just(-0.0), min_size=num_features, max_size=num_features)
    weight = np.array(draw(st.lists(row, min_size=num_classes, max_size=num_classes)))
    X = np.array(draw(st.lists(row, min_size=1, max_size=12)))
    y = np.array(draw(st.lists(st.integers(0, num_classes - 1), min_size=len(X), max_size=len(X))))
    counts = draw(st.none() | st.lists(st.integers(0, 5), min_size=num_classes, max_size=num_classes))
    return X, y, weight, counts


@settings(max_examples=400, deadline=None, derandomize=True)
@given(problems())
def test_path_equals_dense_evaluation_inside_every_cell(problem):
    assert_equals_dense_evaluation(*problem)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems())
def test_best_tau_is_the_leftmost_best_cells_point(problem):
    X, y, weight, counts = problem
    path, balanced = assert_equals_dense_evaluation(X, y, weight, counts)
    wide = cells(path)
    first = next(i for i, value in enumerate(balanced) if value >= max(balanced) - 1e-9)
    left, right = wide[first]
    shown = np.arange(len(weight)) if counts is None else np.flatnonzero(counts)
    recalls = naive_recalls(naive_hits(X, y, weight, 0.0, shown), y, len(weight))
    at_zero = np.mean([r for r in recalls if r is not None])
    if left == 0 and at_zero >= balanced[first] - 1e-9:
        assert path.best_tau == 0.0
    else:
        assert path.best_tau == pytest.approx(inside(left, right), rel=1e-12)
    assert path.balanced_accuracy(path.best_tau) == pytest.approx(max(balanced), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_path_equals_dense_evaluation_on_real_numbers(seed, dtype):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(6, 4)) * rng.uniform(0.3, 3, (6, 1))
    y = rng.integers(0, 6, 40)
    X = rng.normal(size=(40, 4)) + weight[y]
    path, _ = assert_equals_dense_evaluation(X.astype(dtype), y, weight.astype(dtype), [9, 5, 3, 2, 1, 0])
    assert len(path.break_points) > 10


# -- by hand ----------------------------------------------------------------------------------------------


def two_classes():
    """Norms 1 and e: class 1's score shrinks by e^τ. Each sample's interval is known by hand."""
    weight = np.array([[1.0, 0.0], [0.0, np.e]])
    e = np.e
    X = np.array(
        [
            [1.0, e],  # z = (1, e²): class 0 wins once e^(2−τ) < 1: τ > 2
            [1.0, e],  # class 1: τ < 2
            [1.0, 1.0],  # z = (1, e), class 1: τ < 1
            [1.0, -1.0],  # signs differ, class 0: always
            [-1.0, 1.0],  # signs differ, class 0: never
            [-1.0, -e],  # z = (−1, −e²), class 1: e^(2−τ) < 1, τ > 2
            [-1.0, -e],  # class 0: τ < 2
            [1.0, 1 / (2 * e)],  # z = (1, 1/2), class 1: never for τ ≥ 0
        ]
    )
    return X, np.array([0, 1, 1, 0, 0, 1, 0, 1]), weight


def test_intervals_of_the_two_class_example_are_those_found_by_hand():
    X, y, weight = two_classes()
    path = tau_path(X, y, weight)
    inf = np.inf
    expected = [(2, inf), (-inf, 2), (-inf, 1), (-inf, inf), None, (2, inf), (-inf, 2), None]
    for lo, hi, interval in zip(path.lo, path.hi, expected, strict=True):
        if interval is None:
            assert lo >= hi or hi <= 0
        else:
            assert (lo, hi) == pytest.approx(interval)
    np.testing.assert_allclose(path.break_points[[0, -1]], [1, 2])


def test_curves_of_the_two_class_example_are_those_found_by_hand():
    path = tau_path(*two_classes(), class_counts=[10, 1], many=MANY, few=FEW)
    assert path.class_accuracy(0.5) == [0.5, 0.5]
    assert path.class_accuracy(1.5) == [0.5, 0.25]
    assert path.class_accuracy(3.0) == [0.5, 0.25]
    assert path.shot_accuracies(1.5) == {"many": 0.5, "medium": None, "few": 0.25}
    assert path.accuracy(0.5) == 0.5
    assert isinstance(path.accuracy(0.5), float)
    np.testing.assert_allclose(path.accuracy([0.0, 0.5, 1.5, 3.0]), [0.5, 0.5, 0.375, 0.375])
    np.testing.assert_allclose(path.balanced_accuracy(np.array([[0.5], [3.0]])), [[0.5], [0.375]])
    assert path.best_tau == 0.0


def test_zero_score_beats_negative_ones_and_loses_to_positive_and_zero_ones():
    z = np.array([[0.0, -1.0], [0.0, 1.0], [0.0, 0.0], [-0.0, -1.0], [-0.0, 0.0]])
    lo, hi = correct_intervals(z, np.zeros(5, int), np.array([0.0, 1.0]))
    assert (lo < hi).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("own", "rival", "wins"), [(2, 1, True), (1, 1, False), (1, 2, False), (-1, -2, True)]
)
def test_rival_of_equal_norm_wins_or_loses_throughout(own, rival, wins):
    lo, hi = correct_intervals(np.array([[own, rival]]), np.array([0]), np.array([0.3, 0.3]))
    assert (lo[0], hi[0]) == ((-np.inf, np.inf) if wins else (np.inf, np.inf))


def test_only_class_always_wins():
    path = tau_path([[1.0], [-1.0]], [0, 0], [[2.0]])
    assert path.accuracy([0, 1, 50]).tolist() == [1, 1, 1]


def test_zero_row_scores_zero_at_every_tau():
    weight = np.array([[0.0], [5.0]])
    path = tau_path([[1.0], [-1.0]], [0, 0], weight)
    assert (path.lo < path.hi).tolist() == [False, True]
    assert path.accuracy([0.0, 10.0]).tolist() == [0.5, 0.5]


def test_absent_class_is_never_predicted_and_its_samples_never_correct():
    weight = np.array([[1.0, 0], [0, 1.0], [9.0, 9.0]])
    X, y = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]), np.array([0, 1, 2])
    assert tau_path(X, y, weight).accuracy(0.0) == pytest.approx(1 / 3)
    without = tau_path(X, y, weight, class_counts=[4, 4, 0])
    assert without.class_accuracy(0.0) == [1.0, 1.0, 0.0]
    assert without.balanced_accuracy(0.0) == pytest.approx(2 / 3)


# -- the best τ -------------------------------------------------------------------------------------------


def path_of(intervals, y=None):
    lo, hi = np.array(intervals, float).T
    y = np.zeros(len(lo), int) if y is None else np.asarray(y)
    return TauPath(lo, hi, y, np.bincount(y))


INF = np.inf


@pytest.mark.parametrize(
    ("intervals", "best"),
    [
        ([(-INF, 2.0)], 0.0),  # the cell holds 0
        ([(-1.0, 2.0), (-INF, 3.0)], 0.0),
        ([(0.0, 2.0)], 1.0),  # it begins at 0 and does not hold it
        ([(1.0, 2.0)], 1.5),  # midpoint
        ([(3.0, INF)], 4.0),  # one past the left end
        ([(1.0, 2.0), (5.0, 6.0)], 1.5),  # left-most of equals
        ([(1.0, 2.0), (5.0, 7.0), (5.0, 9.0)], 6.0),
        ([(1.0, 1.0 + 5e-7), (3.0, 4.0)], 3.5),  # too narrow to survive rounding
        ([(-INF, 5e-7), (3.0, 4.0)], 3.5),
        ([(2.0, 1.0)], 0.0),  # nothing is ever right: any τ is as good
        ([(-2.0, -1.0)], 0.0),
        ([(-1.0, 0.0), (1.0, 2.0)], 1.5),  # ends at 0: never right within [0, ∞)
    ],
)
def test_best_tau_follows_the_rules(intervals, best):
    assert path_of(intervals).best_tau == pytest.approx(best)


def test_best_tau_weighs_classes_and_not_samples():
    intervals = [(-INF, 1.0), (-INF, 1.0), (-INF, 1.0), (2.0, INF), (2.0, INF)]
    assert path_of(intervals).best_tau == 0.0
    assert path_of(intervals, [0, 0, 0, 0, 1]).best_tau == 3.0  # (1/4 + 1)/2 against (3/4 + 0)/2


def test_end_points_are_open():
    path = path_of([(1.0, 2.0), (-INF, 2.0), (0.0, INF)])
    assert path.accuracy([0.0, 1.0, 1.5, 2.0, 2.5]) == pytest.approx(np.array([1, 2, 3, 1, 1]) / 3)
    assert path.class_accuracy(1.0) == [pytest.approx(2 / 3)]
    assert path.class_accuracy(2.0) == [pytest.approx(1 / 3)]
    assert path.break_points.tolist() == [1.0, 2.0]


def test_ends_of_intervals_that_hold_nothing_break_nothing():
    assert path_of([(3.0, 2.0), (-4.0, -1.0), (-INF, INF)]).break_points.tolist() == []


# -- blocks and bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_block_boundaries_change_nothing(rows, monkeypatch):
    rng = np.random.default_rng(0)
    X, y, weight = (
        rng.integers(-3, 4, (20, 3)) * 1.0,
        rng.integers(0, 4, 20),
        rng.integers(-3, 4, (4, 3)) * 1.0,
    )
    for counts in (None, [3, 0, 2, 1]):
        whole = tau_path(X, y, weight, class_counts=counts)
        with monkeypatch.context() as patch:
            playing = 4 if counts is None else 3
            patch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 8 * playing * rows)
            blocks = tau_path(X, y, weight, class_counts=counts)
        np.testing.assert_array_equal(blocks.lo, whole.lo)
        np.testing.assert_array_equal(blocks.hi, whole.hi)


@pytest.mark.parametrize(
    ("X", "y", "weight", "counts", "message"),
    [
        (np.ones((3, 2)), [0, 1, 0], np.ones((2, 4)), None, r"\(3, 2\), \(3,\) and \(2, 4\)"),
        (np.ones((3, 2)), [0, 1], np.ones((2, 2)), None, r"\(3, 2\), \(2,\) and \(2, 2\)"),
        (np.ones(3), [0, 1, 0], np.ones((2, 3)), None, r"X must be \(N, D\)"),
        (np.ones((3, 2)), [0, 1, 2], np.ones((2, 2)), None, r"integers in \[0, 2\)"),
        (np.ones((3, 2)), [0, 1, -1], np.ones((2, 2)), None, r"integers in \[0, 2\)"),
        (np.ones((3, 2)), [0.0, 1.0, 1.0], np.ones((2, 2)), None, r"integers in \[0, 2\)"),
        (np.ones((0, 2)), np.zeros(0, int), np.ones((2, 2)), None, "one or more"),
        (
            np.ones((3, 2)),
            [0, 1, 0],
            np.ones((2, 2)),
            [1, 2, 3],
            r"class_counts must be .*\(2,\), got \(3,\)",
        ),
    ],
)
def test_mismatched_arguments_are_refused(X, y, weight, counts, message):
    with pytest.raises(ValueError, match=message):
        tau_path(X, y, weight, class_counts=counts)


# -- the linear family ------------------------------------------------------------------------------------


def naive_linear_hits(z, y, a, tau, playing):
    scores = z - tau * a
    return np.array(
        [
            label in playing and all(scores[i, label] > scores[i, c] for c in playing if c != label)
            for i, label in enumerate(y)
        ]
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_linear_path_equals_dense_evaluation_inside_every_cell(data):
    n, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    numbers = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0])  # ties and equal offsets are common
    z = np.array(
        data.draw(st.lists(st.lists(numbers, min_size=classes, max_size=classes), min_size=n, max_size=n))
    )
    a = np.array(data.draw(st.lists(numbers, min_size=classes, max_size=classes)))
    y = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=classes, max_size=classes)))
    path = linear_path(z, y, a, class_counts=counts, many=MANY, few=FEW)
    playing = np.flatnonzero(counts)
    for left, right in cells(path):
        tau = inside(left, right)
        hits = naive_linear_hits(z, y, a, tau, playing)
        assert path.accuracy(tau) == pytest.approx(hits.mean())
        assert path.class_accuracy(tau) == pytest.approx(naive_recalls(hits, y, classes))


def test_adjustment_path_is_that_of_the_adjusted_logits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 6)), rng.integers(0, 4, 80)
    counts = np.array([50, 20, 0, 5])
    with np.errstate(divide="ignore"):
        log_prior = np.log(counts / counts.sum())
    for head in (
        Head(rng.normal(size=(4, 6)), rng.normal(size=4)),
        Head(rng.normal(size=(4, 6)), None, 16.0, cosine=True),
    ):
        path = adjustment_path(X, y, head, log_prior, class_counts=counts)
        logits = head.logits(X)
        for left, right in cells(path)[:40]:
            tau = inside(left, right)
            scores = np.where(counts > 0, logits - tau * np.where(counts > 0, log_prior, 0), -np.inf)
            assert path.accuracy(tau) == pytest.approx((scores.argmax(1) == y).mean())
        assert path.best_tau >= 0


def test_exponential_path_of_logits_is_the_tau_path():
    rng = np.random.default_rng(1)
    X, y, weight = rng.normal(size=(60, 5)), rng.integers(0, 4, 60), rng.normal(size=(4, 5))
    one = tau_path(X, y, weight)
    other = exponential_path(X @ weight.T, y, np.log(np.linalg.norm(weight, axis=1)))
    np.testing.assert_allclose(one.break_points, other.break_points)
    assert one.best_tau == pytest.approx(other.best_tau)


def test_path_in_float32_stays_near_the_one_in_float64(monkeypatch):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(3000, 32)).astype(np.float32), rng.integers(0, 20, 3000)
    weight = (rng.normal(size=(20, 32)) * rng.uniform(0.5, 2, (20, 1))).astype(np.float32)
    double = tau_path(X, y, weight)
    monkeypatch.setattr(intervals, "FLOAT64_PATH", 0)
    single = tau_path(X, y, weight)
    grid = np.linspace(0, 4, 400)
    assert np.abs(single.accuracy(grid) - double.accuracy(grid)).max() <= 2 / 3000
    assert single.accuracy(single.best_tau) == pytest.approx(double.accuracy(single.best_tau), abs=2 / 3000)


@pytest.mark.parametrize("make", [exponential_path, linear_path])
def test_paths_refuse_mismatched_shapes(make):
    with pytest.raises(
        ValueError, match=r"z must be \(N, C\), y \(N,\) and a \(C,\), got \(2, 3\), \(2,\) and \(2,\)"
    ):
        make(np.zeros((2, 3)), [0, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match=r"integers in \[0, 3\)"):
        make(np.zeros((2, 3)), [0, 3], [0.0, 1.0, 2.0])
