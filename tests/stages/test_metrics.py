"""Every metric by hand on toys, and against naive versions and scikit-learn on drawn scores."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_score, top_k_accuracy_score

from longtail.stages.metrics.scores import evaluate, expected_calibration_error
from longtail.stages.metrics.shots import shot_accuracies, shot_group

KEYS = {
    "accuracy",
    "top5_accuracy",
    "balanced_accuracy",
    "macro_precision",
    "many",
    "medium",
    "few",
    "class_accuracy",
    "class_accuracy_std",
    "worst_class_accuracy",
    "ece",
}


def one_hot(predicted, num_classes):
    return np.eye(num_classes)[predicted]


def toy(**params):
    """Six samples of classes 0, 0, 0, 1, 2, 2 predicted as 0, 0, 1, 1, 0, 0; class 3 has no test sample."""
    return evaluate(
        one_hot([0, 0, 1, 1, 0, 0], 4), [0, 0, 0, 1, 2, 2], [500, 60, 3, 2], many=100, few=20, **params
    )


# -- by hand ----------------------------------------------------------------------------------------------


def test_toy_has_the_values_found_by_hand():
    metrics = toy()
    assert set(metrics) == KEYS
    assert metrics["accuracy"] == 3 / 6
    assert metrics["class_accuracy"] == [2 / 3, 1.0, 0.0, None]
    assert metrics["balanced_accuracy"] == pytest.approx(5 / 9)
    assert metrics["macro_precision"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)  # class 2 is never predicted
    assert (metrics["many"], metrics["medium"], metrics["few"]) == (2 / 3, 1.0, 0.0)
    assert metrics["class_accuracy_std"] == pytest.approx(
        math.sqrt(((2 / 3 - 5 / 9) ** 2 + (1 - 5 / 9) ** 2 + (5 / 9) ** 2) / 3)
    )
    assert metrics["worst_class_accuracy"] == 0.0
    assert metrics["top5_accuracy"] is None  # four classes
    confidence = math.e / (math.e + 3)  # 0.475: every sample in one bin
    assert metrics["ece"] == pytest.approx(abs(0.5 - confidence))


def test_ece_of_two_bins_is_the_one_found_by_hand():
    low, high = math.log(3), math.log(9)  # softmax confidence 0.75 and 0.9
    scores = np.array([[low, 0], [low, 0], [0, high], [0, high]])
    # 0.75: one of two right; 0.9: both right
    assert evaluate(scores, [0, 1, 1, 1], [1, 1])["ece"] == pytest.approx((2 * 0.25 + 2 * 0.1) / 4)


def test_overconfidence_and_underconfidence_in_one_bin_cancel():
    low = math.log(3)
    scores = np.array([[low, 0]] * 4)
    assert expected_calibration_error(scores, [0, 0, 0, 1]) == pytest.approx(0)


def test_ece_bins_are_closed_above():
    # confidences 1/5 (right) and 1/4 (wrong): neighbouring bins, as 3/15 belongs to the lower one
    scores = np.array([[0.0] * 5, [math.log(4 / 3), 0, 0, 0, 0]])
    assert expected_calibration_error(scores, [0, 1]) == pytest.approx((0.8 + 0.25) / 2)


def test_ece_of_huge_logits_is_finite():
    scores = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    assert expected_calibration_error(scores, [0, 0]) == pytest.approx(0.5)


def test_top5_is_found_by_hand_and_breaks_ties_as_argmax_does():
    scores = np.array([[6, 5, 4, 3, 2, 1, 0]] * 3 + [[0, 0, 0, 0, 0, 0, 0]] * 2)
    assert evaluate(scores, [4, 5, 0, 4, 5], [1] * 7)["top5_accuracy"] == 3 / 5
    assert evaluate(scores[:, :5], [4, 1, 0, 4, 3], [1] * 5)["top5_accuracy"] == 1.0


def test_top5_of_unsigned_votes_counts_the_most_voted():
    votes = np.array([[9, 0, 0, 0, 0, 0], [8, 7, 6, 5, 4, 0]], np.uint8)
    assert evaluate(votes, [0, 5], [1] * 6, logits=False)["top5_accuracy"] == 0.5


def test_perfect_scores_are_all_ones():
    labels = np.arange(6)
    metrics = evaluate(50 * one_hot(labels, 6), labels, [200, 150, 50, 40, 5, 1])
    for key in KEYS - {"class_accuracy", "class_accuracy_std", "ece"}:
        assert metrics[key] == 1.0, key
    assert metrics["class_accuracy"] == [1.0] * 6
    assert metrics["class_accuracy_std"] == 0.0
    assert metrics["ece"] == pytest.approx(0, abs=1e-12)


# -- shot groups ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "group"),
    [(19, "few"), (20, "few"), (21, "medium"), (99, "medium"), (100, "many"), (101, "many")],
)
def test_shot_groups_of_oltrs_code_are_those_of_thresholds_99_and_21(count, group):
    assert shot_group(count, many=99, few=21) == group  # its code: many ≥ 100, few ≤ 20


@pytest.mark.parametrize(
    ("count", "group"),
    [(0, None), (1, "few"), (19, "few"), (20, "medium"), (100, "medium"), (101, "many")],
)
def test_thresholds_themselves_are_medium(count, group):
    assert shot_group(count, 100, 20) == group
    metrics = evaluate(one_hot([0], 2), [0], [count, 0])
    assert [key for key in ("many", "medium", "few") if metrics[key] is not None] == (
        [group] if group else []
    )


def test_groups_average_classes_and_not_samples():
    labels, predicted = [0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 2, 2]
    metrics = evaluate(one_hot(predicted, 3), labels, [300, 200, 5])
    assert (metrics["many"], metrics["medium"], metrics["few"]) == (0.5, None, 1.0)


def test_class_without_test_samples_is_in_no_average():
    assert shot_accuracies([1.0, None, 0.0], [300, 200, 150], many=100, few=20) == {
        "many": 0.5,
        "medium": None,
        "few": None,
    }
    metrics = evaluate(one_hot([0, 0], 3), [0, 0], [300, 200, 5])
    assert metrics["class_accuracy"] == [1.0, None, None]
    assert (metrics["balanced_accuracy"], metrics["few"], metrics["worst_class_accuracy"]) == (1.0, None, 1.0)


def test_given_thresholds_move_the_groups():
    metrics = evaluate(one_hot([0, 1, 0], 3), [0, 1, 2], [60, 50, 19], many=50, few=20)
    assert (metrics["many"], metrics["medium"], metrics["few"]) == (1.0, 1.0, 0.0)


# -- nulls and infinities ---------------------------------------------------------------------------------


def test_scores_that_are_no_logits_have_no_calibration_error():
    with_logits, without = toy(), toy(logits=False)
    assert without.pop("ece") is None
    assert with_logits.pop("ece") is not None
    assert with_logits == without


def test_minus_infinity_columns_are_never_predicted_and_weigh_nothing():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(30, 4)), rng.integers(0, 4, 30)
    wide = np.insert(scores, [1, 1, 3], -np.inf, axis=1)  # columns 1, 2 and 5 are absent
    moved = np.array([0, 3, 4, 6])[labels]
    narrow, metrics = evaluate(scores, labels, [9, 9, 9, 9]), evaluate(wide, moved, [9, 0, 0, 9, 9, 0, 9])
    for key in ("accuracy", "balanced_accuracy", "macro_precision", "class_accuracy_std", "ece"):
        assert metrics[key] == pytest.approx(narrow[key]), key
    assert metrics["top5_accuracy"] == 1.0  # only four can be predicted


def test_label_of_an_unpredictable_class_is_wrong_in_the_top_five_too():
    scores = np.array([[1.0, 2.0, -np.inf, -np.inf, -np.inf, -np.inf]] * 2)
    metrics = evaluate(scores, [2, 0], [5, 5, 0, 0, 0, 0])
    assert (metrics["accuracy"], metrics["top5_accuracy"]) == (0.0, 0.5)


def test_results_are_json_without_nan():
    sparse = evaluate([[0.0, -np.inf], [0.0, -np.inf]], np.array([0, 1], np.uint8), [0, 0], logits=False)
    for metrics in (toy(), sparse):
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_scores_of_any_number_type_give_the_same_recalls(dtype):
    scores = np.random.default_rng(0).permuted(np.tile(np.arange(7), (40, 1)), axis=1)
    labels = np.arange(40) % 7
    expected = evaluate(scores.tolist(), labels.tolist(), [5] * 7)
    metrics = evaluate(scores.astype(dtype), labels, [5] * 7)
    assert metrics["ece"] == pytest.approx(expected["ece"], abs=1e-12)
    assert {**metrics, "ece": 0} == {**expected, "ece": 0}


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "labels", "counts", "message"),
    [
        ([[0, 1], [np.nan, 0]], [0, 1], [1, 1], "row 1 holds NaN"),
        ([[0, 1], [np.inf, 0]], [0, 1], [1, 1], r"row 1 holds NaN or \+inf"),
        ([[-np.inf, -np.inf], [1, 0]], [0, 1], [1, 1], "row 0 .*nothing but −inf"),
        ([[0, 1], [1, 0]], [0, 2], [1, 1], r"labels: must be integers in \[0, 2\)"),
        ([[0, 1], [1, 0]], [0, -1], [1, 1], r"labels: must be integers in \[0, 2\)"),
        ([[0, 1], [1, 0]], [0.0, 1.0], [1, 1], "labels: must be integers"),
        (np.empty((0, 2)), np.empty(0, int), [1, 1], "no sample"),
        ([[0, 1], [1, 0]], [0], [1, 1], r"\(2, 2\), \(1,\) and \(2,\)"),
        ([[0, 1], [1, 0]], [0, 1], [1, 1, 1], r"\(2, 2\), \(2,\) and \(3,\)"),
        ([0, 1], [0, 1], [1, 1], r"scores must be \(N, C\)"),
    ],
)
def test_bad_input_is_refused(scores, labels, counts, message):
    with pytest.raises(ValueError, match=message):
        evaluate(scores, labels, counts)


# -- against naive versions -------------------------------------------------------------------------------


def naive(scores, labels, counts, many, few):
    """Every metric with loops over samples and classes."""
    num_samples, num_classes = scores.shape
    predicted = [max(range(num_classes), key=lambda c: row[c]) for row in scores]
    recalls, precisions, groups = {}, [], {"many": [], "medium": [], "few": []}
    for c in range(num_classes):
        members = [i for i in range(num_samples) if labels[i] == c]
        if not members:
            continue
        recalls[c] = sum(predicted[i] == c for i in members) / len(members)
        claimed = [i for i in range(num_samples) if predicted[i] == c]
        precisions.append(sum(labels[i] == c for i in claimed) / len(claimed) if claimed else 0.0)
        if counts[c] > many:
            groups["many"].append(recalls[c])
        elif counts[c] >= few:
            groups["medium"].append(recalls[c])
        elif counts[c] > 0:
            groups["few"].append(recalls[c])
    mean = sum(recalls.values()) / len(recalls)
    top5 = [sum(other > row[y] for other in row) < 5 for row, y in zip(scores, labels, strict=True)]
    return {
        "accuracy": sum(p == y for p, y in zip(predicted, labels, strict=True)) / num_samples,
        "top5_accuracy": sum(top5) / num_samples if num_classes >= 5 else None,
        "balanced_accuracy": mean,
        "macro_precision": sum(precisions) / len(precisions),
        **{
            group: sum(accuracies) / len(accuracies) if accuracies else None
            for group, accuracies in groups.items()
        },
        "class_accuracy": [recalls.get(c) for c in range(num_classes)],
        "class_accuracy_std": math.sqrt(sum((r - mean) ** 2 for r in recalls.values()) / len(recalls)),
        "worst_class_accuracy": min(recalls.values()),
        "ece": naive_ece(scores, labels, predicted),
    }


def naive_ece(scores, labels, predicted, bins=15):
    total = 0.0
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    confidence = [share[p] for share, p in zip(shares, predicted, strict=True)]
    for b in range(bins):
        inside = [i for i, value in enumerate(confidence) if b / bins < value <= (b + 1) / bins]
        if inside:
            accuracy = sum(predicted[i] == labels[i] for i in inside) / len(inside)
            total += (
                len(inside) / len(labels) * abs(accuracy - sum(confidence[i] for i in inside) / len(inside))
            )
    return total


@st.composite
def problems(draw):
    num_classes, num_samples = draw(st.integers(2, 9)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.normal(size=(num_samples, num_classes)) * draw(st.sampled_from([0.1, 1, 5]))  # no ties
    labels = rng.integers(0, draw(st.integers(1, num_classes)), num_samples)
    counts = draw(st.lists(st.integers(0, 9), min_size=num_classes, max_size=num_classes))
    return scores, labels, counts, draw(st.integers(4, 8)), draw(st.integers(1, 4))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problems())
def test_every_key_equals_the_naive_version(problem):
    scores, labels, counts, many, few = problem
    metrics, expected = evaluate(scores, labels, counts, many=many, few=few), naive(*problem)
    assert set(metrics) == set(expected) == KEYS
    recalls = [np.nan if r is None else r for r in metrics.pop("class_accuracy")]
    np.testing.assert_allclose(
        recalls, [np.nan if r is None else r for r in expected.pop("class_accuracy")], rtol=1e-12
    )
    for key, value in expected.items():
        assert metrics[key] == (None if value is None else pytest.approx(value, abs=1e-12)), key


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn: classes without test samples, one class
@settings(max_examples=80, deadline=None, derandomize=True)
@given(problems())
def test_metrics_equal_scikit_learns(problem):
    scores, labels, counts, *_ = problem
    metrics, predicted = evaluate(scores, labels, counts), scores.argmax(1)
    present = np.unique(labels)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    precision = precision_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert metrics["macro_precision"] == pytest.approx(precision)
    if scores.shape[1] > 5:
        top5 = top_k_accuracy_score(labels, scores, k=5, labels=np.arange(scores.shape[1]))
        assert metrics["top5_accuracy"] == pytest.approx(top5)
