"""cosine, logit_adjustment, pc_softmax, balanced_softmax, knn and logreg, each against its formula."""

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.adjusted.logit_adjustment import shifted
from longtail.stages.classifiers.retrained import cosine
from longtail.stages.classifiers.tools import linear
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.paths import adjustment_path
from longtail.stages.classifiers.tools.state import from_state, to_state
from longtail.stages.priors import class_mass
from longtail.stages.selection import NEEDS_VALIDATION, round_robin_folds
from tests.stages.classifiers.naive import numeric_gradient

COUNTS = np.array([14, 6, 0, 1])  # an absent class and a single-sample one
PRESENT = [0, 1, 3]
D = 5


def make(name, **params):
    return CLASSIFIERS.create(name, **params)


def blobs(counts, *, seed=0, dtype=np.float32, spread=1.0):
    rng = np.random.default_rng(seed)
    centers = 1.5 * np.random.default_rng(99).normal(size=(len(counts), D))
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (centers[y] + spread * rng.normal(size=(len(y), D))).astype(dtype), y


def random_head(num_classes=4, *, bias=True, scale=1.0, cosine=False):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(num_classes, D)) * rng.uniform(0.5, 2, size=(num_classes, 1))
    return Head(weight, rng.normal(size=num_classes) if bias else None, scale, cosine)


X, Y = blobs(COUNTS)
X_VAL, Y_VAL = blobs([9, 9, 9, 9], seed=1)
X_NEW, _ = blobs([20, 20, 20, 20], seed=2)
LONG = [60, 17, 6, 1]
X_LONG, Y_LONG = blobs(LONG, dtype=np.float64, spread=3.0)
HEAD = random_head()
HEADS = {
    "plain": HEAD,
    "bare": random_head(bias=False),
    "scaled": random_head(scale=3.0),
    "cosine": random_head(bias=False, scale=16.0, cosine=True),
    "float32": Head(HEAD.weight.astype(np.float32), HEAD.bias.astype(np.float32)),
}
every_head = pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))


def cross_entropy(scores, rows):
    """−log softmax(scores)_y of each row, the long way."""
    return np.array([np.log(np.exp(z - z[y]).sum()) for z, y in zip(scores, rows, strict=True)])


def joint(head):
    return make("joint").fit(X, Y, head=head)


# -- cosine -----------------------------------------------------------------------------------------------


def unit(rows):
    return np.array([r / np.sqrt((r**2).sum()) for r in np.asarray(rows, np.float64)])


def cosine_objective(W, X, rows, scale):
    """The mean over classes of the mean loss inside each."""
    losses = cross_entropy(scale * unit(X) @ unit(W).T, rows)
    return np.mean([losses[rows == c].mean() for c in range(len(W))])


def mean_directions(X, rows):
    return unit([unit(X)[rows == c].mean(0) for c in np.unique(rows)])


@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_cosine_is_where_its_objectives_gradient_vanishes_below_the_class_means(scale):
    W = make("cosine", scale=scale).fit(X_LONG, Y_LONG).head_.weight
    np.testing.assert_allclose((W**2).sum(1), 1, rtol=1e-12)
    start = mean_directions(X_LONG, Y_LONG)
    assert np.abs(numeric_gradient(lambda W: cosine_objective(W, X_LONG, Y_LONG, scale), start)).max() > 1e-2
    assert np.abs(numeric_gradient(lambda W: cosine_objective(W, X_LONG, Y_LONG, scale), W)).max() < 1e-6
    reached, before = (cosine_objective(V, X_LONG, Y_LONG, scale) for V in (W, start))
    assert reached < before - 1e-3


def test_cosine_gradient_is_that_of_its_objective(monkeypatch):
    seen = {}

    def spy(objective, start, **settings):
        seen.update(objective=objective, start=start)
        return start

    monkeypatch.setattr(cosine, "lbfgs", spy)
    cosine.fit_directions([X_LONG], Y_LONG, class_mass(np.array(LONG)), 16.0)
    value, start = seen["objective"], seen["start"]
    np.testing.assert_allclose(start.reshape(4, D), mean_directions(X_LONG, Y_LONG), rtol=1e-12)
    rng = np.random.default_rng(0)
    for point in (start, rng.normal(size=start.shape), 7 * rng.normal(size=start.shape)):
        expected = cosine_objective(point.reshape(4, D), X_LONG, Y_LONG, 16.0)
        assert value(point)[0] == pytest.approx(expected, rel=1e-10)
        assert check_grad(lambda p: value(p)[0], lambda p: value(p)[1], point) < 1e-5


