"""Classifiers around another: temperature and resampled."""

import json
import re

import numpy as np
import pytest
from scipy.special import log_softmax

from longtail.pipeline.config.components import check_spec
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.classifier_files import load_classifier
from longtail.pipeline.work.execute import run_stage_two
from longtail.pipeline.work.workbench import Workbench
from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.adjusted.temperature import best_temperature, negative_log_likelihood
from longtail.stages.classifiers.tools.state import from_state, to_state
from longtail.stages.classifiers.tools.wrapper import from_spec
from longtail.stages.features import Features
from longtail.stages.metrics.scores import expected_calibration_error
from longtail.stages.parameters import Problems
from longtail.stages.resampling import RESAMPLERS
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds

COUNTS = [24, 12, 0, 6, 1]  # an absent class, a single sample, and all of 24's divisors


def blobs(counts, *, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(len(counts), 4))
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (centers[y] + rng.normal(size=(len(y), 4))).astype(dtype), y


X, Y = blobs(COUNTS)
VALIDATION = Features(*blobs([30] * 5, seed=1))
X_NEW = blobs([20] * 5, seed=2)[0]
HEAD = Head(np.random.default_rng(5).normal(size=(5, 4)), np.random.default_rng(6).normal(size=5))


def make(name, **params):
    """A fresh classifier, seeded where it draws."""
    return from_spec({"name": name, **params}, random_state=0)


def fitted(name, **params):
    return make(name, **params).fit(X, Y, head=HEAD, validation=VALIDATION)


# -- temperature by hand ----------------------------------------------------------------------------------


def over_confident(n=4000, classes=6, factor=3.0, seed=0):
    """Logits `factor` times those that labels were drawn from, (n, classes), and these labels."""
    rng = np.random.default_rng(seed)
    true = 2 * rng.normal(size=(n, classes))
    shares = np.exp(log_softmax(true, axis=1))
    labels = (shares.cumsum(1) < rng.uniform(size=(n, 1))).sum(1)
    return factor * true, np.minimum(labels, classes - 1)


def test_likelihood_is_the_one_written_the_long_way(monkeypatch):
    logits, y = over_confident(200)
    for t in (0.1, 1.0, 7.0):
        expected = -log_softmax(logits / t, axis=1)[np.arange(200), y].mean()
        assert negative_log_likelihood(logits, y, t) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 6 * 7)  # seven rows
    assert negative_log_likelihood(logits, y, 7.0) == pytest.approx(expected, rel=1e-12)


def test_temperature_of_two_logits_is_the_solution_by_hand():
    """Three of four right at a gap of 2: 3/4 = 1/(1 + e^(−2/T)), so T = 2/log 3."""
    logits = np.array([[2.0, 0.0]] * 4)
    assert best_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(2 / np.log(3), rel=1e-6)


def test_temperature_is_the_minimum_of_a_fine_grid():
    logits, y = over_confident(500)
    temperature = best_temperature(logits, y)
    grid = np.exp(np.linspace(np.log(0.05), np.log(50), 4001))
    values = [negative_log_likelihood(logits, y, t) for t in grid]
    assert temperature == pytest.approx(grid[np.argmin(values)], rel=2e-3)  # neighbours are 1.7e-3 apart
    assert negative_log_likelihood(logits, y, temperature) <= min(values)


def test_temperature_finds_the_factor_logits_were_multiplied_by():
    logits, y = over_confident(20_000, factor=3.0)
    assert best_temperature(logits, y) == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("factor", [1e-6, 1e-2, 1e6])
def test_scaling_logits_scales_the_temperature(factor):
    logits, y = over_confident(500)
    assert best_temperature(factor * logits, y) == pytest.approx(
        factor * best_temperature(logits, y), rel=1e-5
    )


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (np.zeros((3, 4)), 1.0),  # nothing to scale
        (np.full((3, 1), 5.0), 1.0),  # one class
        (np.array([[9.0, 0, 0, 0]] * 3), (0, 1.0)),  # all right: the surer the better
        (np.array([[0, 9.0, 9.0, 9.0]] * 3), (1e3, 1e4)),  # all wrong: the less sure the better
    ],
)
def test_temperature_stays_finite_and_positive_where_there_is_no_minimum(logits, expected):
    temperature = best_temperature(logits, np.zeros(3, int))
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    assert low <= temperature <= high and temperature > 0


