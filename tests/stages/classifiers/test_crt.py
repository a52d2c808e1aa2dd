"""Classifier re-training."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from longtail.stages.classifiers.tools.linear import fit_linear
from longtail.stages.samplers import SAMPLERS
from tests.stages.classifiers.cases import (
    HEAD,
    X_VAL,
    Y_VAL,
    D,
    X,
    Y,
    blobs,
    make,
    random_head,
)
from tests.stages.classifiers.naive import logistic_regression, numeric_gradient, softmax_cross_entropy

CRT_COUNTS = [60, 17, 6, 1]
CRT_X, CRT_Y = blobs(CRT_COUNTS, dtype=np.float64)


def crt_objective(theta, X, rows, mass, weight_decay):
    losses = softmax_cross_entropy(X @ theta[:, :-1].T + theta[:, -1], rows)
    return (mass[rows] * losses).sum() + weight_decay / 2 * (theta**2).sum()


@pytest.mark.parametrize("weight_decay", [5e-4, 0.02])
def test_crt_equals_scikit_learns_balanced_logistic_regression(weight_decay):
    crt = make("crt", weight_decay=weight_decay).fit(CRT_X, CRT_Y)
    expected = logistic_regression(CRT_X, CRT_Y, weight_decay, class_weight="balanced")
    # a gradient below 1e-7 bounds the distance by 1e-7·√(C(D + 1))/weight_decay
    np.testing.assert_allclose(np.c_[crt.head_.weight, crt.head_.bias], expected, atol=2e-7 / weight_decay)


@pytest.mark.parametrize(
    "sampler", ["class_balanced", "instance_balanced", "square_root", "effective_number"]
)
def test_crt_is_where_its_objectives_gradient_vanishes(sampler):
    weight_decay = 1e-3
    crt = make("crt", sampler=sampler, weight_decay=weight_decay).fit(CRT_X, CRT_Y)
    chances = SAMPLERS.create(sampler, CRT_Y, 4, seed=0).class_probabilities(0)
    mass = chances / np.array(CRT_COUNTS)
    theta = np.c_[crt.head_.weight, crt.head_.bias]

    def objective(point):
        return crt_objective(point, CRT_X, CRT_Y, mass, weight_decay)

    assert np.abs(numeric_gradient(objective, np.zeros_like(theta))).max() > 1e-2
    assert np.abs(numeric_gradient(objective, theta)).max() < 1.1e-7  # L-BFGS stops below 1e-7


def test_crt_sgd_approaches_what_lbfgs_finds():
    weight_decay = 0.01
    mass = 1 / (4 * np.array(CRT_COUNTS))

    def reached(**params):
        head = make("crt", weight_decay=weight_decay, **params).fit(CRT_X, CRT_Y).head_
        theta = np.c_[head.weight, head.bias].astype(np.float64)
        return crt_objective(theta, CRT_X, CRT_Y, mass, weight_decay)

    best, start = reached(), crt_objective(np.zeros((4, D + 1)), CRT_X, CRT_Y, mass, weight_decay)
    short = reached(solver="sgd", batch_size=16, lr=0.1, epochs=1)
    long = reached(solver="sgd", batch_size=16, lr=0.1, epochs=60)
    assert best < long < short < start
    assert long - best < 0.02 * (start - best)


def test_crt_sgd_first_step_is_the_hand_computed_one():
    X2, rows = np.array([[2.0, -1.0], [0.5, 3.0]]), np.array([0, 1])
    crt = make("crt", solver="sgd", lr=0.5, batch_size=2, epochs=1).fit(X2, rows)
    # zero logits: each sample pulls its class by +1/2 and the other by −1/2, averaged over the two
    pull = 0.5 * np.array([[0.25, -0.25], [-0.25, 0.25]]) @ X2
    order = SAMPLERS.create("class_balanced", rows, 2, seed=0).epoch_indices(0)
    if sorted(order) != [0, 1]:  # four of one class at a time: both draws may be the same sample
        c = order[0]
        pull = 0.5 * np.outer([0.5, -0.5] if c == 0 else [-0.5, 0.5], X2[c])
    np.testing.assert_allclose(crt.head_.weight, pull, rtol=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": {"name": "focal", "gamma": 1.0}},
        {"sampler": {"name": "deferred", "start_epoch": 2}},
        {"sampler": "progressively_balanced"},
    ],
    ids=str,
)
def test_crt_lbfgs_refuses_what_it_cannot_minimise(params):
    with pytest.raises(ValueError, match="use sgd"):
        make("crt", **params).fit(X, Y)


@pytest.mark.parametrize(
    "sampler", [{"name": "deferred", "start_epoch": 2}, "progressively_balanced"], ids=str
)
def test_crt_sgd_takes_samplers_that_change_by_epoch(sampler):
    plain = make("crt", solver="sgd").fit(X, Y)
    assert not np.array_equal(
        make("crt", solver="sgd", sampler=sampler).fit(X, Y).head_.weight, plain.head_.weight
    )


def test_crt_sgd_refuses_another_batch_size_than_its_sampler_is_made_for():
    sampler = {"name": "uniform_batch", "per_class": 2}
    with pytest.raises(ValueError, match=r"batch_size: must be 6 .*got 512"):
        make("crt", solver="sgd", sampler=sampler).fit(X, Y)
    make("crt", solver="sgd", sampler=sampler, batch_size=6).fit(X, Y)


def test_crt_component_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"must be a name or .*q"):
        make("crt", sampler={"q": 0.5}).fit(X, Y)


def test_crt_sgd_keeps_the_first_best_validation_epoch(monkeypatch):
    accuracies, seen = [0.3, 0.7, 0.5, 0.7], []

    def scripted(scores, labels, class_counts):
        seen.append(scores)
        return {"balanced_accuracy": accuracies[len(seen) - 1], "class_accuracy": [0.5] * 4}

    monkeypatch.setattr("longtail.stages.metrics.scores.evaluate", scripted)
    crt = make("crt", solver="sgd", epochs=4).fit(X, Y, head=HEAD, validation=(X_VAL, Y_VAL))
    assert len(seen) == 4
    assert crt.best_epoch_ == 2
    np.testing.assert_array_equal(crt.scores(X_VAL), seen[1])
    assert not np.array_equal(seen[1], seen[3])
    last = make("crt", solver="sgd", epochs=4).fit(X, Y, head=HEAD)
    assert last.best_epoch_ == 4
    np.testing.assert_array_equal(last.scores(X_VAL), seen[3])


def test_crt_takes_no_notice_of_the_given_head():
    other = random_head(seed=77)
    for solver in ("lbfgs", "sgd"):
        a = make("crt", solver=solver).fit(X, Y, head=HEAD)
        b = make("crt", solver=solver).fit(X, Y, head=other)
        np.testing.assert_array_equal(a.head_.weight, b.head_.weight)


def test_absent_class_changes_no_other_row_of_a_linear_fit():
    squeezed = np.searchsorted([0, 1, 3], Y)
    with_gap = make("crt").fit(X, Y, head=HEAD).head_
    without = make("crt").fit(X, squeezed, head=random_head(3)).head_
    np.testing.assert_array_equal(with_gap.weight[[0, 1, 3]], without.weight)
    assert not with_gap.weight[2].any()
    assert with_gap.bias[2] == 0


def test_linear_fit_in_blocks_is_the_fit_in_one(monkeypatch):
    mass = np.array([0.01, 0.02, 0.03, 0.2])
    whole = fit_linear(CRT_X, CRT_Y, mass, weight_decay=1e-2)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 9 * 5)
    blocks = fit_linear(CRT_X, CRT_Y, mass, weight_decay=1e-2)
    np.testing.assert_allclose(blocks.weight, whole.weight, atol=1e-6)


def test_linear_fit_that_runs_out_of_iterations_warns():
    with pytest.warns(ConvergenceWarning, match="3 iterations"):
        fit_linear(CRT_X, CRT_Y, np.full(4, 0.01), weight_decay=0.0, max_iter=3)


def test_crt_sgd_that_diverges_is_an_error_naming_the_rate():
    with pytest.raises(ValueError, match=r"crt: training diverged in epoch \d+; lower lr \(1e\+30\)"):
        make("crt", solver="sgd", lr=1e30, weight_decay=10.0).fit(X, Y)


@pytest.mark.parametrize("params", [{"lr": 0.1}, {"momentum": 0.5}, {"batch_size": 3}, {"epochs": 1}])
def test_crt_lbfgs_refuses_what_only_sgd_uses(params):
    with pytest.raises(ValueError, match=rf"{next(iter(params))}: solver lbfgs has none, .* solver: sgd"):
        make("crt", **params).fit(X, Y)