def test_cosine_scores_are_scaled_cosines_and_know_no_lengths():
    model = make("cosine", scale=4.0).fit(X_LONG, Y_LONG)
    assert (model.head_.cosine, model.head_.scale, model.head_.bias) == (True, 4.0, None)
    np.testing.assert_allclose(model.scores(X_LONG), 4 * unit(X_LONG) @ unit(model.head_.weight).T)
    lengths = np.random.default_rng(0).uniform(0.1, 9, (len(X_LONG), 1))
    longer = make("cosine", scale=4.0).fit(X_LONG * lengths, Y_LONG)
    np.testing.assert_allclose(longer.head_.weight, model.head_.weight, atol=1e-6)


def test_cosine_takes_the_mean_over_views_in_blocks_kept_or_not(monkeypatch):
    other = X_LONG + np.random.default_rng(1).normal(size=X_LONG.shape)
    doubled = make("cosine").fit(np.r_[X_LONG, other], np.r_[Y_LONG, Y_LONG]).head_.weight
    fits = [make("cosine").fit(X_LONG, Y_LONG, views=[X_LONG, other]).head_.weight]
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 9 * 7)  # seven rows
    fits.append(make("cosine").fit(X_LONG, Y_LONG, views=[X_LONG, other]).head_.weight)
    monkeypatch.setattr(cosine, "RESIDENT_BYTES", 0)
    fits.append(make("cosine").fit(X_LONG, Y_LONG, views=[X_LONG, other]).head_.weight)
    for weight in fits:
        np.testing.assert_allclose(weight, doubled, atol=1e-5)


def test_cosine_in_float32_stays_near_the_one_in_float64(monkeypatch):
    single = X_LONG.astype(np.float32)
    double = make("cosine").fit(single, Y_LONG).head_.weight
    monkeypatch.setattr(cosine, "FLOAT64_EVALUATION", 0)
    np.testing.assert_allclose(make("cosine").fit(single, Y_LONG).head_.weight, double, atol=2e-3)


def test_cosine_absent_class_and_zero_features_change_nothing_else():
    gap = make("cosine").fit(X, Y, head=HEAD).head_.weight
    none = make("cosine").fit(X, np.searchsorted(PRESENT, Y), head=random_head(3)).head_.weight
    np.testing.assert_array_equal(gap[PRESENT], none)
    assert not gap[2].any()
    zero = X.copy()
    zero[Y == 3] = 0  # a whole class without a direction
    scores = make("cosine").fit(zero, Y, head=HEAD).scores(zero)
    assert np.isfinite(scores[:, PRESENT]).all()
    assert not scores[Y == 3][:, PRESENT].any()


# -- post-hoc: logit_adjustment, pc_softmax ------------------------------------------------------------------

TOY = Head(np.eye(3), np.array([0.0, 0.5, 0.0]))
TOY_X, TOY_Y = np.eye(3)[[0, 0, 0, 0, 0, 0, 0, 1, 1, 2]], [0, 0, 0, 0, 0, 0, 0, 1, 1, 2]  # π = .7, .2, .1


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.5])
def test_logit_adjustment_of_a_toy_by_hand(tau):
    model = make("logit_adjustment", tau=tau).fit(TOY_X, TOY_Y, head=TOY)
    assert model.tau_ == tau
    expected = np.array([[1.0, 0.5, 2.0]]) - tau * np.log([0.7, 0.2, 0.1])
    np.testing.assert_allclose(model.scores([[1.0, 0.0, 2.0]]), expected)


def test_pc_softmax_of_a_toy_by_hand():
    model = make("pc_softmax", target=[1, 1, 2]).fit(TOY_X, TOY_Y, head=TOY)
    expected = np.array([[1.0, 0.5, 2.0]]) - np.log([0.7, 0.2, 0.1]) + np.log([0.25, 0.25, 0.5])
    np.testing.assert_allclose(model.scores([[1.0, 0.0, 2.0]]), expected)
    assert model.target_.tolist() == [0.25, 0.25, 0.5]