# -- the temperature classifier ---------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["joint", "crt", "tau_norm", "lws", "resampled"])
def test_temperature_divides_the_scores_and_leaves_predictions(inner):
    outer = fitted("temperature", classifier=inner)
    alone = make(inner)
    scores = alone.fit(X, Y, head=HEAD, validation=VALIDATION).scores(X_NEW)
    np.testing.assert_array_equal(outer.scores(X_NEW), scores.astype(float) / outer.temperature_)
    np.testing.assert_array_equal(outer.predict(X_NEW), alone.predict(X_NEW))
    assert outer.temperature_ != 1


def test_temperature_is_chosen_on_validation_samples_of_classes_with_training_samples():
    outer = fitted("temperature")
    known = VALIDATION.y != 2
    logits = HEAD.logits(VALIDATION.X[known])[:, [0, 1, 3, 4]]
    y = np.searchsorted([0, 1, 3, 4], VALIDATION.y[known])
    assert outer.temperature_ == best_temperature(logits, y)
    assert outer.ece_before_ == expected_calibration_error(logits, y)
    assert outer.ece_after_ == expected_calibration_error(logits.astype(float) / outer.temperature_, y)


def test_calibration_error_of_an_over_confident_head_falls():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 4))
    true = features @ HEAD.weight.T
    labels = (np.exp(log_softmax(true, axis=1)).cumsum(1) < rng.uniform(size=(3000, 1))).sum(1)
    labels = np.minimum(labels, 4)
    head = Head(5 * HEAD.weight, None)
    train, held, fresh = slice(0, 1000), slice(1000, 2000), slice(2000, 3000)
    outer = make("temperature").fit(
        features[train], labels[train], head=head, validation=(features[held], labels[held])
    )
    assert outer.temperature_ == pytest.approx(5, rel=0.15)
    assert outer.ece_after_ < 0.25 * outer.ece_before_
    before = expected_calibration_error(head.logits(features[fresh]), labels[fresh])
    assert expected_calibration_error(outer.scores(features[fresh]), labels[fresh]) < 0.35 * before


def test_without_a_head_temperature_is_cross_validated():
    X3, rows = blobs([40, 12, 5, 1], dtype=np.float64)
    outer = make("temperature", classifier="crt").fit(X3, rows)
    logits, y = [], []
    for train, held in round_robin_folds(rows):
        logits.append(make("crt").fit(X3[train], rows[train]).scores(X3[held]))
        y.append(rows[held])
    assert outer.temperature_ == best_temperature(np.concatenate(logits), np.concatenate(y))
    np.testing.assert_array_equal(outer.classifier_.scores(X3), make("crt").fit(X3, rows).scores(X3))
    with_validation = make("temperature", classifier="crt").fit(X3, rows, validation=(X3, rows))
    assert with_validation.temperature_ < outer.temperature_  # on training samples it looks surer than it is


