"""One formula for linear and cosine scores, and one rule for rows without a direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.stages.linear_scores import linear_scores, row_norms, unit_rows
from longtail.stages.network import CosineHead

FEATURES = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, -1.0]])
WEIGHT = np.array([[2.0, 0.0], [0.0, -3.0], [0.0, 0.0]])
BIAS = np.array([1.0, 0.5, -1.0])


def test_linear_scores_are_the_formula():
    expected = [[14.0, -23.0, -2.0], [2.0, 1.0, -2.0], [6.0, 7.0, -2.0]]  # 2·(W f + b)
    np.testing.assert_array_equal(linear_scores(FEATURES, WEIGHT, BIAS, scale=2.0), expected)


def test_cosine_scores_are_cosines_and_zero_without_a_direction():
    root = 0.5**0.5
    expected = [[6.0, -8.0, 0.0], [0.0, 0.0, 0.0], [10 * root, 10 * root, 0.0]]
    np.testing.assert_allclose(linear_scores(FEATURES, WEIGHT, scale=10.0, cosine=True), expected)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("bias", [None, BIAS])
def test_tensors_score_as_arrays_do(cosine, bias):
    arrays = linear_scores(FEATURES, WEIGHT, bias, scale=1.5, cosine=cosine)
    given = [None if values is None else torch.from_numpy(values) for values in (FEATURES, WEIGHT, bias)]
    np.testing.assert_allclose(linear_scores(*given, scale=1.5, cosine=cosine).numpy(), arrays)


def test_arrays_given_are_left_as_they_are():
    X, W, b = FEATURES.copy(), WEIGHT.copy(), BIAS.copy()
    linear_scores(X, W, b, scale=3.0, cosine=True)
    for now, before in ((X, FEATURES), (W, WEIGHT), (b, BIAS)):
        np.testing.assert_array_equal(now, before)


def test_a_zero_row_stays_zero_and_has_norm_one():
    np.testing.assert_array_equal(row_norms(FEATURES), [[5.0], [1.0], [2**0.5]])
    np.testing.assert_array_equal(unit_rows(FEATURES)[1], 0)


def test_the_gradient_at_a_zero_row_is_finite():
    rows = torch.tensor(FEATURES, requires_grad=True)
    unit_rows(rows).sum().backward()
    np.testing.assert_array_equal(rows.grad[1], [1.0, 1.0])  # as if its norm were the constant 1
    assert torch.isfinite(rows.grad).all()


def test_a_cosine_head_follows_the_rule():
    head = CosineHead(2, 3, scale=5.0)
    features = torch.zeros(1, 2, requires_grad=True)
    scores = head(features)
    scores.sum().backward()
    assert not scores.any() and features.grad.abs().max() <= 15  # scale·|Σ_c unit(W_c)|
