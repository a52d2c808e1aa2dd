"""Learnable weight scaling."""

import numpy as np
import pytest

from longtail.stages.classifiers import Head
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.samplers import SAMPLERS
from tests.stages.classifiers.cases import (
    HEAD,
    X_NEW,
    X,
    Y,
    blobs,
    make,
    random_head,
)
from tests.stages.classifiers.naive import numeric_gradient, softmax_cross_entropy


def balanced_objective(scores, rows):
    """Σ_i CE_i/(K·n_{y_i}): the mean over classes of the mean loss inside each."""
    losses = softmax_cross_entropy(scores, rows)
    return np.mean([losses[rows == c].mean() for c in np.unique(rows)])


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


# -- scales and the classifier together (MiSLAS) ----------------------------------------------------------

SMOOTHED = {"name": "label_aware_smoothing", "head": 0.4, "tail": 0.1}


def smoothed_by_class(counts):
    """ε_y of label-aware smoothing with head .4 and tail .1, for classes with samples."""
    low, high = counts[counts > 0].min(), counts.max()
    return 0.1 + 0.3 * np.sin((counts - low) * np.pi / (2 * (high - low)))


def two_rates(X, rows, head, order, *, lr, rate, decay, momentum, batch, epochs):
    """MiSLAS's stage two, written out: two groups of parameters, one step of SGD with momentum a batch."""
    counts = np.bincount(rows, minlength=4)
    smooth, present = smoothed_by_class(counts), np.flatnonzero(counts)
    theta = [np.ones(4), head.weight.astype(float), head.bias.astype(float)]
    pace, moved = [1.0, rate, rate], [0.0, 0.0, 0.0]
    steps = -(-len(order(0)) // batch)
    for step in range(epochs * steps):
        picked = order(step // steps)[step % steps * batch :][:batch]
        s, W, b = theta
        z = X[picked].astype(float) @ W.T + b
        scores = np.where(counts > 0, s * z, -np.inf)
        p = np.exp(scores - scores.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        target = np.zeros_like(p)  # (1 − ε_y) on y, and ε_y spread over the classes present
        target[:, present] = smooth[rows[picked], None] / len(present)
        target[np.arange(len(picked)), rows[picked]] += 1 - smooth[rows[picked]]
        slope = (p - target) / len(picked)
        slopes = [(slope * z).sum(0), s[:, None] * (slope.T @ X[picked].astype(float)), s * slope.sum(0)]
        now = lr * (1 + np.cos(np.pi * step / (epochs * steps))) / 2
        for i in range(3):
            moved[i] = momentum * moved[i] + slopes[i] + decay * theta[i]
            theta[i] = theta[i] - now * pace[i] * moved[i]
    return theta


@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_lws_with_a_classifier_rate_is_mislas_stage_two(rate):
    settings = {"lr": 0.3, "momentum": 0.9, "batch_size": 8, "epochs": 3}
    sampler = SAMPLERS.create("class_balanced", Y, 4, seed=0)

    def order(epoch):
        sampler.set_epoch(epoch)
        return sampler.indices()

    lws = make(
        "lws", solver="sgd", bias="scaled", classifier_rate=rate, loss=SMOOTHED, weight_decay=0.01, **settings
    ).fit(X, Y, head=HEAD)
    scale, weight, bias = two_rates(
        X, Y, HEAD, order, lr=0.3, rate=rate, decay=0.01, momentum=0.9, batch=8, epochs=3
    )
    present = [0, 1, 3]
    np.testing.assert_allclose(lws.scale_[present], scale[present], atol=1e-4)
    np.testing.assert_allclose(lws.base_.weight[present], weight[present], atol=1e-4)
    np.testing.assert_allclose(lws.base_.bias[present], bias[present], atol=1e-4)
    assert np.abs(weight - HEAD.weight).max() > 1e-2
    expected = scale * (X_NEW @ weight.T + bias)
    np.testing.assert_allclose(lws.scores(X_NEW)[:, present], expected[:, present], atol=2e-3)


def test_lws_by_sgd_approaches_what_lbfgs_finds_and_leaves_the_head():
    X3, rows = blobs([30, 12, 8, 6], spread=3.0)
    head = random_head()
    exact = make("lws").fit(X3, rows, head=head)
    steps = make("lws", solver="sgd", lr=0.05, epochs=300, batch_size=64).fit(X3, rows, head=head)
    np.testing.assert_allclose(steps.scale_, exact.scale_, atol=0.03)
    np.testing.assert_array_equal(steps.base_.weight, head.weight)
    assert np.abs(exact.scale_ - 1).max() > 0.1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"classifier_rate": 0.2}, r"classifier_rate: solver lbfgs learns scales alone, got 0.2; set solver"),
        ({"loss": "focal"}, r"loss: solver lbfgs takes cross_entropy only"),
        ({"epochs": 3}, r"epochs: solver lbfgs has none"),
        ({"solver": "sgd", "classifier_rate": -1.0}, r"classifier_rate: must be a number ≥ 0"),
        ({"solver": "sgd", "loss": "ldam"}, r"loss: must be one for linear heads, got 'ldam'"),
    ],
)
def test_lws_refuses_what_does_not_go_together(params, message):
    with pytest.raises(ValueError, match=message):
        make("lws", **params).fit(X, Y, head=HEAD)