def test_views_reach_the_wrapped_classifier_where_it_uses_them():
    views = [X + 0.1, X - 0.2]
    outer = make("temperature", classifier="crt").fit(X, Y, head=HEAD, validation=VALIDATION, views=views)
    inner = make("crt").fit(X, Y, head=HEAD, views=views)
    np.testing.assert_array_equal(outer.classifier_.head_.weight, inner.head_.weight)
    present = Y != 2
    X3, rows = X[present], np.unique(Y[present], return_inverse=True)[1]
    make("temperature", classifier="crt").fit(X3, rows, views=[X3 + 0.1, X3 - 0.2])  # in folds too
    for blind in (make("temperature"), make("resampled")):
        assert not blind.uses_views
        with pytest.raises(ValueError, match="does not train on views"):
            blind.fit(X, Y, head=HEAD, validation=VALIDATION, views=views)


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("temperature", {"classifier": "ncm"}, "classifier: must give logits, got 'ncm'"),
        ("temperature", {"classifier": {"name": "knn", "k": 3}}, r"must give logits, got \{'name': 'knn'"),
        ("temperature", {"classifier": {"name": "resampled", "classifier": "ncm"}}, "must give logits"),
        ("temperature", {"classifier": "temperature"}, "Temperature inside Temperature does nothing more"),
        (
            "temperature",
            {"classifier": {"name": "resampled", "classifier": "temperature"}},
            "Temperature inside Temperature",
        ),
        ("resampled", {"classifier": "resampled"}, "Resampled inside Resampled does nothing more"),
        ("temperature", {"classifier": "crtt"}, "unknown classifier 'crtt'; did you mean 'crt'"),
        (
            "resampled",
            {"classifier": {"name": "crt", "weight_decay": -1}},
            r"crt\.weight_decay: must be a number ≥ 0, got -1",
        ),
        ("resampled", {"method": "smot"}, "unknown resampler 'smot'; did you mean 'smote'"),
        (
            "resampled",
            {"method": {"name": "smote", "k_neighbors": 0}},
            r"smote\.k_neighbors: must be an integer ≥ 1",
        ),
        ("temperature", {"classifier": {"weight_decay": 1}}, "a component must be a name"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(name, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(name, **params)


def test_temperature_for_a_given_head_needs_validation():
    with pytest.raises(ValueError, match=re.escape(NEEDS_VALIDATION)):
        make("temperature").fit(X, Y, head=HEAD)


def test_temperature_needs_samples_it_can_judge():
    X3, rows = blobs([1, 1, 1])
    with pytest.raises(ValueError, match=r"no class with two samples .* pass validation=\(X, y\)"):
        make("temperature").fit(X3, rows)
    strangers = VALIDATION.X[VALIDATION.y == 2], VALIDATION.y[VALIDATION.y == 2]
    with pytest.raises(ValueError, match="no sample of a class with training samples"):
        make("temperature").fit(X, Y, head=HEAD, validation=strangers)


@pytest.mark.parametrize("outer", ["temperature", "resampled"])
@pytest.mark.parametrize("inner", ["crt", "joint", "ncm", "knn"])
def test_logits_and_probabilities_are_there_when_the_wrapped_one_has_them(outer, inner):
    wrapper, alone = make(outer, classifier=inner), make(inner)
    assert wrapper.gives_logits == alone.gives_logits == hasattr(wrapper, "predict_proba")


# -- resampled --------------------------------------------------------------------------------------------


def test_plain_head_on_evenly_repeated_samples_is_class_balanced_crt():
    """Each sample of class c stands n_max/n_c times: that is its weight 1/(K·n_c), up to one factor."""
    X3, rows = blobs([24, 12, 0, 6, 1], dtype=np.float64)
    crt = make("crt").fit(X3, rows, head=HEAD)
    plain = {"name": "crt", "sampler": "instance_balanced"}
    outer = make("resampled", method="random_over", classifier=plain).fit(X3, rows, head=HEAD)
    np.testing.assert_allclose(outer.classifier_.head_.weight, crt.head_.weight, atol=2e-5)
    np.testing.assert_allclose(outer.classifier_.head_.bias, crt.head_.bias, atol=2e-5)
    weighted = make("resampled", method="random_over").fit(X3, rows, head=HEAD)
    np.testing.assert_allclose(weighted.scores(X_NEW), outer.scores(X_NEW), atol=1e-4)
    unbalanced = make("crt", sampler="instance_balanced").fit(X3, rows, head=HEAD)
    assert np.abs(unbalanced.head_.weight - crt.head_.weight).max() > 0.05


@pytest.mark.parametrize("method", [*RESAMPLERS.names(), {"name": "smote", "k_neighbors": 2}])
@pytest.mark.filterwarnings("ignore:.* its samples are (repeated|kept)")
def test_resampled_is_the_wrapped_classifier_on_resampled_features(method):
    outer = fitted("resampled", method=method)
    name, params = (method, {}) if isinstance(method, str) else (method["name"], {"k_neighbors": 2})
    resampled = RESAMPLERS.create(name, X, Y, random_state=0, **params)
    inner = make("crt").fit(*resampled, head=HEAD)
    np.testing.assert_array_equal(outer.scores(X_NEW), inner.scores(X_NEW))
    np.testing.assert_array_equal(outer.classifier_.class_counts_, np.bincount(resampled[1], minlength=5))
    assert outer.class_counts_.tolist() == COUNTS


def test_head_and_validation_pass_through_resampling():
    outer = fitted("resampled", classifier="tau_norm")
    assert (
        outer.classifier_.tau_
        == CLASSIFIERS.create("tau_norm")
        .fit(*RESAMPLERS.create("smote", X, Y, random_state=0), head=HEAD, validation=VALIDATION)
        .tau_
    )
    np.testing.assert_array_equal(
        fitted("resampled", classifier="joint").scores(X_NEW)[:, 0], HEAD.logits(X_NEW)[:, 0]
    )


@pytest.mark.parametrize("name", ["temperature", "resampled"])
def test_seed_reaches_the_wrapped_classifier(name):
    sgd = {"name": "crt", "solver": "sgd", "epochs": 1, "batch_size": 8}
    runs = [
        CLASSIFIERS.create(name, classifier=sgd, random_state=seed)
        .fit(X, Y, head=HEAD, validation=VALIDATION)
        .scores(X_NEW)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


# -- configuration and state ------------------------------------------------------------------------------


def test_nested_parameters_are_part_of_the_identity():
    spec = check_spec(
        "classifiers", {"name": "temperature", "classifier": {"name": "crt", "weight_decay": 1e-3}}
    )
    assert spec.minimal() == {"name": "temperature", "classifier": {"name": "crt", "weight_decay": 1e-3}}
    assert spec.full()["classifier"]["sampler"] == {"name": "class_balanced", "samples_per_class": 4}
    assert check_spec("classifiers", {"name": "temperature", "classifier": {"name": "joint"}}).minimal() == {
        "name": "temperature"
    }
    same = {"name": "resampled", "method": {"name": "smote", "k_neighbors": 5}, "classifier": "crt"}
    assert check_spec("classifiers", same).minimal() == {"name": "resampled"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"classifier": {"name": "crt", "weight_decay": -1}},
            "classifier.weight_decay: must be a number ≥ 0",
        ),
        ({"classifier": "cart"}, "classifier: unknown classifier 'cart'"),
        (
            {"classifier": {"name": "resampled", "method": {"name": "smote", "k": 3}}},
            "classifier.method.k: unknown parameter of resampler smote",
        ),
        (
            {"classifier": {"name": "crt", "sampler": {"name": "power", "q": -1}}},
            "classifier.sampler.q: must",
        ),
    ],
)
def test_problems_inside_are_reported_with_their_path(given, problem):
    with pytest.raises(Problems) as caught:
        check_spec("classifiers", {"name": "temperature", **given})
    assert str(caught.value).startswith(problem)