@every_head
def test_logit_adjustment_with_tau_zero_is_joint(head):
    zero = make("logit_adjustment", tau=0).fit(X, Y, head=head)
    np.testing.assert_array_equal(zero.scores(X_NEW), joint(head).scores(X_NEW))
    np.testing.assert_array_equal(zero.predict(X_NEW), joint(head).predict(X_NEW))


@every_head
def test_scores_are_adjusted_whatever_the_heads_scale_and_kind(head):
    scores = make("logit_adjustment", tau=1.5).fit(X, Y, head=head).scores(X_NEW)
    expected = joint(head).scores(X_NEW)[:, PRESENT] - 1.5 * np.log(COUNTS[PRESENT] / 21)
    np.testing.assert_allclose(scores[:, PRESENT], expected, rtol=2e-6, atol=2e-6)


@every_head
def test_uniform_pc_softmax_is_logit_adjustment_with_tau_one(head):
    uniform = make("pc_softmax").fit(X, Y, head=head)
    adjusted = make("logit_adjustment", tau=1).fit(X, Y, head=head)
    gap = adjusted.scores(X_NEW)[:, PRESENT] - uniform.scores(X_NEW)[:, PRESENT]
    np.testing.assert_allclose(gap, np.log(3), rtol=1e-5)  # log of the target, the same for all
    np.testing.assert_array_equal(uniform.predict(X_NEW), adjusted.predict(X_NEW))
    np.testing.assert_allclose(uniform.predict_proba(X_NEW), adjusted.predict_proba(X_NEW), atol=1e-6)


@every_head
@pytest.mark.parametrize("factor", [1, 1 / 21, 1e28])
def test_pc_softmax_to_the_training_prior_is_joint(head, factor):
    model = make("pc_softmax", target=(COUNTS * factor).tolist()).fit(X, Y, head=head)
    np.testing.assert_allclose(model.target_, COUNTS / 21)
    np.testing.assert_allclose(
        model.scores(X_NEW)[:, PRESENT], joint(head).scores(X_NEW)[:, PRESENT], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(model.predict(X_NEW), joint(head).predict(X_NEW))


def test_pc_softmax_target_of_an_absent_class_is_left_out_and_zero_is_never_predicted():
    model = make("pc_softmax", target=[0, 3, 90, 1]).fit(X, Y, head=HEAD)
    assert model.target_.tolist() == [0, 0.75, 0, 0.25]
    scores = model.scores(X_NEW)
    assert (scores[:, [0, 2]] == -np.inf).all()
    assert np.isfinite(scores[:, [1, 3]]).all()
    assert set(model.predict(X_NEW)) <= {1, 3}
    assert (model.predict_proba(X_NEW)[:, [0, 2]] == 0).all()
    back = from_state(*to_state("pc_softmax", model))
    np.testing.assert_array_equal(back.scores(X_NEW), scores)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([1, 1, 1], r"target: must have one number a class, 4, got 3"),
        ([], r"one number a class, 4, got 0"),
        ([0, 0, 0, 0], r"target: must be above 0 for a class with samples"),
        ([0, 0, 1, 0], r"target: must be above 0 for a class with samples"),
        ([1, -1, 1, 1], r"target: must be a list, each a number ≥ 0 or null"),
        ([1, float("nan"), 1, 1], r"target: must be a list"),
        (0.5, r"target: must be a list"),
    ],
)
def test_pc_softmax_refuses_what_is_no_prior(target, message):
    with pytest.raises(ValueError, match=message):
        make("pc_softmax").set_params(target=target).fit(X, Y, head=HEAD)


def test_without_a_head_a_plain_one_is_adjusted():
    plain = fit_plain_head(X_LONG, Y_LONG, 4)
    prior = np.log(np.array(LONG) / sum(LONG))
    np.testing.assert_allclose(
        make("logit_adjustment").fit(X_LONG, Y_LONG).scores(X_LONG), plain.logits(X_LONG) - prior
    )
    np.testing.assert_allclose(
        make("pc_softmax").fit(X_LONG, Y_LONG).scores(X_LONG), plain.logits(X_LONG) - prior - np.log(4)
    )


