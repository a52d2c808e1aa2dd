"""Softmax in numpy, against its definition and torch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from longtail.stages import softmax as module
from longtail.stages.softmax import cross_entropy, largest_probability, softmax, weighted_cross_entropy


def scores_and_labels(n=40, c=7):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, c)), rng.integers(0, c, n)


def test_softmax_is_its_definition():
    scores, _ = scores_and_labels()
    np.testing.assert_allclose(softmax(scores), np.exp(scores) / np.exp(scores).sum(1)[:, None], rtol=1e-12)
    np.testing.assert_array_equal(largest_probability(scores), softmax(scores).max(1))


def test_large_scores_overflow_nowhere_and_minus_infinity_has_probability_zero():
    np.testing.assert_array_equal(softmax(np.array([[1e300, 1e300, -np.inf]])), [[0.5, 0.5, 0.0]])
    np.testing.assert_array_equal(cross_entropy(np.array([[1000.0, 0.0]]), np.array([1])), [1000.0])


def test_cross_entropy_and_its_gradient_are_torchs(monkeypatch):
    scores, labels = scores_and_labels()
    weights = np.linspace(0, 2, len(labels))
    monkeypatch.setattr(module, "CACHED", 3 * scores.shape[1])  # three rows at a time, one left over
    value, gradient = weighted_cross_entropy(scores, labels, weights)
    z = torch.tensor(scores, requires_grad=True)
    losses = F.cross_entropy(z, torch.from_numpy(labels), reduction="none")
    (losses * torch.from_numpy(weights)).sum().backward()
    np.testing.assert_allclose(cross_entropy(scores, labels), losses.detach().numpy())
    np.testing.assert_allclose(value, weights @ losses.detach().numpy())
    np.testing.assert_allclose(gradient, z.grad.numpy(), atol=1e-12)
