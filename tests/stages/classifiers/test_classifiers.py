"""Classifiers: one contract for every registered name, then what each of them promises exactly."""

import inspect
import json
import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.utils.estimator_checks import parametrize_with_checks

from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.tools.linear import fit_linear, fit_plain_head
from longtail.stages.classifiers.tools.paths import tau_path
from longtail.stages.classifiers.tools.state import from_state, to_state
from longtail.stages.features import Features
from longtail.stages.samplers import SAMPLERS
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds
from tests.stages.classifiers.cases import (
    CHECKED,
    COUNTS,
    HEAD,
    X_NEW,
    X_VAL,
    Y_VAL,
    D,
    X,
    Y,
    blobs,
    every_case,
    every_name,
    fitted,
    make,
    random_head,
)


def softmax_cross_entropy(scores, rows):
    """−log softmax(scores)_y of each row, float64, written the long way."""
    scores = np.asarray(scores, np.float64)
    top = scores.max(1)
    return top + np.log(np.exp(scores - top[:, None]).sum(1)) - scores[np.arange(len(rows)), rows]


def balanced_objective(scores, rows):
    """Σ_i CE_i/(K·n_{y_i}): the mean over classes of the mean loss inside each."""
    losses = softmax_cross_entropy(scores, rows)
    return np.mean([losses[rows == c].mean() for c in np.unique(rows)])


def numeric_gradient(function, point, step=1e-5):
    point = np.asarray(point, np.float64)
    gradient = np.empty(point.size)
    for i in range(point.size):
        shift = np.zeros(point.size)
        shift[i] = step
        shift = shift.reshape(point.shape)
        gradient[i] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def logistic_regression(X, rows, weight_decay, class_weight=None):
    """scikit-learn's coefficients (C, D + 1), the bias penalised too, by Newton's method."""
    reference = LogisticRegression(
        class_weight=class_weight,
        C=1 / (len(X) * weight_decay),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-12,
    )
    return reference.fit(np.c_[X, np.ones(len(X))], rows).coef_


# -- the contract -----------------------------------------------------------------------------------------