@every_head
def test_logit_adjustment_takes_the_best_tau_of_the_path(head):
    skewed = shifted(head, np.array([4.0, 1.0, 0.0, -4.0]))
    model = make("logit_adjustment", tau="validation").fit(X, Y, head=skewed, validation=(X_VAL, Y_VAL))
    with np.errstate(divide="ignore"):
        log_prior = np.log(COUNTS / 21)
    path = adjustment_path(X_VAL, Y_VAL, skewed, log_prior, class_counts=COUNTS)
    assert model.tau_ == path.best_tau > 0

    def reached(tau):
        predicted = make("logit_adjustment", tau=float(tau)).fit(X, Y, head=skewed).predict(X_VAL)
        return np.mean([(predicted[c == Y_VAL] == c).mean() for c in range(4)])

    assert reached(model.tau_) == pytest.approx(path.balanced_accuracy(path.best_tau))
    assert reached(model.tau_) >= max(reached(tau) for tau in np.linspace(0, 6, 25)) - 1e-12
    back = from_state(*to_state("logit_adjustment", model))
    assert back.tau_ == model.tau_
    np.testing.assert_array_equal(back.scores(X_NEW), model.scores(X_NEW))


def test_logit_adjustment_given_a_head_needs_validation_to_choose():
    with pytest.raises(ValueError) as caught:
        make("logit_adjustment", tau="validation").fit(X, Y, head=HEAD)
    assert str(caught.value) == NEEDS_VALIDATION


def test_logit_adjustment_without_a_head_cross_validates():
    X3, rows = blobs([40, 12, 5, 1], spread=2.0)
    prior = np.log(np.array([40, 12, 5, 1]) / 58)
    model = make("logit_adjustment", tau="validation").fit(X3, rows)
    grid = [model.tau_, *np.linspace(0, 4, 17)]
    hits = np.zeros((len(grid), len(rows)), bool)
    for train, held in round_robin_folds(rows):
        logits = fit_plain_head(X3[train], rows[train], 4).logits(X3[held])
        for g, tau in enumerate(grid):
            hits[g, held] = (logits - tau * prior).argmax(1) == rows[held]
    recalls = [np.mean([hit[rows == c].mean() for c in range(3)]) for hit in hits]
    assert recalls[0] == pytest.approx(max(recalls))
    np.testing.assert_allclose(
        model.head_.bias, make("logit_adjustment", tau=model.tau_).fit(X3, rows).head_.bias
    )


def test_logit_adjustment_of_single_samples_only_asks_for_a_number():
    X3, rows = blobs([1, 1, 1])
    with pytest.raises(ValueError, match="pass a number"):
        make("logit_adjustment", tau="validation").fit(X3, rows)
    assert make("logit_adjustment").fit(X3, rows).tau_ == 1.0


# -- balanced softmax -------------------------------------------------------------------------------------


def balanced_objective(theta, X, rows, counts, weight_decay):
    theta = theta.reshape(len(counts), -1)
    scores = X @ theta[:, :-1].T + theta[:, -1] + np.log(counts)
    return cross_entropy(scores, rows).mean() + weight_decay / 2 * (theta**2).sum()


@pytest.mark.parametrize("weight_decay", [5e-4, 0.02])
def test_balanced_softmax_is_the_minimum_scipy_finds(weight_decay):
    model = make("balanced_softmax", weight_decay=weight_decay).fit(X_LONG, Y_LONG)
    theta = np.c_[model.head_.weight, model.head_.bias]

    def objective(flat):
        return balanced_objective(flat, X_LONG, Y_LONG, LONG, weight_decay)

    naive = minimize(objective, np.zeros(theta.size), method="BFGS", options={"gtol": 1e-6})
    assert objective(theta.ravel()) <= naive.fun + 1e-9
    np.testing.assert_allclose(theta.ravel(), naive.x, atol=3e-5 / weight_decay)
    assert np.abs(numeric_gradient(objective, theta)).max() < 2e-7
    np.testing.assert_allclose(
        model.scores(X_LONG), X_LONG @ theta[:, :-1].T + theta[:, -1]
    )  # log n left out


