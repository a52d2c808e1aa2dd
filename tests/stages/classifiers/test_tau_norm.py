"""The τ-normalised classifier."""

import numpy as np
import pytest

from longtail.stages.classifiers import Head
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.paths import tau_path
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds
from tests.stages.classifiers.cases import (
    COUNTS,
    HEAD,
    X_NEW,
    X_VAL,
    Y_VAL,
    X,
    Y,
    blobs,
    make,
    random_head,
)


def test_tau_zero_is_joint_without_bias():
    tau = make("tau_norm", tau=0).fit(X, np.arange(len(X)) % 4, head=HEAD)
    np.testing.assert_array_equal(tau.scores(X_NEW), X_NEW @ HEAD.weight.T)
    assert tau.head_.bias is None
    bare = random_head(bias=False)
    joint = make("joint").fit(X, Y, head=bare)
    np.testing.assert_array_equal(
        make("tau_norm", tau=0).fit(X, Y, head=bare).scores(X_NEW), joint.scores(X_NEW)
    )


@pytest.mark.parametrize("tau", [0.5, 1, 2.5])
def test_tau_norm_divides_rows_by_a_power_of_their_norm(tau):
    weight = HEAD.weight.copy()
    weight[1] = 0
    head = make("tau_norm", tau=tau).fit(X, Y, head=Head(weight, HEAD.bias, 3.0)).head_
    for c in (0, 2, 3):
        expected = weight[c] / np.sqrt((weight[c].astype(float) ** 2).sum()) ** tau
        np.testing.assert_allclose(head.weight[c], expected, rtol=1e-6)
    assert not head.weight[1].any()
    assert head.scale == 3.0


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_tau_norm_of_a_large_tau_keeps_its_predictions(size):
    weight = size * np.array([[1.0, 0, 0], [0, 1.02, 0], [0, 0, 1.05], [0, 0, 0]], np.float32)
    query = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    tau = make("tau_norm", tau=90.0).fit(query, np.arange(200) % 4, head=Head(weight, None))
    a = np.log(np.linalg.norm(weight[:3].astype(float), axis=1))
    expected = query.astype(float) @ weight.T.astype(float)
    expected[:, :3] *= np.exp(-90 * (a - a.mean()))  # the common factor left out
    np.testing.assert_array_equal(tau.predict(query), expected.argmax(1))
    assert np.isfinite(tau.scores(query)).all()


def test_tau_norm_takes_the_best_tau_of_the_path():
    skewed = Head(HEAD.weight * np.array([[3.0], [1.0], [1.0], [0.2]], np.float32), HEAD.bias)
    path = tau_path(X_VAL, Y_VAL, skewed.weight, class_counts=COUNTS)
    tau = make("tau_norm").fit(X, Y, head=skewed, validation=(X_VAL, Y_VAL))
    assert tau.tau_ == path.best_tau > 0
    hit = tau.predict(X_VAL) == Y_VAL
    reached = np.mean([hit[c == Y_VAL].mean() for c in range(4)])
    assert reached == pytest.approx(path.balanced_accuracy(path.best_tau), abs=1e-12)


def test_tau_norm_has_nothing_to_choose_for_a_cosine_head():
    cosine = Head(HEAD.weight, None, 16.0, cosine=True)
    scores = make("joint").fit(X, Y, head=cosine).scores(X_NEW)
    for params, validation in (({}, (X_VAL, Y_VAL)), ({}, None), ({"tau": 1.5}, None)):
        tau = make("tau_norm", **params).fit(X, Y, head=cosine, validation=validation)
        assert tau.tau_ == params.get("tau", 0.0)
        np.testing.assert_allclose(tau.scores(X_NEW), scores, rtol=1e-5, atol=1e-5)


def test_tau_norm_given_a_head_needs_validation_to_choose():
    with pytest.raises(ValueError) as caught:
        make("tau_norm").fit(X, Y, head=HEAD)
    assert str(caught.value) == NEEDS_VALIDATION
    assert NEEDS_VALIDATION == "the head was trained on these samples; pass validation=(X, y)"


def test_tau_norm_without_a_head_cross_validates():
    X3, rows = blobs([40, 12, 5, 1], spread=2.0)
    tau = make("tau_norm").fit(X3, rows)
    grid = [0.0, tau.tau_, 0.5, 1.0, 1.5, 2.0, 3.0]
    hits = np.zeros((len(grid), len(rows)), bool)
    tested = np.zeros(len(rows), bool)
    for train, held in round_robin_folds(rows):
        weight = fit_plain_head(X3[train], rows[train], 4).weight.astype(float)
        norms = np.linalg.norm(weight, axis=1)
        for g, value in enumerate(grid):
            hits[g, held] = (X3[held] @ (weight / norms[:, None] ** value).T).argmax(1) == rows[held]
        tested[held] = True
    assert tested.tolist() == (rows != 3).tolist()  # the single sample is never held out
    recalls = [np.mean([hits[g, rows == c].mean() for c in range(3)]) for g in range(len(grid))]
    assert recalls[1] == pytest.approx(max(recalls))
    np.testing.assert_allclose(
        tau.head_.weight, make("tau_norm", tau=tau.tau_).fit(X3, rows).head_.weight, rtol=1e-6
    )


def test_tau_norm_of_single_samples_only_asks_for_a_number():
    X3, rows = blobs([1, 1, 1])
    with pytest.raises(ValueError, match="pass a number"):
        make("tau_norm").fit(X3, rows)
    assert make("tau_norm", tau=1).fit(X3, rows).tau_ == 1.0


def test_folds_deal_each_class_in_turn_and_keep_single_samples_in_training():
    rows = np.array([0, 1, 0, 0, 2, 0, 1, 0])
    pairs = round_robin_folds(rows)
    assert [held.tolist() for _, held in pairs] == [[0, 1, 5], [2, 6, 7], [3]]
    for train, held in pairs:
        assert sorted([*train, *held]) == list(range(8))
        assert set(rows[train]) == {0, 1, 2}
    assert round_robin_folds(np.array([0, 1, 2])) == []