@parametrize_with_checks([make(name, **params) for name, params in CHECKED])
def test_scikit_learn_checks_pass(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


@every_name
def test_parameters_in_the_source_are_those_of_the_signature(name):
    described = CLASSIFIERS.describe(name)
    signature = inspect.signature(CLASSIFIERS.get(name)).parameters
    assert all(p.kind is p.KEYWORD_ONLY for p in signature.values())
    signed = {key: p.default for key, p in signature.items() if key not in {*described.fixed, "random_state"}}
    assert {key: p.default for key, p in described.parameters.items()} == signed


@every_name
def test_docstring_has_summary_and_dated_source(name):
    described = CLASSIFIERS.describe(name)
    assert described.summary.endswith((".", ":"))
    assert re.search(r"\b(19|20)\d\d\b", described.source)


@every_case
def test_clone_keeps_every_parameter(name, params):
    estimator = make(name, **params)
    assert params.items() <= estimator.get_params().items()
    assert clone(estimator).get_params() == estimator.get_params()


@every_case
def test_without_a_head_labels_may_be_strings(name, params):
    words = np.array(["zebra", "ape", "moose", "cat"])
    X3, rows = blobs([9, 7, 8, 5], spread=0.05)
    estimator = make(name, **params).fit(X3, words[rows])
    assert estimator.classes_.tolist() == sorted(words)
    assert (estimator.predict(X3) == words[rows]).all()  # blobs this tight are told apart by all
    assert estimator.scores(X3).shape == (len(X3), 4)


@every_case
def test_with_a_head_classes_are_all_rows_and_absent_ones_lose(name, params):
    estimator = fitted(name, params)
    assert estimator.classes_.tolist() == [0, 1, 2, 3]
    assert estimator.class_counts_.tolist() == COUNTS.tolist()
    scores = estimator.scores(X_NEW)
    assert (scores[:, 2] == -np.inf).all()
    assert np.isfinite(scores[:, [0, 1, 3]]).all()
    assert 2 not in estimator.predict(X_NEW)
    np.testing.assert_array_equal(estimator.predict(X_NEW), scores.argmax(1))


@every_case
def test_head_of_another_width_is_refused_with_both_sizes(name, params):
    with pytest.raises(ValueError, match=r"5 columns.*made for 7"):
        make(name, **params).fit(X, Y, head=random_head(num_features=7))


@every_case
@pytest.mark.parametrize("label", [-1, 4])
def test_label_out_of_range_is_refused_with_its_row(name, params, label):
    y = Y.copy()
    y[3] = label
    with pytest.raises(ValueError, match=rf"labels: {label} \(row 3\).*4 classes"):
        make(name, **params).fit(X, y, head=HEAD)
    y_val = Y_VAL.copy()
    y_val[5] = label
    with pytest.raises(ValueError, match=rf"labels: {label} \(row 5\)"):
        make(name, **params).fit(X, Y, head=HEAD, validation=(X_VAL, y_val))


@every_case
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_features_are_refused_with_their_rows(name, params, value):
    bad = X.copy()
    bad[[2, 7], 1] = value
    for attempt in (
        lambda: make(name, **params).fit(bad, Y),
        lambda: make(name, **params).fit(bad, Y, head=HEAD),
        lambda: make(name, **params).fit(X, Y, head=HEAD, validation=(bad, Y)),
        lambda: fitted(name, params).predict(bad),
        lambda: fitted(name, params).scores(bad),
    ):
        with pytest.raises(ValueError, match=r"2 of 21 rows hold NaN or infinity \(rows 2, 7\)"):
            attempt()


@every_case
def test_float16_memory_map_gives_what_its_float32_copy_gives(name, params, tmp_path):
    half = X.astype(np.float16)
    np.save(tmp_path / "X.npy", half)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    validation = Features(X_VAL, Y_VAL)
    from_map = make(name, **params).fit(mapped, Y, head=HEAD, validation=validation)
    from_copy = make(name, **params).fit(half.astype(np.float32), Y, head=HEAD, validation=validation)
    np.testing.assert_allclose(from_map.scores(mapped), from_copy.scores(half.astype(np.float32)), rtol=1e-6)
    np.testing.assert_array_equal(from_map.predict(mapped), from_copy.predict(half.astype(np.float32)))


@every_case
def test_fitting_twice_gives_the_same_bits_and_leaves_global_generators_alone(name, params):
    torch.manual_seed(3), np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = fitted(name, params).scores(X_NEW)
    torch.manual_seed(4), torch.set_rng_state(before[0])
    again = fitted(name, params)
    np.testing.assert_array_equal(first, again.scores(X_NEW))
    np.testing.assert_array_equal(first, again.fit(X, Y, head=HEAD, validation=(X_VAL, Y_VAL)).scores(X_NEW))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@every_case
def test_fitting_changes_none_of_its_inputs(name, params):
    head = random_head()
    copies = X.copy(), Y.copy(), head.weight.copy(), head.bias.copy()
    make(name, **params).fit(X, Y, head=head, validation=(X_VAL, Y_VAL)).scores(X)
    for now, then in zip((X, Y, head.weight, head.bias), copies, strict=True):
        np.testing.assert_array_equal(now, then)


@every_case
@pytest.mark.parametrize("kind", ["head", "strings", "booleans", "float64"])
def test_state_round_trip_gives_bit_identical_scores(name, params, kind, tmp_path):
    words = {"strings": np.array(["b", "a", "d", "c"]), "booleans": np.array([True, False, True, False])}
    if kind == "head":
        estimator = fitted(name, params)
    else:
        X3, rows = blobs([9, 7, 8, 5], dtype=np.float64 if kind == "float64" else np.float32)
        estimator = make(name, **params).fit(X3, words.get(kind, np.arange(4))[rows])
    arrays, description = to_state(name, estimator)
    save_tensors(tmp_path / "weights.safetensors", arrays, description)
    loaded, stored, _ = load_tensors(tmp_path / "weights.safetensors")
    for back in (from_state(arrays, json.loads(json.dumps(description))), from_state(loaded, stored)):
        np.testing.assert_array_equal(back.scores(X_NEW), estimator.scores(X_NEW))
        assert back.scores(X_NEW).dtype == estimator.scores(X_NEW).dtype
        assert back.predict(X_NEW).tolist() == estimator.predict(X_NEW).tolist()
        assert back.get_params() == estimator.get_params()
        assert {k for k in vars(back) if k.endswith("_")} == {k for k in vars(estimator) if k.endswith("_")}


@pytest.mark.parametrize("name", ["joint", "tau_norm", "lws"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cosine", [True, False])
def test_state_keeps_a_heads_scale_and_kind(name, bias, cosine):
    head = Head(HEAD.weight, HEAD.bias if bias else None, 16.0, cosine)
    estimator = make(name).fit(X, Y, head=head, validation=(X_VAL, Y_VAL))
    np.testing.assert_array_equal(
        from_state(*to_state(name, estimator)).scores(X_NEW), estimator.scores(X_NEW)
    )


@every_name
def test_state_without_one_of_its_arrays_is_refused_by_name(name):
    arrays, description = to_state(name, fitted(name, {}))
    for key in arrays:
        with pytest.raises(ValueError, match=re.escape(key)):
            from_state({k: v for k, v in arrays.items() if k != key}, description)


@every_case
def test_decision_function_of_two_classes_is_the_difference_of_scores(name, params):
    X2, rows = blobs([12, 6])
    estimator = make(name, **params).fit(X2, rows)
    scores = estimator.scores(X2)
    assert scores.shape == (18, 2)
    np.testing.assert_array_equal(estimator.decision_function(X2), scores[:, 1] - scores[:, 0])
    assert fitted(name, params).decision_function(X_NEW).shape == (80, 4)


@every_case
def test_probabilities_are_the_softmax_of_logits_or_not_there(name, params):
    estimator = fitted(name, params)
    assert hasattr(estimator, "predict_proba") == estimator.gives_logits
    if estimator.gives_logits:
        share = np.exp(estimator.scores(X_NEW).astype(np.float64))
        np.testing.assert_allclose(
            estimator.predict_proba(X_NEW), share / share.sum(1, keepdims=True), rtol=1e-9
        )


@every_case
def test_prediction_does_not_depend_on_the_block_size(name, params, monkeypatch):
    estimator = fitted(name, params)
    whole = estimator.predict(X_NEW)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 5 * 7)  # seven rows
    np.testing.assert_array_equal(estimator.predict(X_NEW), whole)
    np.testing.assert_array_equal(fitted(name, params).predict(X_NEW), whole)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("crt", {"lr": 0.0}, r"lr: must be a number > 0, got 0.0"),
        ("crt", {"epochs": 0, "batch_size": True}, r"batch_size.*epochs"),
        ("ncm", {"feature": "L2"}, r"feature: must be none or l2 or centered_l2, got 'L2'"),
        ("lws", {"bias": None}, r"bias: must be none or scaled"),
        ("tau_norm", {"tau": -1}, r"tau: must be a number ≥ 0 or validation, got -1"),
        ("tau_norm", {"tau": float("nan")}, r"tau: must be"),
    ],
)
def test_bad_parameters_are_refused_on_creation_and_on_fit(name, params, message):
    listed = ".*".join(sorted(params, key=list(params).index))
    with pytest.raises(ValueError, match=listed):
        make(name, **params)
    with pytest.raises(ValueError, match=message):
        make(name).set_params(**params).fit(X, Y)