def test_balanced_softmax_without_decay_is_logit_adjustment_of_the_plain_head():
    X3, rows = blobs([300, 120, 60], dtype=np.float64, spread=4.0)  # they overlap: a minimum exists
    balanced = make("balanced_softmax", weight_decay=0.0).fit(X3, rows)
    plain = linear.fit_linear(X3, rows, np.full(3, 1 / 480), weight_decay=0.0)
    adjusted = make("logit_adjustment").fit(X3, rows, head=plain)
    np.testing.assert_allclose(balanced.predict_proba(X3), adjusted.predict_proba(X3), atol=1e-5)


def test_balanced_softmax_absent_class_and_views():
    gap = make("balanced_softmax").fit(X, Y, head=HEAD).head_
    none = make("balanced_softmax").fit(X, np.searchsorted(PRESENT, Y), head=random_head(3)).head_
    np.testing.assert_array_equal(gap.weight[PRESENT], none.weight)
    assert not gap.weight[2].any()
    twice = make("balanced_softmax").fit(X, Y, head=HEAD, views=[X, X]).head_
    np.testing.assert_allclose(twice.weight, gap.weight, atol=1e-4)


# -- k nearest neighbours ---------------------------------------------------------------------------------


def transformed(query, train, feature):
    """Both in float64, as the classifier's docstring says."""
    center = train.astype(float).mean(0) if feature == "centered_l2" else 0.0
    moved = np.asarray(query, float) - center
    return moved if feature == "none" else unit(moved)


@pytest.mark.parametrize("feature", ["none", "l2", "centered_l2"])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_knn_equals_scikit_learns_distance_weights(feature, k):
    query = np.r_[X_LONG[::3], np.random.default_rng(3).normal(size=(60, D)) * 3]  # a third are exact matches
    reference = KNeighborsClassifier(k, weights="distance", algorithm="brute")
    reference.fit(transformed(X_LONG, X_LONG, feature), Y_LONG)
    model = make("knn", k=k, feature=feature).fit(X_LONG, Y_LONG)
    expected = reference.predict_proba(transformed(query, X_LONG, feature))
    np.testing.assert_allclose(model.scores(query), expected, atol=1e-4)
    np.testing.assert_array_equal(
        model.predict(query), reference.predict(transformed(query, X_LONG, feature))
    )
    np.testing.assert_array_equal(model.predict(X_LONG), Y_LONG)  # each is its own neighbour at 0


@pytest.mark.parametrize("vote", ["plain", "class_balanced"])
@pytest.mark.parametrize("k", [1, 4, 21, 500])
def test_knn_equals_the_naive_version(vote, k):
    model = make("knn", k=k, vote=vote, feature="none").fit(X, Y, head=HEAD)
    expected = np.zeros((len(X_NEW), 4))
    for i, query in enumerate(X_NEW.astype(float)):
        distances = [np.sqrt(((query - x) ** 2).sum()) for x in X.astype(float)]
        for j in sorted(range(len(X)), key=distances.__getitem__)[:k]:
            expected[i, Y[j]] += 1 / distances[j] / (COUNTS[Y[j]] if vote == "class_balanced" else 1)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(model.scores(X_NEW)[:, PRESENT], expected[:, PRESENT], rtol=1e-5)
    np.testing.assert_allclose(model.scores(X_NEW)[:, PRESENT].sum(1), 1)


def test_knn_of_a_toy_by_hand():
    line, labels, query = [[0.0], [1.0], [3.0]], [0, 0, 1], [[2.5], [1.0], [0.5]]
    plain = make("knn", k=3, feature="none").fit(line, labels)
    np.testing.assert_allclose(plain.scores(query)[0], np.array([1 / 2.5 + 1 / 1.5, 2]) / (0.4 + 2 / 3 + 2))
    assert plain.scores(query)[1].tolist() == [1, 0]  # an exact match votes alone
    balanced = make("knn", k=3, feature="none", vote="class_balanced").fit(line, labels)
    np.testing.assert_allclose(balanced.scores(query)[2], np.array([2, 0.4]) / 2.4, rtol=1e-6)


