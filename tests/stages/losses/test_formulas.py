"""Each loss against a naive float64 version, its identities and its random draws."""

import math
import warnings

import numpy as np
import pytest
import torch

from longtail.stages.losses import LOSSES
from tests.stages.losses.cases import COUNTS, LABELS, PRESENT, make_loss
from tests.stages.random_images import images

C = 5
N = sum(COUNTS)


def softmax(z):
    e = {j: math.exp(z[j]) for j in PRESENT}
    return {j: e[j] / sum(e.values()) for j in PRESENT}


def bce(z, target):
    p = 1 / (1 + math.exp(-z))
    return -math.log(p if target else 1 - p)


def naive_focal_sigmoid(z, y, gamma):
    total = 0.0
    for j in PRESENT:
        p = 1 / (1 + math.exp(-z[j]))
        right = p if j == y else 1 - p
        total += (1 - right) ** gamma * bce(z[j], j == y)
    return total


def naive_ldam(z, y, margins, scale):
    shifted = [scale * (v - (margins[j] if j == y else 0)) for j, v in enumerate(z)]
    return -math.log(softmax(shifted)[y])


def ldam_margins(top):
    return [top * (1 / n) ** 0.25 if n else 0 for n in COUNTS]


def naive_smoothing(z, y, head, tail):
    p = softmax(z)
    place = (COUNTS[y] - 1) / (30 - 1)
    eps = tail + (head - tail) * math.sin(0.5 * math.pi * place)
    return (1 - eps) * -math.log(p[y]) + eps * sum(-math.log(p[j]) for j in PRESENT) / len(PRESENT)


def naive_adjusted(z, y, tau, gamma=0.0):
    moved = [z[j] / (30 / max(n, 1)) ** gamma + tau * math.log(max(n, 1) / N) for j, n in enumerate(COUNTS)]
    return -math.log(softmax(moved)[y])


def naive_equalization(z, y, threshold):
    rare = [n / N < threshold for n in COUNTS]
    return sum(bce(z[j], j == y) for j in PRESENT if j == y or not rare[j])


def naive_softmax_equalization(z, y, threshold):
    kept = [j for j in PRESENT if j == y or COUNTS[j] / N >= threshold]
    return -math.log(math.exp(z[y]) / sum(math.exp(z[j]) for j in kept))


NAIVE = {
    "cross_entropy": [({}, lambda z, y: -math.log(softmax(z)[y]))],
    "sigmoid": [({}, lambda z, y: sum(bce(z[j], j == y) for j in PRESENT))],
    "focal": [
        ({"gamma": 2.0}, lambda z, y: -((1 - softmax(z)[y]) ** 2) * math.log(softmax(z)[y])),
        ({"gamma": 0.5}, lambda z, y: -((1 - softmax(z)[y]) ** 0.5) * math.log(softmax(z)[y])),
        ({"form": "sigmoid", "gamma": 1.5}, lambda z, y: naive_focal_sigmoid(z, y, 1.5)),
    ],
    "ldam": [
        ({}, lambda z, y: naive_ldam(z, y, ldam_margins(0.5), 30)),
        ({"max_margin": 0.3, "scale": 10.0}, lambda z, y: naive_ldam(z, y, ldam_margins(0.3), 10)),
    ],
    "margin": [({"margin": 0.2, "scale": 16.0}, lambda z, y: naive_ldam(z, y, [0.2] * 5, 16))],
    "hinge": [
        ({}, lambda z, y: max(max(z[j] for j in PRESENT if j != y) - z[y] + 0.5, 0)),
        (
            {"margins": "ldam", "margin": 2.0},
            lambda z, y: max(max(z[j] for j in PRESENT if j != y) - z[y] + ldam_margins(2.0)[y], 0),
        ),
    ],
    "equalization": [({"threshold": 0.1}, lambda z, y: naive_equalization(z, y, 0.1))],
    "softmax_equalization": [
        ({"threshold": 0.1, "gamma": 1.0}, lambda z, y: naive_softmax_equalization(z, y, 0.1))
    ],
    "balanced_softmax": [({}, lambda z, y: naive_adjusted(z, y, 1.0))],
    "logit_adjusted": [({"tau": 1.7}, lambda z, y: naive_adjusted(z, y, 1.7))],
    "vector_scaling": [({"gamma": 0.3}, lambda z, y: naive_adjusted(z, y, 1.2, 0.3))],
    "cdt": [({"gamma": 0.4}, lambda z, y: naive_adjusted(z, y, 0.0, 0.4))],
    "label_aware_smoothing": [({"tail": 0.05}, lambda z, y: naive_smoothing(z, y, 0.4, 0.05))],
    "cdb": [({}, lambda z, y: -math.log(softmax(z)[y]))],  # before the first accuracies
}


# -- each loss against a naive version -------------------------------------------------------------------


def test_every_loss_has_a_naive_version():
    assert sorted(NAIVE) == sorted(LOSSES.names())