NESTED = [
    ("temperature", {"classifier": {"name": "resampled", "classifier": {"name": "marc", "solver": "sgd"}}}),
    ("temperature", {"classifier": "tau_norm"}),
    ("resampled", {"classifier": "knn", "method": "random_over"}),
    ("resampled", {"classifier": "ncm"}),
]


@pytest.mark.parametrize(("name", "params"), NESTED)
@pytest.mark.parametrize("words", [False, True])
def test_nested_state_round_trip_gives_bit_identical_scores(name, params, words, tmp_path):
    if words:
        X3, rows = blobs([9, 7, 8])
        estimator = make(name, **params).fit(X3, np.array(["b", "a", "d"])[rows])
    else:
        estimator = fitted(name, **params)
    arrays, description = to_state(name, estimator)
    save_tensors(tmp_path / "weights.safetensors", arrays, description)
    loaded, stored, _ = load_tensors(tmp_path / "weights.safetensors")
    for back in (from_state(arrays, json.loads(json.dumps(description))), from_state(loaded, stored)):
        np.testing.assert_array_equal(back.scores(X_NEW), estimator.scores(X_NEW))
        assert back.predict(X_NEW).tolist() == estimator.predict(X_NEW).tolist()
        one, other = back, estimator
        while one is not None:
            assert type(one) is type(other) and one.get_params() == other.get_params()
            assert {k for k in vars(one) if k.endswith("_")} == {k for k in vars(other) if k.endswith("_")}
            one, other = getattr(one, "classifier_", None), getattr(other, "classifier_", None)


def test_nested_arrays_stand_under_their_attribute():
    arrays, description = to_state("temperature", fitted("temperature", classifier={"name": "resampled"}))
    assert "classifier_/classifier_/head_.weight" in arrays
    assert description["arrays"] == sorted(arrays)
    assert description["fitted"]["classifier_"]["estimator"]["classifier"] == "resampled"
    flat, plain = to_state("crt", fitted("crt"))
    assert set(flat) == {"class_counts_", "classes_", "head_.bias", "head_.weight"}
    assert set(plain) == {"classifier", "params", "fitted", "arrays"}


def test_a_run_with_wrappers_is_loaded_back_with_equal_scores(digits, store):
    calibrated = "{name: temperature, classifier: tau_norm}"
    smoted = "{name: resampled, classifier: {name: crt, weight_decay: 1e-2}}"
    config = digits("features.views=1", f"classifiers=[{calibrated}, {smoted}]")
    results = run_stage_two(config, store)
    features = Workbench(config, store).features
    assert [r.classifier for r in results] == ["temperature", "resampled"]
    assert results[1].params == {"classifier": {"name": "crt", "weight_decay": 0.01}}
    assert set(results[0].fitted) == {"temperature_", "ece_before_", "ece_after_"}
    for result, spec in zip(results, config.classifiers, strict=True):
        estimator = CLASSIFIERS.create(spec.name, random_state=config.seed, **spec.params)
        estimator.fit(features.train.X, features.train.y, head=features.head, validation=features.val)
        loaded = load_classifier(store, result.run)
        np.testing.assert_array_equal(loaded.scores(features.test.X), estimator.scores(features.test.X))
    assert run_stage_two(config, store) == results