def test_knn_exact_matches_of_several_classes_share_by_number_or_by_class():
    line, labels = [[1.0], [1.0], [1.0], [2.0], [5.0]], [0, 0, 1, 1, 0]
    plain = make("knn", k=5, feature="none").fit(line, labels)
    np.testing.assert_allclose(plain.scores([[1.0]]), [[2 / 3, 1 / 3]])
    balanced = make("knn", k=5, feature="none", vote="class_balanced").fit(line, labels)
    np.testing.assert_allclose(balanced.scores([[1.0]]), [[4 / 7, 3 / 7]])  # 2/3 and 1/2


@pytest.mark.parametrize("queries", [1, 50])
def test_knn_of_equal_distances_takes_the_earlier_sample(queries):
    train = np.array([[1.0, 0], [0, 1.0], [-1.0, 0], [0, -1.0]])
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        model = make("knn", k=1, feature="none").fit(train, order)
        assert (model.predict(np.zeros((queries, 2))) == order[0]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_knn_far_from_the_origin_loses_no_neighbour(dtype):
    offset = np.float64(2.0**12)
    query = X_LONG[::2].astype(np.float16).astype(dtype)  # coarse numbers: the sum is exact
    train = X_LONG.astype(np.float16).astype(dtype)
    near = make("knn", k=7, feature="none").fit(train, Y_LONG)
    far = make("knn", k=7, feature="none").fit((train + offset).astype(dtype), Y_LONG)
    moved = query + 0.125
    np.testing.assert_allclose(
        far.scores((moved + offset).astype(dtype)),
        near.scores(moved),
        atol=1e-2 if dtype == np.float32 else 1e-4,
    )


def test_knn_keeps_single_precision_features_and_rows():
    model = make("knn").fit(X.astype(np.float16), Y, head=HEAD)
    assert model.features_.dtype == np.float32
    assert model.features_.shape == X.shape
    np.testing.assert_array_equal(model.rows_, Y)
    assert not model.gives_logits


def test_knn_in_blocks_is_the_one_in_one(monkeypatch):
    whole = make("knn").fit(X, Y, head=HEAD).scores(X_NEW)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 13 * D * 3)  # three rows
    np.testing.assert_allclose(make("knn").fit(X, Y, head=HEAD).scores(X_NEW), whole, atol=1e-6)


def test_knn_beyond_single_precision_is_refused():
    far = X_NEW.astype(np.float64) * 1e25
    model = make("knn", feature="none").fit(X, Y, head=HEAD)
    with pytest.raises(ValueError, match=r"distances leave float32's range.*feature: l2"):
        model.scores(far)
    make("knn").fit(far, np.arange(80) % 4, head=HEAD).scores(far)  # unit rows have no size


# -- logistic regression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("C", [1.0, 0.05])
def test_logreg_equals_scikit_learns(classes, C):
    X3, rows = X_LONG[classes > Y_LONG], Y_LONG[classes > Y_LONG]
    model = make("logreg", C=C).fit(X3, rows)
    reference = LogisticRegression(C=C, max_iter=1000, class_weight="balanced").fit(X3, rows)
    np.testing.assert_allclose(model.predict_proba(X3), reference.predict_proba(X3), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X3), reference.predict(X3))
    np.testing.assert_allclose(model.decision_function(X3), reference.decision_function(X3), rtol=1e-9)
    assert model.head_.weight.shape == (classes, D)
    assert model.n_iter_ == reference.n_iter_.max()


def test_logreg_is_where_its_objectives_gradient_vanishes():
    model = make("logreg", C=0.3).fit(X_LONG, Y_LONG)

    def objective(theta):
        losses = cross_entropy(X_LONG @ theta[:, :-1].T + theta[:, -1], Y_LONG)
        balanced = np.mean([losses[c == Y_LONG].mean() for c in range(4)])
        return balanced + (theta[:, :-1] ** 2).sum() / (2 * 0.3 * len(X_LONG))

    theta = np.c_[model.head_.weight, model.head_.bias]
    assert np.abs(numeric_gradient(objective, theta)).max() < 1e-4  # its tolerance