# -- joint ------------------------------------------------------------------------------------------------


def test_joint_with_a_head_scores_its_logits_exactly():
    y = np.arange(len(X)) % 4
    joint = make("joint").fit(X, y, head=HEAD)
    np.testing.assert_array_equal(joint.scores(X_NEW), X_NEW @ HEAD.weight.T + HEAD.bias)
    assert joint.is_linear_fit_ is False


def test_joint_without_a_head_is_logistic_regression_and_says_so():
    X3, rows = blobs([30, 12, 5], dtype=np.float64)
    joint = make("joint").fit(X3, rows)
    assert joint.is_linear_fit_ is True
    expected = logistic_regression(X3, rows, weight_decay=5e-4)
    np.testing.assert_allclose(np.c_[joint.head_.weight, joint.head_.bias], expected, atol=2e-4)


# -- cRT --------------------------------------------------------------------------------------------------

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


# -- nearest class mean -----------------------------------------------------------------------------------


def naive_ncm(X_train, rows, num_classes, query, feature, distance):
    """Class by class and query by query, in float64."""

    def unit(v):
        length = np.sqrt((v**2).sum())
        return v / length if length > 0 else v

    center = X_train.astype(float).mean(0) if feature == "centered_l2" else 0.0

    def transform(x):
        x = x.astype(float) - center
        return x if feature == "none" else unit(x)

    scores = np.full((len(query), num_classes), -np.inf)
    for c in range(num_classes):
        members = [transform(x) for x in X_train[rows == c]]
        if not members:
            continue
        mean = np.mean(members, axis=0)
        for i, x in enumerate(query):
            f = transform(x)
            if distance == "euclidean":
                scores[i, c] = -((f - mean) ** 2).sum()
            else:
                scores[i, c] = f @ mean if distance == "dot" else unit(f) @ unit(mean)
    return scores


