"""Learnable weight scaling."""

import numpy as np
import pytest

from longtail.stages.classifiers import Head
from longtail.stages.classifiers.tools.linear import fit_plain_head
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