@pytest.mark.parametrize("present", [[0, 1, 3], [1, 3], [3]])
def test_logreg_with_absent_classes_is_that_of_the_rest(present):
    X3, rows = X_LONG[np.isin(Y_LONG, present)], Y_LONG[np.isin(Y_LONG, present)]
    model = make("logreg").fit(X3, rows, head=HEAD)
    scores = model.scores(X_NEW)
    assert np.isfinite(scores[:, present]).all()
    assert (np.delete(scores, present, axis=1) == -np.inf).all()
    if len(present) > 1:
        reference = LogisticRegression(max_iter=1000, class_weight="balanced").fit(X3, rows)
        np.testing.assert_allclose(
            model.predict_proba(X_NEW)[:, present], reference.predict_proba(X_NEW.astype(float)), rtol=1e-6
        )
    else:
        assert (model.predict(X_NEW) == present[0]).all()


def test_logreg_of_single_precision_features_beyond_memory_is_near(monkeypatch):
    single = X_LONG.astype(np.float32)
    double = make("logreg").fit(single, Y_LONG).predict_proba(single)
    monkeypatch.setattr("longtail.stages.classifiers.retrained.logreg.RESIDENT_BYTES", 0)
    np.testing.assert_allclose(make("logreg").fit(single, Y_LONG).predict_proba(single), double, atol=1e-3)


# -- all of them ------------------------------------------------------------------------------------------

CASES = [
    ("logit_adjustment", {"tau": "validation"}),
    ("pc_softmax", {"target": [1, 2, 3, 4]}),
    ("balanced_softmax", {"weight_decay": 0.1}),
    ("cosine", {"scale": 4.0}),
    ("knn", {"vote": "class_balanced", "feature": "l2"}),
    ("knn", {"feature": "none", "k": 1}),
    ("logreg", {"C": 0.1}),
]
every_case = pytest.mark.parametrize(("name", "params"), CASES, ids=str)


@every_case
def test_memory_map_blocks_and_state_change_no_prediction(name, params, tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X.astype(np.float16))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    given = {"head": HEAD, "validation": (X_VAL, Y_VAL)}
    model = make(name, **params).fit(mapped, Y, **given)
    copied = make(name, **params).fit(np.asarray(mapped, np.float32), Y, **given)
    np.testing.assert_allclose(model.scores(X_NEW), copied.scores(X_NEW), rtol=1e-6)
    back = from_state(*to_state(name, model))
    np.testing.assert_array_equal(back.scores(X_NEW), model.scores(X_NEW))
    predicted = model.predict(X_NEW)
    assert 2 not in predicted
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * 5 * 7)
    np.testing.assert_array_equal(model.predict(X_NEW), predicted)


@every_case
def test_labels_of_any_type_without_a_head(name, params):
    words = np.array(["zebra", "ape", "moose", "cat"])
    X3, rows = blobs([9, 7, 8, 5], spread=0.05)
    model = make(name, **params).fit(X3, words[rows])
    assert (model.predict(X3) == words[rows]).all()


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("cosine", {"scale": 0}, r"scale: must be a number > 0, got 0"),
        ("logit_adjustment", {"tau": -0.5}, r"tau: must be a number ≥ 0 or validation, got -0.5"),
        ("logit_adjustment", {"tau": "test"}, r"tau: must be a number ≥ 0 or validation, got 'test'"),
        ("balanced_softmax", {"weight_decay": -1}, r"weight_decay: must be a number ≥ 0, got -1"),
        ("knn", {"k": 0}, r"k: must be an integer ≥ 1, got 0"),
        ("knn", {"k": 1.5}, r"k: must be an integer ≥ 1"),
        ("knn", {"vote": "uniform"}, r"vote: must be plain or class_balanced, got 'uniform'"),
        ("knn", {"feature": "L2"}, r"feature: must be none or l2 or centered_l2"),
        ("logreg", {"C": 0.0}, r"C: must be a number > 0"),
        ("logreg", {"max_iter": 0}, r"max_iter: must be an integer ≥ 1"),
    ],
)
def test_bad_parameters_are_refused_on_creation_and_on_fit(name, params, message):
    with pytest.raises(ValueError, match=message):
        make(name, **params)
    with pytest.raises(ValueError, match=message):
        make(name).set_params(**params).fit(X, Y)