@pytest.mark.parametrize("feature", ["none", "l2", "centered_l2"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("zero", [False, True])
def test_ncm_equals_the_naive_version(feature, distance, zero):
    train, query = X.copy(), X_NEW.copy()
    if zero:
        train[:2], query[:2] = 0, 0
        train[Y == 3] = 0  # a whole class at the origin
    estimator = make("ncm", feature=feature, distance=distance).fit(train, Y, head=HEAD)
    expected = naive_ncm(train, Y, 4, query, feature, distance)
    np.testing.assert_allclose(estimator.scores(query), expected, rtol=2e-6, atol=2e-6)


def test_ncm_equals_scikit_learns_nearest_centroid():
    X3, rows = blobs([40, 10, 3, 1], spread=3.0, dtype=np.float64)
    mine = make("ncm", feature="none").fit(X3, rows)
    query = np.random.default_rng(3).normal(size=(500, D)) * 4
    reference = NearestCentroid().fit(X3, rows)
    np.testing.assert_allclose(mine.centroids_, reference.centroids_, rtol=1e-12)
    np.testing.assert_array_equal(mine.predict(query), reference.predict(query))


def test_ncm_far_from_the_origin_loses_no_digits():
    X3, rows = blobs([20, 20, 20], spread=0.5, dtype=np.float64)
    near, far = make("ncm", feature="none").fit(X3, rows), make("ncm", feature="none").fit(X3 + 1e5, rows)
    np.testing.assert_allclose(far.scores(X3 + 1e5), near.scores(X3), rtol=1e-5, atol=1e-5)


def test_ncm_means_in_blocks_are_the_means_in_one(monkeypatch):
    whole = make("ncm").fit(X, Y, head=HEAD)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * D * 4)
    blocks = make("ncm").fit(X, Y, head=HEAD)
    np.testing.assert_allclose(blocks.centroids_, whole.centroids_, atol=1e-12)


# -- τ-normalisation --------------------------------------------------------------------------------------


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


# -- learnable weight scaling -----------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["none", "scaled"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_lws_scale_is_where_its_objectives_gradient_vanishes(bias, weight_decay):
    X3, rows = blobs([30, 10, 4, 1], spread=3.0)
    head = random_head()
    lws = make("lws", bias=bias, weight_decay=weight_decay).fit(X3, rows, head=head)
    logits = X3.astype(float) @ head.weight.T.astype(float) + (head.bias if bias == "scaled" else 0)

    def objective(s):
        return balanced_objective(logits * s, rows) + weight_decay / 2 * (s**2).sum()

    ones = np.ones(4)
    assert np.abs(numeric_gradient(objective, ones)).max() > 1e-2
    assert np.abs(numeric_gradient(objective, lws.scale_)).max() < 2e-6
    assert objective(lws.scale_) < objective(ones)
    np.testing.assert_allclose(lws.scores(X3), logits * lws.scale_, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", ["none", "scaled"])
def test_lws_equals_its_head_with_the_scale_folded_in(bias):
    head = Head(HEAD.weight, HEAD.bias, 2.0)
    lws = make("lws", bias=bias).fit(X, Y, head=head)
    scale = lws.scale_.astype(np.float32)
    folded = Head(head.weight * scale[:, None], head.bias * scale if bias == "scaled" else None, 2.0)
    present = [0, 1, 3]
    logits = folded.logits(X_NEW)[:, present]
    np.testing.assert_allclose(lws.scores(X_NEW)[:, present], logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(lws.predict(X_NEW), np.array(present)[logits.argmax(1)])


def test_lws_leaves_an_absent_class_and_a_zero_row_at_one():
    weight = HEAD.weight.copy()
    weight[1] = 0
    lws = make("lws").fit(X, Y, head=Head(weight, None))
    assert lws.scale_[1] == lws.scale_[2] == 1
    assert (lws.scale_[[0, 3]] != 1).all()


def test_lws_without_a_head_scales_a_plain_one():
    X3, rows = blobs([30, 10, 4], spread=3.0)
    plain = fit_plain_head(X3, rows, 3)
    np.testing.assert_array_equal(
        make("lws").fit(X3, rows).scores(X3), make("lws").fit(X3, rows, head=plain).scores(X3)
    )


def test_crt_sgd_that_diverges_is_an_error_naming_the_rate():
    with pytest.raises(ValueError, match=r"crt: training diverged in epoch \d+; lower lr \(1e\+30\)"):
        make("crt", solver="sgd", lr=1e30, weight_decay=10.0).fit(X, Y)


@pytest.mark.parametrize("name", ["lws", "crt"])
def test_convex_fits_do_not_depend_on_what_is_kept_in_memory(monkeypatch, name):
    kept = make(name).fit(X, Y)
    module = {
        "lws": "longtail.stages.classifiers.tools.frozen_logits",
        "crt": "longtail.stages.classifiers.tools.linear",
    }[name]
    monkeypatch.setattr(f"{module}.RESIDENT_BYTES", 0)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 7 * 20)
    np.testing.assert_allclose(make(name).fit(X, Y).scores(X), kept.scores(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("params", [{"lr": 0.1}, {"momentum": 0.5}, {"batch_size": 3}, {"epochs": 1}])
def test_crt_lbfgs_refuses_what_only_sgd_uses(params):
    with pytest.raises(ValueError, match=rf"{next(iter(params))}: solver lbfgs has none, .* solver: sgd"):
        make("crt", **params).fit(X, Y)
