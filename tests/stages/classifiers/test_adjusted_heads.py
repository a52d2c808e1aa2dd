"""marc, disalign, maxnorm and oltr: each against its formula, written out naively in float64."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.retrained.marc import head_norms
from longtail.stages.classifiers.retrained.maxnorm import DECAYS
from longtail.stages.classifiers.retrained.oltr import LEARNED, embedded_scores, memory_loss, starting_point
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.state import from_state, to_state
from longtail.stages.metrics.scores import evaluate
from longtail.stages.priors import power_weights
from longtail.stages.samplers import SAMPLERS

COUNTS = np.array([14, 6, 0, 1])  # an absent class and a single-sample one
PRESENT = [0, 1, 3]
D = 5
STEPPING = [("marc", {"solver": "sgd"}), ("disalign", {}), ("maxnorm", {"weight_decay": 0.1}), ("oltr", {})]
CASES = [("marc", {}), *STEPPING]
every_case = pytest.mark.parametrize(("name", "params"), CASES, ids=str)
every_stepping = pytest.mark.parametrize(("name", "params"), STEPPING, ids=str)


def make(name, **params):
    return CLASSIFIERS.create(name, **{"random_state": 0, **params})


def blobs(counts, *, seed=0, dtype=np.float32, size=1.0):
    rng = np.random.default_rng(seed)
    centers = 1.5 * np.random.default_rng(99).normal(size=(len(counts), D))
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (size * (centers[y] + rng.normal(size=(len(y), D)))).astype(dtype), y


def random_head(num_classes=4, *, bias=True, scale=1.0, cosine=False):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(num_classes, D)) * rng.uniform(0.5, 2, size=(num_classes, 1))
    return Head(weight, rng.normal(size=num_classes) if bias else None, scale, cosine)


X, Y = blobs(COUNTS)
X_VAL, Y_VAL = blobs([9, 9, 9, 9], seed=1)
X_NEW, _ = blobs([20, 20, 20, 20], seed=2)
HEAD = random_head()
HEADS = {
    "plain": HEAD,
    "bare": random_head(bias=False),
    "scaled": random_head(scale=3.0),
    "cosine": random_head(bias=False, scale=16.0, cosine=True),
    "float32": Head(HEAD.weight.astype(np.float32), HEAD.bias.astype(np.float32)),
}
every_head = pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))


def joint(head, features):
    return CLASSIFIERS.create("joint").fit(X, Y, head=head).predict(features)


def naive_weights(counts, raw):
    weights = np.array([raw(n) if n else 0.0 for n in counts])
    return weights * np.count_nonzero(counts) / weights.sum()


def power(counts):
    return naive_weights(counts, lambda n: (n / sum(counts)) ** -1.2)


def cross_entropy(scores, label, present=PRESENT):
    """−log softmax over the classes present, one sample."""
    return np.log(sum(np.exp(scores[c]) for c in present)) - scores[label]


def weighted_mean(scores, labels, weights, total):
    return sum(weights[y] * cross_entropy(z, y) for z, y in zip(scores, labels, strict=True)) / total


def gradient(function, arrays, step=1e-6):
    """Central differences of ``function(arrays)`` by every entry of every array."""
    gradients = {}
    for name, array in arrays.items():
        gradients[name] = np.empty(array.shape)
        for place in np.ndindex(array.shape):
            values = []
            for shift in (step, -step):
                moved = {key: value.copy() for key, value in arrays.items()}
                moved[name][place] += shift
                values.append(function(moved))
            gradients[name][place] = (values[0] - values[1]) / (2 * step)
    return gradients


def stepped(start, slopes, *, lr, weight_decay):
    return {name: start[name] - lr * (slopes[name] + weight_decay * start[name]) for name in start}


# -- shared by all four -----------------------------------------------------------------------------------


def test_weights_are_powers_of_the_class_shares_and_sum_to_the_classes_present():
    weights = power_weights(np.array([100, 10, 0, 1]), 1.2)
    assert weights.sum() == pytest.approx(3)
    assert weights[2] == 0
    assert weights[1] / weights[0] == pytest.approx(10**1.2)
    assert weights[3] / weights[0] == pytest.approx(100**1.2)
    np.testing.assert_allclose(weights, power([100, 10, 0, 1]))
    np.testing.assert_allclose(power_weights(np.array([5, 3]), 0.0), [1, 1])


@every_head
@pytest.mark.parametrize("name", ["marc", "disalign", "maxnorm"])
def test_at_the_start_predictions_are_joints(name, head):
    frozen = {"lr": 1e-12, "epochs": 1} | dict(STEPPING)[name]
    if name == "maxnorm":  # rows of one length: the cap starts where they are
        length = np.linalg.norm(head.weight, axis=1, keepdims=True)
        head = Head(head.weight / length, head.bias, head.scale, head.cosine)
    estimator = make(name, **frozen).fit(X, Y, head=head)
    np.testing.assert_array_equal(estimator.predict(X_NEW), joint(head, X_NEW))
    if name == "marc":
        np.testing.assert_allclose(estimator.scores(X_NEW)[:, PRESENT], head.logits(X_NEW)[:, PRESENT])
    if name == "disalign":
        share = 1 / (1 + np.exp(-0.1 * X_NEW.sum(1, keepdims=True)))
        expected = (1 + share) * head.logits(X_NEW)
        np.testing.assert_allclose(estimator.scores(X_NEW)[:, PRESENT], expected[:, PRESENT], rtol=1e-4)


@every_case
@every_head
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_head_and_precision_works_and_absent_classes_are_never_predicted(name, params, head, dtype):
    estimator = make(name, **params).fit(X.astype(dtype), Y, head=head)
    scores = estimator.scores(X_NEW.astype(dtype))
    assert (scores[:, 2] == -np.inf).all()
    assert np.isfinite(scores[:, PRESENT]).all()
    back = from_state(*to_state(name, estimator))
    np.testing.assert_array_equal(back.scores(X_NEW.astype(dtype)), scores)


@every_case
def test_without_a_head_a_plain_one_is_fitted(name, params):
    X3, rows = blobs([20, 8, 3])
    plain = fit_plain_head(X3, rows, 3)
    given = make(name, **params).fit(X3, rows, head=plain)
    none = make(name, **params).fit(X3, np.array(["a", "b", "c"])[rows])
    np.testing.assert_array_equal(none.scores(X3), given.scores(X3))


@every_stepping
def test_a_fit_depends_on_its_random_state_alone(name, params):
    def scores(seed):
        estimator = make(name, **params, random_state=seed, batch_size=4)
        return estimator.fit(X, Y, head=HEAD).scores(X_NEW)[:, PRESENT]

    np.testing.assert_array_equal(scores(1), scores(1))
    np.testing.assert_array_equal(scores(np.random.RandomState(1)), scores(np.random.RandomState(1)))
    assert not np.array_equal(scores(1), scores(2))


@every_stepping
def test_the_first_best_validation_epoch_is_kept(name, params, monkeypatch):
    accuracies, seen = [0.3, 0.7, 0.5, 0.7], []

    def scripted(scores, labels, class_counts):
        seen.append(scores)
        return {"balanced_accuracy": accuracies[len(seen) - 1], "class_accuracy": [0.5] * 4}

    monkeypatch.setattr("longtail.stages.metrics.scores.evaluate", scripted)
    fitted = make(name, **params, epochs=4).fit(X, Y, head=HEAD, validation=(X_VAL, Y_VAL))
    assert (len(seen), fitted.best_epoch_) == (4, 2)
    np.testing.assert_allclose(fitted.scores(X_VAL), seen[1], rtol=1e-5, atol=1e-5)
    last = make(name, **params, epochs=4).fit(X, Y, head=HEAD)
    assert last.best_epoch_ == 4
    np.testing.assert_allclose(last.scores(X_VAL), seen[3], rtol=1e-5, atol=1e-5)
    assert not np.allclose(seen[1], seen[3], rtol=1e-5, atol=1e-5)


@every_case
def test_views_take_the_place_of_the_samples(name, params):
    plain = make(name, **params).fit(X, Y, head=HEAD).scores(X_NEW)
    twice = make(name, **params).fit(X, Y, head=HEAD, views=[X, X]).scores(X_NEW)
    np.testing.assert_allclose(twice, plain, rtol=1e-5, atol=1e-5)
    moved = make(name, **params).fit(X, Y, head=HEAD, views=[X, X + 1]).scores(X_NEW)
    assert not np.allclose(moved, plain, rtol=1e-3)


@every_stepping
def test_training_that_diverges_is_an_error_naming_the_rate(name, params):
    with pytest.raises(ValueError, match=rf"{name}: training diverged in epoch \d+; lower lr \(1e\+30\)"):
        make(name, **{**params, "lr": 1e30, "weight_decay": 10.0}).fit(X, Y, head=HEAD)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("marc", {"lr": 0.1}, r"lr: solver lbfgs has none, got 0.1; set solver: sgd"),
        ("marc", {"epochs": 3}, r"epochs: solver lbfgs has none"),
        ("marc", {"solver": "adam"}, r"solver: must be lbfgs or sgd, got 'adam'"),
        ("marc", {"rho": -1.0}, r"rho: must be a number ≥ 0, got -1"),
        ("disalign", {"rho": -1.0}, r"rho: must be a number ≥ 0, got -1"),
        ("disalign", {"epochs": 0}, r"epochs: must be an integer ≥ 1, got 0"),
        ("maxnorm", {"beta": 1.0}, r"beta: must be a number ≥ 0 and < 1, got 1"),
        ("oltr", {"lr": 0.0}, r"lr: must be a number > 0, got 0"),
    ],
)
def test_bad_parameters_are_refused(name, params, message):
    with pytest.raises(ValueError, match=message):
        make(name).set_params(**params).fit(X, Y, head=HEAD)


def long_tailed_digits():
    """Pixels of digits, 110 zeros down to 4 nines for training and the rest for testing."""
    data = load_digits()
    pixels, y = (data.data / 16).astype(np.float32), data.target
    counts, rng = np.array([110, 80, 60, 42, 30, 20, 12, 8, 5, 4]), np.random.default_rng(0)
    train = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in enumerate(counts)])
    test = np.setdiff1d(np.arange(len(y)), train)
    return pixels[train], y[train], pixels[test], y[test], counts


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *CASES,
        ("disalign", {"epochs": 60}),
        ("oltr", {"epochs": 60}),
        ("maxnorm", {"weight_decay": 0.1, "epochs": 30}),
    ],
    ids=str,
)
def test_few_shot_recall_rises_over_joint(name, params):
    train, y_train, test, y_test, counts = long_tailed_digits()
    head = fit_plain_head(train, y_train, 10)

    def reached(name, **params):
        scores = make(name, **params).fit(train, y_train, head=head).scores(test)
        return evaluate(scores, y_test, counts, many=50, few=13)

    before = evaluate(head.logits(test), y_test, counts, many=50, few=13)
    after = reached(name, **params)
    assert after["few"] > before["few"] + (0.06 if "epochs" in params else 0.03)
    assert after["balanced_accuracy"] > before["balanced_accuracy"]


# -- marc -------------------------------------------------------------------------------------------------


def naive_marc(p, head, features, labels):
    weights = power(COUNTS)
    norms = np.linalg.norm(head.weight.astype(float), axis=1)
    scores = [p["omega"] * (head.weight @ f + head.bias) + p["beta"] * norms for f in features.astype(float)]
    return weighted_mean(scores, labels, weights, sum(weights[y] for y in labels))


def marc_start():
    return {"omega": np.ones(4), "beta": np.zeros(4)}


def test_marc_sgd_first_step_is_the_naive_one():
    marc = make("marc", solver="sgd", lr=0.5, weight_decay=0.1, epochs=1).fit(X, Y, head=HEAD)
    slopes = gradient(lambda p: naive_marc(p, HEAD, X, Y), marc_start())
    expected = stepped(marc_start(), slopes, lr=0.5, weight_decay=0.1)
    np.testing.assert_allclose(marc.omega_[PRESENT], expected["omega"][PRESENT], atol=1e-5)
    np.testing.assert_allclose(marc.beta_[PRESENT], expected["beta"][PRESENT], atol=1e-5)
    assert (marc.omega_[2], marc.beta_[2]) == (1, 0)


def marc_objective(p, weight_decay):
    half = weight_decay / 2
    return naive_marc(p, HEAD, X, Y) + half * sum((array[PRESENT] ** 2).sum() for array in p.values())


def marc_slope(p, weight_decay):
    slopes = gradient(lambda p: marc_objective(p, weight_decay), p, step=1e-5)
    return max(np.abs(array[PRESENT]).max() for array in slopes.values())


def test_marc_lbfgs_is_where_its_objectives_gradient_vanishes():
    marc = make("marc", weight_decay=0.01).fit(X.astype(np.float64), Y, head=HEAD)
    assert marc_slope(marc_start(), 0.01) > 1e-2
    assert marc_slope({"omega": marc.omega_, "beta": marc.beta_}, 0.01) < 1e-6
    assert (marc.omega_[2], marc.beta_[2]) == (1, 0)


def test_marc_sgd_approaches_what_lbfgs_finds():
    def reached(**params):
        marc = make("marc", weight_decay=0.01, **params).fit(X, Y, head=HEAD)
        return marc_objective({"omega": marc.omega_, "beta": marc.beta_}, 0.01)

    best, start = reached(), marc_objective(marc_start(), 0.01)
    short, long = reached(solver="sgd", epochs=5), reached(solver="sgd", epochs=400)
    assert best < long < short < start
    assert long - best < 0.001 * (start - best)


def test_marc_scores_are_its_formula():
    marc = make("marc").fit(X, Y, head=HEADS["scaled"])
    effective = 3.0 * HEAD.weight  # scale·(W f + b) has rows scale·W
    expected = marc.omega_ * (X_NEW @ effective.T + 3 * HEAD.bias)
    expected += marc.beta_ * np.linalg.norm(effective, axis=1)
    np.testing.assert_allclose(marc.scores(X_NEW)[:, PRESENT], expected[:, PRESENT], rtol=1e-6)
    np.testing.assert_array_equal(head_norms(HEADS["cosine"]), np.full(4, 16.0))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_marc_does_not_depend_on_what_is_kept_in_memory(monkeypatch, solver):
    kept = make("marc", solver=solver).fit(X, Y, head=HEAD)
    monkeypatch.setattr("longtail.stages.classifiers.tools.frozen_logits.RESIDENT_BYTES", 0)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 7 * 20)
    again = make("marc", solver=solver).fit(X, Y, head=HEAD)
    np.testing.assert_allclose(again.scores(X), kept.scores(X), rtol=1e-4, atol=1e-4)


def test_marc_absent_class_changes_no_other():
    squeezed = Head(HEAD.weight[PRESENT], HEAD.bias[PRESENT])
    gap = make("marc").fit(X, Y, head=HEAD)
    without = make("marc").fit(X, np.searchsorted(PRESENT, Y), head=squeezed)
    np.testing.assert_allclose(gap.scores(X_NEW)[:, PRESENT], without.scores(X_NEW), rtol=1e-6)


# -- disalign ---------------------------------------------------------------------------------------------


def naive_disalign(p, head, features):
    scores = []
    for f in features.astype(float):
        z = head.weight @ f + head.bias
        share = 1 / (1 + np.exp(-(p["u"] @ f + p["u0"][0])))
        scores.append((1 + share * p["s"]) * z + share * p["t"])
    return np.array(scores)


def test_disalign_first_step_is_the_naive_one():
    start = {"s": np.ones(4), "t": np.zeros(4), "u": np.full(D, 0.1), "u0": np.zeros(1)}
    weights = power(COUNTS)
    total = sum(weights[y] for y in Y)
    slopes = gradient(lambda p: weighted_mean(naive_disalign(p, HEAD, X), Y, weights, total), start)
    expected = stepped(start, slopes, lr=0.5, weight_decay=0.1)
    fitted = make("disalign", lr=0.5, weight_decay=0.1, epochs=1).fit(X, Y, head=HEAD)
    np.testing.assert_allclose(fitted.magnitude_[PRESENT], expected["s"][PRESENT], atol=1e-5)
    np.testing.assert_allclose(fitted.margin_[PRESENT], expected["t"][PRESENT], atol=1e-5)
    np.testing.assert_allclose(fitted.confidence_weight_, expected["u"], atol=1e-5)
    np.testing.assert_allclose(fitted.confidence_bias_, expected["u0"], atol=1e-5)
    assert min(np.abs(slopes[name]).max() for name in slopes) > 1e-3
    assert (fitted.magnitude_[2], fitted.margin_[2]) == (1, 0)


def test_disalign_scores_are_its_formula():
    fitted = make("disalign", batch_size=4).fit(X, Y, head=HEAD)
    p = {"s": fitted.magnitude_, "t": fitted.margin_}
    p |= {"u": fitted.confidence_weight_, "u0": fitted.confidence_bias_}
    expected = naive_disalign(p, HEAD, X_NEW)[:, PRESENT]
    np.testing.assert_allclose(fitted.scores(X_NEW.astype(float))[:, PRESENT], expected, rtol=1e-10)
    np.testing.assert_allclose(fitted.scores(X_NEW)[:, PRESENT], expected, rtol=1e-4, atol=1e-4)


# -- maxnorm ----------------------------------------------------------------------------------------------


def naive_cap(weight):
    norms = np.linalg.norm(weight[PRESENT].astype(float), axis=1)
    return norms.min() + 0.1 * (norms.max() - norms.min())


@pytest.mark.parametrize("bias", [True, False])
def test_maxnorm_first_step_is_the_naive_one_shortened(bias):
    head = random_head(bias=bias)
    start = {"weight": head.weight} | ({"bias": head.bias} if bias else {})
    weights = naive_weights(COUNTS, lambda n: 1 / sum(0.9999**k for k in range(n)))

    def objective(p):
        scores = [p["weight"] @ f + p.get("bias", 0) for f in X.astype(float)]
        return weighted_mean(scores, Y, weights, len(Y))

    expected = stepped(start, gradient(objective, start), lr=0.05, weight_decay=0.1)
    delta = naive_cap(head.weight)
    norms = np.linalg.norm(expected["weight"], axis=1, keepdims=True)
    assert (norms > delta).any() and (norms < delta).any()
    shortened = expected["weight"] * np.minimum(1, delta / norms)
    fitted = make("maxnorm", lr=0.05, weight_decay=0.1, epochs=1).fit(X, Y, head=head)
    assert fitted.delta_ == pytest.approx(delta, rel=1e-12)
    np.testing.assert_allclose(fitted.head_.weight, shortened, atol=1e-5)
    if bias:
        np.testing.assert_allclose(fitted.head_.bias, expected["bias"], atol=1e-5)
    else:
        assert fitted.head_.bias is None


@every_head
@pytest.mark.parametrize("lr", [0.01, 1.0])
def test_maxnorm_rows_are_never_longer_than_delta(head, lr):
    fitted = make("maxnorm", lr=lr, weight_decay=0.0, batch_size=4).fit(X, Y, head=head)
    norms = np.linalg.norm(fitted.head_.weight.astype(float), axis=1)
    assert norms.max() <= naive_cap(head.weight) * (1 + 1e-6)
    assert norms.max() == pytest.approx(fitted.delta_, rel=1e-6)  # some row is held back
    assert (fitted.head_.scale, fitted.head_.cosine) == (head.scale, head.cosine)


def test_maxnorm_of_rows_that_are_zero_stays_finite():
    weight = HEAD.weight.copy()
    weight[1] = 0
    for cosine in (True, False):
        fitted = make("maxnorm", weight_decay=0.1).fit(X, Y, head=Head(weight, None, 4.0, cosine))
        assert np.isfinite(fitted.scores(X_NEW)[:, PRESENT]).all()
    one = make("maxnorm").fit(X, np.zeros(len(X), int))  # a plain head of one class is all zero
    assert one.delta_ == 0
    assert not one.head_.weight.any()


def test_maxnorm_takes_the_decay_of_highest_validation_accuracy_the_strongest_of_equal_ones():
    train, y, test, y_test, counts = long_tailed_digits()
    head, validation = fit_plain_head(train, y, 10), (test, y_test)

    def reached(decay):
        fitted = make("maxnorm", weight_decay=decay, epochs=3).fit(train, y, head=head, validation=validation)
        return evaluate(fitted.scores(test), y_test, counts)["balanced_accuracy"]

    every = [reached(decay) for decay in DECAYS]
    chosen = make("maxnorm", epochs=3).fit(train, y, head=head, validation=validation)
    assert chosen.weight_decay_ == DECAYS[every.index(max(every))]
    assert evaluate(chosen.scores(test), y_test, counts)["balanced_accuracy"] == max(every)
    assert len(set(every)) > 1
    tied = make("maxnorm", lr=1e-30, epochs=1).fit(X, Y, head=HEAD, validation=(X_VAL, Y_VAL))
    assert tied.weight_decay_ == max(DECAYS)


def test_maxnorm_chooses_by_cross_validation_without_a_head_only():
    with pytest.raises(ValueError, match=r"trained on these samples; pass validation"):
        make("maxnorm").fit(X, Y, head=HEAD)
    fitted = make("maxnorm", epochs=2).fit(X, Y)
    named = make("maxnorm", epochs=2, weight_decay=fitted.weight_decay_).fit(X, Y)
    np.testing.assert_array_equal(fitted.scores(X_NEW), named.scores(X_NEW))
    with pytest.raises(ValueError, match=r"weight_decay: cross-validation found no class with two samples"):
        make("maxnorm").fit(X[:2], [0, 1])


# -- oltr -------------------------------------------------------------------------------------------------


def naive_embedding(p, f, present=PRESENT):
    """Logits of one sample by the formula as it is written."""
    near = max(min(np.linalg.norm(f - p["centroids"][c]) for c in present), 1e-12)
    shares = np.array([np.exp(p["hallucinator_weight"][c] @ f + p["hallucinator_bias"][c]) for c in present])
    shares /= shares.sum()
    recalled = sum(share * p["centroids"][c] for share, c in zip(shares, present, strict=True))
    chosen = np.tanh(p["selector_weight"] @ f + p["selector_bias"])
    v = 10 / near * (f + chosen * recalled)
    return 16 * (p["weight"] / np.linalg.norm(p["weight"], axis=1)[:, None]) @ (v / (1 + np.linalg.norm(v)))


def naive_memory(centroids, features, labels, present=PRESENT):
    attract = np.mean([((f - centroids[y]) ** 2).sum() for f, y in zip(features, labels, strict=True)]) / 2
    apart = sum(
        ((f - centroids[c]) ** 2).sum()
        for f, y in zip(features, labels, strict=True)
        for c in present
        if c != y
    )
    return attract + 0.01 * max(0, 10 - apart / (len(labels) * len(present)))


def random_memory(seed=3):
    start = starting_point(X.astype(float), Y, HEAD, COUNTS, seed)
    rng = np.random.default_rng(seed)
    moved = {name: array + 0.3 * rng.normal(size=array.shape) for name, array in start.items()}
    moved["centroids"][3] = X[Y == 3][0]  # a distance of zero
    return moved


SEEN = torch.tensor(COUNTS > 0)


def test_oltr_forward_is_the_naive_one_sample_by_sample():
    p, features = random_memory(), np.concatenate([X, X_NEW]).astype(float)
    expected = np.array([naive_embedding(p, f) for f in features])
    tensors = {name: torch.from_numpy(array) for name, array in p.items()}
    scores = embedded_scores(tensors, torch.from_numpy(features), SEEN).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    singles = {name: tensor.float() for name, tensor in tensors.items()}
    scores = embedded_scores(singles, torch.from_numpy(features).float(), SEEN).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_oltr_absent_class_takes_no_part():
    fitted = make("oltr").fit(X, Y, head=HEAD)
    assert not fitted.centroids_[2].any()
    before = fitted.scores(X_NEW)
    fitted.centroids_[2] = X_NEW[0]
    fitted.hallucinator_bias_[2] = 100
    np.testing.assert_array_equal(fitted.scores(X_NEW), before)


@pytest.mark.parametrize("size", [0.4, 4.0])  # within and beyond the margin
def test_oltr_memory_loss_and_its_gradient_are_the_naive_ones(size):
    centroids, features = size * random_memory()["centroids"], size * X.astype(float)
    slopes = gradient(lambda p: naive_memory(p["M"], features, Y), {"M": centroids})["M"]
    tensor = torch.tensor(centroids, requires_grad=True)
    value = memory_loss(tensor, torch.from_numpy(features), torch.from_numpy(Y), SEEN)
    value.backward()
    assert value.item() == pytest.approx(naive_memory(centroids, features, Y), rel=1e-9)
    np.testing.assert_allclose(tensor.grad.numpy(), slopes, rtol=1e-5, atol=1e-7)
    assert not slopes[2].any()


def test_oltr_starts_at_class_means_and_the_given_head():
    start = starting_point(X, Y, HEADS["scaled"], COUNTS, seed=0)
    for c in PRESENT:
        np.testing.assert_allclose(start["centroids"][c], X[c == Y].astype(float).mean(0), rtol=1e-6)
    assert not start["centroids"][2].any()
    np.testing.assert_array_equal(start["hallucinator_weight"], 3 * HEAD.weight)
    np.testing.assert_array_equal(start["hallucinator_bias"], 3 * HEAD.bias)
    np.testing.assert_array_equal(start["weight"], HEAD.weight)
    assert np.abs(start["selector_weight"]).max() <= D**-0.5
    assert not starting_point(X, Y, HEADS["bare"], COUNTS, seed=0)["hallucinator_bias"].any()
    lengths = np.linalg.norm(X.astype(float), axis=1)
    cosine = starting_point(X, Y, HEADS["cosine"], COUNTS, seed=0)["hallucinator_weight"]
    expected = HEADS["cosine"].logits(X.astype(float)) * (lengths / lengths.mean())[:, None]
    np.testing.assert_allclose(X.astype(float) @ cosine.T, expected, rtol=1e-6, atol=1e-6)


def test_oltr_first_step_is_the_naive_one():
    features = 0.4 * X
    start = {k: v.astype(float) for k, v in starting_point(features, Y, HEAD, COUNTS, seed=0).items()}
    picked = SAMPLERS.create("class_balanced", Y, 4, seed=0).epoch_indices(0)
    batch, labels = features[picked].astype(float), Y[picked]
    fixed = start["centroids"]

    def classify(p):
        scores = [naive_embedding({**p, "centroids": fixed}, f) for f in batch]
        return np.mean([cross_entropy(z, y) for z, y in zip(scores, labels, strict=True)])

    slopes = gradient(classify, {name: start[name] for name in LEARNED[1:]})
    remember = gradient(lambda p: 0.01 * naive_memory(p["M"], batch, labels), {"M": fixed})
    expected = stepped(start, slopes | {"centroids": remember["M"]}, lr=0.5, weight_decay=0.01)
    fitted = make("oltr", lr=0.5, weight_decay=0.01, epochs=1).fit(features, Y, head=HEAD)
    for name in LEARNED:
        learned = getattr(fitted, f"{name}_")
        np.testing.assert_allclose(learned, expected[name], rtol=1e-3, atol=2e-5, err_msg=name)
        assert np.abs(learned - start[name]).max() > 1e-3 * np.abs(start[name]).max()
