"""What holds for every classifier, and the joint one."""

import inspect
import json
import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.tools.state import from_state, to_state
from longtail.stages.features import Features
from tests.stages.classifiers.cases import (
    CHECKED,
    COUNTS,
    HEAD,
    X_NEW,
    X_VAL,
    Y_VAL,
    X,
    Y,
    blobs,
    every_case,
    every_name,
    fitted,
    make,
    random_head,
)
from tests.stages.classifiers.naive import logistic_regression

# -- the contract ----------------------------------------------------------------------------------------


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


# -- joint -----------------------------------------------------------------------------------------------


def test_joint_with_a_head_scores_its_logits_exactly():
    y = np.arange(len(X)) % 4
    joint = make("joint").fit(X, y, head=HEAD)
    np.testing.assert_array_equal(joint.scores(X_NEW), X_NEW @ HEAD.weight.T + HEAD.bias)
    assert joint.is_linear_fit_ is False


def test_joint_without_a_head_is_marked_as_logistic_regression():
    X3, rows = blobs([30, 12, 5], dtype=np.float64)
    joint = make("joint").fit(X3, rows)
    assert joint.is_linear_fit_ is True
    expected = logistic_regression(X3, rows, weight_decay=5e-4)
    np.testing.assert_allclose(np.c_[joint.head_.weight, joint.head_.bias], expected, atol=2e-4)


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