@pytest.mark.parametrize(
    ("name", "params", "naive"), [(name, *case) for name, cases in NAIVE.items() for case in cases]
)
def test_loss_is_the_naive_one(name, params, naive):
    logits = images(7, 5, seed=1).double()
    expected = [naive(row.tolist(), y) for row, y in zip(logits, LABELS.tolist(), strict=True)]
    loss = make_loss(name, **params)
    np.testing.assert_allclose(loss.per_sample(logits, LABELS), expected, rtol=1e-6)
    assert loss(logits, LABELS).item() == pytest.approx(np.mean(expected), rel=1e-6)


# -- identities ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "params", "other"),
    [
        ("focal", {"gamma": 0.0}, "cross_entropy"),
        ("focal", {"form": "sigmoid", "gamma": 0.0}, "sigmoid"),
        ("logit_adjusted", {"tau": 0.0}, "cross_entropy"),
        ("vector_scaling", {"gamma": 0.0, "tau": 0.0}, "cross_entropy"),
        ("vector_scaling", {"gamma": 0.0, "tau": 1.0}, "balanced_softmax"),
        ("cdt", {"gamma": 0.0}, "cross_entropy"),
        ("equalization", {"threshold": 0.0}, "sigmoid"),
        ("equalization", {"threshold": 0.5, "gamma": 0.0}, "sigmoid"),
        ("softmax_equalization", {"threshold": 0.5, "gamma": 0.0}, "cross_entropy"),
        ("label_aware_smoothing", {"head": 0.0, "tail": 0.0}, "cross_entropy"),
        ("cross_entropy", {"weighting": {"name": "effective_number", "beta": 0.0}}, "cross_entropy"),
    ],
)
def test_loss_without_its_effect_is_its_base(one, params, other):
    logits = images(7, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights that are all the same
        loss = make_loss(one, **params)(logits, LABELS)
    torch.testing.assert_close(loss, make_loss(other)(logits, LABELS))


def test_ldam_without_margin_is_cross_entropy_of_scaled_cosines():
    cosines = images(7, 5).tanh()
    for loss in (make_loss("ldam", max_margin=0.0), make_loss("margin", margin=0.0)):
        torch.testing.assert_close(loss(cosines, LABELS), make_loss("cross_entropy")(30 * cosines, LABELS))


def test_class_balanced_sigmoid_focal_is_the_released_codes():
    """Cui's released code: modulator exp(−γ·t·z − γ·log(1 + e^(−z))), Σ weights = C, over Σ targets."""
    counts, gamma, beta = [30, 12, 4, 1, 8], 0.5, 0.9999
    logits, labels = images(6, 5, seed=3).double(), torch.tensor([0, 3, 1, 4, 2, 0])
    z, t = logits.numpy(), np.eye(5)[labels]
    w = (1 - beta) / (1 - beta ** np.array(counts))
    w = (w / w.sum() * 5)[labels]
    ce = -(t * -np.log1p(np.exp(-z)) + (1 - t) * (-z - np.log1p(np.exp(-z))))
    modulator = np.exp(-gamma * t * z - gamma * np.log1p(np.exp(-z)))
    expected = (w[:, None] * modulator * ce).sum() / t.sum()
    loss = make_loss("focal", counts, form="sigmoid", gamma=gamma, weighting="effective_number")
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_focal_gradient_at_certainty_is_finite_for_a_gamma_below_one():
    logits = torch.tensor([[80.0, 0.0]], requires_grad=True)
    make_loss("focal", [3, 3], gamma=0.5)(logits, torch.tensor([0])).backward()
    assert logits.grad.isfinite().all()


# -- random draws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["equalization", "softmax_equalization"])
def test_draws_are_a_function_of_seed_and_position(name):
    loss, logits = make_loss(name, threshold=0.5, gamma=0.5), images(7, 5)

    def values(seed, epoch):
        losses = []
        for step in range(16):
            loss.set_draws(seed, epoch, step)
            losses.append(loss(logits, LABELS).item())
        return losses

    first = values(0, 2)
    assert len(set(first)) > 1
    assert values(0, 2) == first
    assert values(1, 2) != first and values(0, 3) != first


def test_equalization_draws_once_a_batch_whatever_its_pieces():
    loss, logits = make_loss("equalization", threshold=0.5, gamma=0.5), images(7, 5)
    spared = make_loss("equalization", threshold=0.5)(logits, LABELS)
    drawn = []
    for step in range(16):
        loss.set_draws(0, 0, step)
        drawn.append([bool(loss(logits, LABELS) == spared) for _ in range(4)])
    assert all(len(set(pieces)) == 1 for pieces in drawn) and len({pieces[0] for pieces in drawn}) == 2


def test_equalization_spares_rare_classes_as_often_as_gamma_says():
    loss, logits = make_loss("equalization", threshold=0.5, gamma=0.3), images(7, 5)
    spared = make_loss("equalization", threshold=0.5)(logits, LABELS)
    share = np.mean([loss(logits, LABELS) == spared for _ in range(400)])
    assert share == pytest.approx(0.3, abs=0.08)  # 3.5 standard errors
