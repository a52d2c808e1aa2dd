"""Losses, their weightings and heads: a contract for all, naive float64 versions, identities, training."""

import json
import math
import re
import warnings

import numpy as np
import pytest
import torch

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.work.execute import run_extraction, run_stage_one, run_stage_two
from longtail.pipeline.work.feature_cache import fetch
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.heads import build_head
from longtail.stages.losses import LOSSES
from longtail.stages.losses.cdb import dynamic_tau
from longtail.stages.losses.corrections import corrected_twice, corrects
from longtail.stages.losses.weightings import WEIGHTINGS, build_weights
from longtail.stages.network import Head
from longtail.stages.samplers import SAMPLERS
from tests.stages.random_images import images
from tests.stages.signatures import described_as_signed
from tests.training_runs import assert_same_weights, folder_of, weights

every_loss = pytest.mark.parametrize("name", LOSSES.names())
every_weighting = pytest.mark.parametrize("name", WEIGHTINGS.names())
WEIGHTED = [name for name in LOSSES.names() if "weighting" in LOSSES.describe(name).parameters]

# -- the contract -----------------------------------------------------------------------------------------

COUNTS = [30, 12, 0, 4, 1]  # an absent class
LABELS = torch.tensor([0, 1, 3, 4, 0, 0, 1])


def make_loss(name, counts=COUNTS, **params):
    return LOSSES.create(name, counts, **params)


@every_loss
def test_loss_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(LOSSES, name, positional=["class_counts"])


@every_loss
def test_loss_is_one_number_with_a_gradient(name):
    logits = images(7, 5).requires_grad_()
    value = make_loss(name)(logits, LABELS)
    assert value.shape == ()
    value.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[:, [0, 1, 3, 4]].any()


@every_loss
def test_loss_gradient_is_right(name):
    loss = make_loss(name)
    logits = images(7, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS), logits)


@every_loss
def test_loss_does_not_depend_on_the_order_of_the_batch(name):
    loss, logits = make_loss(name), images(7, 5).double()
    order = torch.tensor([3, 6, 0, 1, 5, 2, 4])
    torch.testing.assert_close(loss(logits[order], LABELS[order]), loss(logits, LABELS))


@every_loss
def test_loss_does_not_depend_on_the_order_of_the_classes(name):
    logits = images(7, 5).double()
    order = torch.tensor([4, 2, 0, 1, 3])  # new class c is old class order[c]
    renamed = torch.argsort(order)[LABELS]
    permuted = make_loss(name, [COUNTS[c] for c in order])(logits[:, order], renamed)
    torch.testing.assert_close(permuted, make_loss(name)(logits, LABELS))


@every_loss
def test_absent_class_takes_no_part_in_the_loss(name):
    loss, logits = make_loss(name), images(7, 5).double().requires_grad_()
    value = loss(logits, LABELS)
    value.backward()
    assert not logits.grad[:, 2].any()
    changed = logits.detach().clone()
    changed[:, 2] = 1e3
    torch.testing.assert_close(loss(changed, LABELS), value.detach(), rtol=0, atol=0)
    present = [0, 1, 3, 4]
    without = make_loss(name, [COUNTS[c] for c in present])
    squeezed = torch.tensor([0, 1, 9, 2, 3])[LABELS]
    torch.testing.assert_close(without(logits.detach()[:, present], squeezed), value.detach())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_of_huge_logits_is_finite(name, dtype):
    logits = (1e4 * torch.sign(images(7, 5))).to(dtype).requires_grad_()
    value = make_loss(name)(logits, LABELS)
    value.backward()
    assert value.isfinite()
    assert value > 0
    assert logits.grad.isfinite().all()


@every_loss
def test_loss_takes_news_of_the_training(name):
    loss = make_loss(name)
    loss.set_epoch(0)
    loss.set_class_accuracy([0.9, 0.5, None, 0.2, 0.0])
    assert loss(images(7, 5), LABELS).isfinite()
    assert not loss.state_dict()  # counts come from the data, not from a checkpoint


@every_loss
@pytest.mark.parametrize("counts", [[0, 0], [3, -1], [[1, 2]], []])
def test_counts_that_count_nothing_are_refused(name, counts):
    with pytest.raises(ValueError, match="class_counts"):
        make_loss(name, counts)


def test_cross_entropy_is_the_one_computed_by_hand():
    loss = make_loss("cross_entropy", [5, 5])
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    assert loss(logits, torch.tensor([1, 0])).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@every_loss
def test_loss_is_the_sum_of_its_samples_over_their_mass(name):
    loss, logits = make_loss(name), images(7, 5)
    each = loss.per_sample(logits, LABELS)
    assert each.shape == (7,) and each.dtype == torch.float32
    torch.testing.assert_close(loss(logits, LABELS), each.sum() / loss.mass(LABELS))


@every_loss
def test_loss_of_a_single_sample_of_a_single_class_is_finite(name):
    logits = images(1, 3).requires_grad_()
    loss = make_loss(name, [0, 4, 0])
    value = loss(logits, torch.tensor([1]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("normalizer", ["batch", "weights"])
def test_loss_weighs_each_sample_by_its_class(name, normalizer):
    plain, logits = make_loss(name), images(7, 5).double()
    weighting = {"name": "effective_number", "beta": 0.9}
    loss = make_loss(name, weighting=weighting, normalizer=normalizer)
    w = build_weights(weighting, COUNTS)[LABELS.numpy()]
    each = plain.per_sample(logits, LABELS).numpy() * w
    expected = each.sum() / (w.sum() if normalizer == "weights" else 7)
    assert loss(logits, LABELS).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", WEIGHTED)
def test_deferred_weighting_is_plain_before_its_epoch_and_weighted_from_it_on(name):
    logits = images(7, 5)
    plain, weighted = make_loss(name), make_loss(name, weighting="inverse_frequency", normalizer="weights")
    deferred = make_loss(name, weighting="inverse_frequency", normalizer="weights", start_epoch=3)
    for epoch, expected in ((0, plain), (2, plain), (3, weighted), (9, weighted), (1, plain)):
        deferred.set_epoch(epoch)
        assert deferred(logits, LABELS) == expected(logits, LABELS), epoch


# -- each loss against a naive version ----------------------------------------------------------------------

C, PRESENT = 5, [0, 1, 3, 4]
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


# -- identities -------------------------------------------------------------------------------------------


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


# -- random draws -----------------------------------------------------------------------------------------


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


# -- weightings -------------------------------------------------------------------------------------------


@every_weighting
def test_weighting_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(WEIGHTINGS, name, positional=["class_counts"])


@pytest.mark.parametrize("name", ["inverse_frequency", "inverse_sqrt", "effective_number"])
def test_weights_sum_to_the_classes_present_and_grow_with_rarity(name):
    class_weights = WEIGHTINGS.create(name, COUNTS)
    assert class_weights.sum() == pytest.approx(4) and class_weights[2] == 0
    assert (np.diff(class_weights[PRESENT]) > 0).all()
    raw = WEIGHTINGS.create(name, COUNTS, normalise="none")
    np.testing.assert_allclose(class_weights, raw * 4 / raw.sum())


def test_inverse_weights_are_powers_of_the_counts():
    assert WEIGHTINGS.create("inverse_frequency", [8, 2], normalise="none").tolist() == [1 / 8, 1 / 2]
    class_weights = WEIGHTINGS.create("inverse_sqrt", [16, 4], normalise="none")
    np.testing.assert_allclose(class_weights, [1 / 4, 1 / 2])


def test_effective_number_goes_from_none_to_inverse_frequency():
    def created(beta):
        return WEIGHTINGS.create("effective_number", COUNTS, beta=beta)

    np.testing.assert_allclose(created(0.0), WEIGHTINGS.create("none", COUNTS))
    np.testing.assert_allclose(created(1 - 1e-12), WEIGHTINGS.create("inverse_frequency", COUNTS), rtol=1e-9)
    n = np.array(COUNTS)[PRESENT]
    by_hand = (1 - 0.9) / (1 - 0.9**n)
    np.testing.assert_allclose(created(0.9)[PRESENT], by_hand * 4 / by_hand.sum())


def test_clipped_weights_are_those_of_the_paper():
    """Park, Piao, Kim on CIFAR-10 with imbalance factor 500."""
    counts = [int(5000 * (1 / 500) ** (c / 9)) for c in range(10)]
    class_weights = WEIGHTINGS.create("clipped_inverse_frequency", counts)
    np.testing.assert_allclose(class_weights, [1, 1, 1, 1.592, *[1.778] * 6], atol=5e-4)


def test_clipping_of_nothing_is_refused():
    with pytest.raises(ValueError, match=re.escape("weighting: low: must be ≤ high (1.5), got 2")):
        build_weights({"name": "clipped_inverse_frequency", "low": 2.0, "high": 1.5}, COUNTS)


def test_weights_nearly_alike_warn_and_others_do_not():
    with pytest.warns(UserWarning, match=r"effective_number: the largest class weight is only 1\.0"):
        build_weights({"name": "effective_number", "beta": 0.01}, COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_weights("none", COUNTS)
        build_weights("inverse_frequency", COUNTS)
        build_weights("inverse_frequency", [7, 0])  # one class cannot differ


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        ("inverse", "weighting: unknown weighting 'inverse'"),
        ({"name": "effective_number", "beta": 1.0}, "weighting.beta: must be a number ≥ 0 and < 1, got 1.0"),
        ({"beta": 0.9}, "weighting: a component must be a name"),
    ],
)
def test_bad_weighting_is_refused_under_its_name(weighting, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_loss("cross_entropy", weighting=weighting)


def test_bad_weighting_in_a_config_is_refused_with_its_path():
    loss = "representation.loss={name: focal, weighting: {name: effective_number, beta: 2}}"
    with pytest.raises(ConfigError, match=r"representation\.loss\.weighting\.beta: must be .* got 2"):
        load_config("digits_lt", [loss])


# -- CDB --------------------------------------------------------------------------------------------------


def test_cdb_with_equal_accuracies_is_plain():
    loss, logits = make_loss("cdb"), images(7, 5)
    loss.set_class_accuracy([0.4, 0.4, None, 0.4, 0.4])
    torch.testing.assert_close(loss(logits, LABELS), make_loss("cross_entropy")(logits, LABELS))


def test_cdb_weights_are_powers_of_difficulty():
    loss, logits = make_loss("cdb", tau=2.0), images(7, 5).double()
    accuracy = [0.9, 0.5, None, 0.0, 0.75]
    loss.set_class_accuracy(accuracy)
    raw = np.array([0.01, 0.25, 0, 1.0, 0.0625])
    expected = raw * 4 / raw.sum()
    assert loss.adapted() == {"class_weights": pytest.approx(expected), "tau": 2.0}
    each = make_loss("cross_entropy").per_sample(logits, LABELS).numpy() * expected[LABELS]
    np.testing.assert_allclose(loss.per_sample(logits, LABELS), each, rtol=1e-6)
    by_weights = make_loss("cdb", tau=2.0, normalizer="weights")
    by_weights.set_class_accuracy(accuracy)
    loss = by_weights(logits, LABELS).item()
    assert loss == pytest.approx(each.sum() / expected[LABELS].sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("tau", "accuracy", "expected"),
    [
        ("dynamic", [0.9, 0.5, 0.1], 1.9993),
        ("dynamic", [0.8, 0.8, 0.8], 0.9999),
        (1.5, [0.9, 0.1], 1.5),
    ],
)
def test_cdb_tau_follows_the_accuracies(tau, accuracy, expected):
    assert dynamic_tau(tau, np.array(accuracy), 1e-4) == pytest.approx(expected, abs=5e-5)


def test_cdb_tau_of_the_released_codes():
    accuracy = np.array([0.8, 0.4])
    quotient = 0.8 / 0.41
    assert dynamic_tau("cifar_code", accuracy, 0.01) == pytest.approx(1 / (1 + math.exp(-quotient)))
    assert dynamic_tau("imagenet_code", accuracy, 0.01) == pytest.approx(2 / (1 + math.exp(1 - quotient)))


def test_cdb_class_without_validation_has_the_mean_difficulty_and_perfection_is_plain():
    loss = make_loss("cdb", [3, 3, 3], tau=1.0)
    loss.set_class_accuracy([0.9, None, 0.5])
    assert loss.adapted()["class_weights"] == pytest.approx([0.1 / 0.3, 1.0, 0.5 / 0.3])
    loss.set_class_accuracy([1.0, 1.0, 1.0])
    assert loss.adapted()["class_weights"] == [1.0, 1.0, 1.0]


def test_cdb_refuses_what_is_no_accuracy():
    with pytest.raises(ValueError, match="accuracy: must be 5 fractions"):
        make_loss("cdb").set_class_accuracy([50.0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="accuracy: must be 5 fractions"):
        make_loss("cdb").set_class_accuracy([0.5, 0.5])


def history(config, store):
    lines = (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_cdb_training_writes_each_epochs_weights_and_tau(digits, store):
    config = digits("representation.loss=cdb", "representation.epochs=3")
    run_stage_one(config, store)
    states = [row["loss_state"] for row in history(config, store)]
    assert states[0] == {"class_weights": [1.0] * 10, "tau": None}
    for state in states[1:]:
        assert sum(state["class_weights"]) == pytest.approx(10)
        assert 0 < state["tau"] <= 2 and len(set(state["class_weights"])) > 1


def test_cdb_without_validation_is_refused_with_the_setting(digits, store):
    with pytest.raises(LongtailError, match=r"representation\.loss: cdb .*data\.validation_per_class"):
        run_stage_one(digits("representation.loss=cdb", "data.validation_per_class=0"), store)
    X, y = np.eye(4).repeat(3, 0), np.arange(4).repeat(3)
    with pytest.raises(ValueError, match="loss: cdb goes by validation accuracy"):
        CLASSIFIERS.create("crt", solver="sgd", loss="cdb").fit(X, y)


# -- in training ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "sampler"),
    [
        (
            "{name: ldam, weighting: effective_number, normalizer: weights, start_epoch: 1}",
            "instance_balanced",
        ),
        ("cdb", "instance_balanced"),
        ("{name: softmax_equalization, threshold: 0.1}", "{name: deferred, start_epoch: 1}"),
        ("{name: sigmoid, weighting: inverse_sqrt, start_epoch: 1}", "{name: deferred, start_epoch: 1}"),
    ],
)
def test_training_stopped_in_an_epoch_goes_on_bitwise_equal(digits, tmp_path, stop_at_save, loss, sampler):
    from longtail.pipeline.store.store import Store

    chosen = [f"representation.loss={loss}", f"representation.sampler={sampler}"]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(*chosen), whole)
    eager = digits(*chosen, "system.checkpoint_minutes=1e-9")
    stop_at_save(3, 10)  # inside the first and the second epoch
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_stage_one(eager, broken)
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(*chosen), whole), weights(eager, broken))


def test_deferred_weighting_changes_nothing_before_its_epoch(digits, tmp_path):
    from longtail.pipeline.store.store import Store

    runs = []
    for n, start in enumerate((1, 2, None)):
        loss = "cross_entropy"
        if start is not None:
            loss = f"{{name: cross_entropy, weighting: inverse_frequency, start_epoch: {start}}}"
        config, store = digits(f"representation.loss={loss}"), Store(tmp_path / str(n))
        run_stage_one(config, store)
        runs.append((weights(config, store), [row["loss"] for row in history(config, store)]))
    assert_same_weights(runs[1][0], runs[2][0])  # two epochs: from the third on is never
    assert runs[0][1][0] == runs[2][1][0]
    assert any(not np.array_equal(runs[0][0][k], runs[2][0][k]) for k in runs[0][0])


@pytest.mark.parametrize("normalizer", ["batch", "weights"])
def test_accumulated_loss_is_the_whole_batchs_whatever_divides_it(normalizer):
    from longtail.stages.data.pictures.batches import Batch
    from longtail.stages.training.step import part_of_loss

    loss = make_loss("cross_entropy", weighting="inverse_frequency", normalizer=normalizer)
    logits, partners = images(7, 5).double(), LABELS.flip(0)
    whole = Batch(logits, LABELS, partners, 0.3)
    expected = 0.3 * loss(logits, LABELS) + 0.7 * loss(logits, partners)
    parts = [part_of_loss(loss, piece.inputs, piece, whole) for piece in whole.pieces(3)]
    torch.testing.assert_close(sum(parts), expected)


# -- heads follow losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ldam", "margin", "hinge"])
def test_margin_losses_bring_a_cosine_head_and_its_scale(digits, store, name):
    config = digits(f"representation.loss={name}", "classifiers=[joint]", "representation.epochs=1")
    features = fetch(store, run_extraction(config, store))
    head = features.head
    assert head.cosine and head.bias is None
    assert head.scale == (1.0 if name == "hinge" else 30.0)
    assert np.abs(head.logits(features.val.X)).max() <= head.scale * (1 + 1e-5)


@pytest.mark.parametrize("loss", ["sigmoid", "equalization", "{name: focal, form: sigmoid}"])
def test_sigmoid_losses_start_from_the_prior_bias_and_do_not_decay_it(digits, loss):
    from longtail.pipeline.training.splits import load_splits
    from longtail.pipeline.training.trainee_building import build

    config = digits(f"representation.loss={loss}")
    trainee = build(config, load_splits(config), "cpu", "float32", False)
    np.testing.assert_allclose(trainee.network.head.bias.detach(), -math.log(9), rtol=1e-6)
    decay = {id(p): g["weight_decay"] for g in trainee.optimizer.param_groups for p in g["params"]}
    assert decay[id(trainee.network.head.bias)] == 0.0
    assert decay[id(trainee.network.head.weight)] > 0


def test_softmax_losses_leave_the_head_as_it_was(digits):
    from longtail.pipeline.training.splits import load_splits
    from longtail.pipeline.training.trainee_building import build

    trainees = [
        build(config, load_splits(config), "cpu", "float32", False)
        for config in (digits(), digits("representation.loss={name: focal, gamma: 2}"))
    ]
    for one, other in zip(*(t.network.parameters() for t in trainees), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("loss", "head", "message"),
    [
        ("ldam", "linear", r"representation\.head: must be cosine with LDAM.*got linear"),
        ("hinge", "{name: cosine, scale: 16}", r"representation\.head\.scale: must be 1 .*got 16"),
        ("sigmoid", "cosine", r"representation\.head: must be linear with Sigmoid.*got cosine"),
    ],
)
def test_head_that_conflicts_with_its_loss_is_refused_with_the_reason(digits, store, loss, head, message):
    config = digits(f"representation.loss={loss}", f"representation.head={head}")
    with pytest.raises(ConfigError, match=message):
        run_stage_one(config, store)


def test_cosine_head_serves_other_losses_scaled(digits, store):
    config = digits("representation.head=cosine", "representation.epochs=1")
    head = fetch(store, run_extraction(config, store)).head
    assert head.cosine and head.scale == 16.0
    with pytest.raises(ValueError, match="unknown head 'cosin'"):
        build_head(make_loss("cross_entropy"), 4, 3, "cosin")


# -- in cRT -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), [60, 30, 10, 4])
    return (rng.standard_normal((len(y), 6)) + 4 * np.eye(6)[y]).astype(np.float32), y


@every_loss
def test_crt_trains_under_every_loss(name, blobs):
    X, y = blobs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crt = CLASSIFIERS.create("crt", solver="sgd", loss=name, random_state=0, epochs=30)
        crt.fit(X, y, validation=(X, y))
    assert crt.score(X, y) > 0.9
    kind = make_loss(name).head_kind
    assert crt.head_.cosine == (kind == "cosine") and (crt.head_.bias is None) == (kind == "cosine")


@pytest.mark.parametrize(
    ("loss", "plain"),
    [
        ("cross_entropy", True),
        ({"name": "cross_entropy", "weighting": {"name": "none"}, "normalizer": "batch"}, True),
        ({"name": "cross_entropy", "weighting": "inverse_sqrt"}, False),
        ("focal", False),
    ],
)
def test_crt_lbfgs_takes_plain_cross_entropy_however_it_is_written(blobs, loss, plain):
    crt = CLASSIFIERS.create("crt", loss=loss)
    if plain:
        expected = CLASSIFIERS.create("crt").fit(*blobs).head_.weight
        np.testing.assert_array_equal(crt.fit(*blobs).head_.weight, expected)
    else:
        with pytest.raises(ValueError, match="lbfgs takes cross_entropy only"):
            crt.fit(*blobs)


def test_crt_of_a_sigmoid_loss_without_steps_starts_at_the_prior(blobs):
    X, y = blobs
    crt = CLASSIFIERS.create("crt", solver="sgd", loss="sigmoid", lr=1e-12, weight_decay=0.9, epochs=1)
    np.testing.assert_allclose(crt.fit(X, y).head_.bias, -math.log(3), rtol=1e-6)


# -- corrections that meet --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "sampler", "twice"),
    [
        ("balanced_softmax", "class_balanced", True),
        ("logit_adjusted", "square_root", True),
        ("cdt", "effective_number", True),
        ({"name": "cross_entropy", "weighting": "inverse_frequency"}, "class_balanced", True),
        ({"name": "ldam", "weighting": "effective_number", "start_epoch": 1}, "class_balanced", True),
        ("balanced_softmax", "instance_balanced", False),
        ({"name": "logit_adjusted", "tau": 0.0}, "class_balanced", False),
        ("cross_entropy", "class_balanced", False),
        ("ldam", "class_balanced", False),
        ("cdb", "class_balanced", False),
        ({"name": "cross_entropy", "weighting": "clipped_inverse_frequency"}, "uniform_batch", False),
    ],
)
def test_two_corrections_for_class_counts_are_told(loss, sampler, twice):
    name, params = (loss, {}) if isinstance(loss, str) else (loss["name"], {**loss})
    params.pop("name", None)
    drawn = SAMPLERS.create(sampler, np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    warning = corrected_twice(make_loss(name, [50, 20, 5], **params), name, drawn, sampler, epoch=9)
    assert (warning is not None) == twice
    if twice:
        assert name in warning and sampler in warning


def test_weights_that_never_apply_are_no_correction():
    drawn = SAMPLERS.create("class_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    loss = make_loss("cross_entropy", [50, 20, 5], weighting="inverse_frequency", start_epoch=5)
    assert corrected_twice(loss, "cross_entropy", drawn, "class_balanced", epoch=4) is None
    assert corrected_twice(loss, "cross_entropy", drawn, "class_balanced", epoch=5)


def test_asking_for_corrections_leaves_the_loss_as_it_is():
    drawn = SAMPLERS.create("class_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    loss = make_loss("cross_entropy", [50, 20, 5], weighting="inverse_frequency", start_epoch=5)
    logits, labels = torch.linspace(-1, 1, 9).reshape(3, 3).sin(), torch.tensor([0, 1, 2])
    loss.set_epoch(2)
    before = loss(logits, labels)
    assert corrects(loss, drawn, epoch=9) and corrected_twice(loss, "", drawn, "", epoch=9)
    assert loss(logits, labels) == before and not loss.weighs
    assert loss.corrects_prior_at(9) and not loss.corrects_prior_at(2)


def test_progressive_sampling_corrects_at_its_end_only():
    drawn = SAMPLERS.create("progressively_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0, epochs=4)
    loss = make_loss("balanced_softmax", [50, 20, 5])
    assert corrected_twice(loss, "balanced_softmax", drawn, "progressively_balanced", epoch=0) is None
    assert corrected_twice(loss, "balanced_softmax", drawn, "progressively_balanced", epoch=3)


def test_training_and_crt_warn_of_two_corrections(digits, store, caplog, blobs):
    config = digits("representation.loss=balanced_softmax", "representation.sampler=class_balanced")
    with caplog.at_level("WARNING", "longtail"):
        run_stage_one(config, store)
    assert any("favoured twice" in record.message for record in caplog.records)
    with pytest.warns(UserWarning, match="favoured twice"):
        CLASSIFIERS.create("crt", solver="sgd", loss="balanced_softmax", random_state=0).fit(*blobs)


@pytest.mark.parametrize(
    ("classifier", "override", "twice"),
    [
        ("logit_adjustment", "representation.sampler=class_balanced", True),
        ("pc_softmax", "representation.loss=balanced_softmax", True),
        ("{name: logit_adjustment, tau: validation}", "representation.loss=balanced_softmax", False),
        ("logit_adjustment", "representation.loss=ldam", False),
        ("tau_norm", "representation.loss=balanced_softmax", False),
    ],
)
def test_post_hoc_correction_of_a_balanced_head_warns(digits, store, caplog, classifier, override, twice):
    with caplog.at_level("WARNING", "longtail"):
        run_stage_two(digits("representation.epochs=1", override, f"classifiers=[{classifier}]"), store)
    assert any("favoured twice" in record.message for record in caplog.records) == twice


def test_two_phase_training_is_a_configuration(digits, store):
    """Buda 2018: a balanced first phase, then the output layer on the data as they are."""
    config = digits(
        "representation.sampler=class_balanced", "classifiers=[{name: crt, sampler: instance_balanced}]"
    )
    result = run_stage_two(config, store)[0]
    assert result.metrics["test"]["accuracy"] > 0.3


def test_cosines_keep_their_precision_under_half_precision():
    head = build_head(make_loss("ldam"), 64, 3)
    near = (head.weight.detach()[:1] + 0.01 * images(256, 64)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        cosines = head(near.bfloat16())
    assert cosines.dtype == torch.float32 and len(cosines[:, 0].unique()) > 128


def test_head_of_a_scaled_cosine_is_what_the_network_says():
    torch.manual_seed(0)
    features = images(4, 6)
    head = build_head(make_loss("cross_entropy"), 6, 3, "cosine", scale=8.0)
    frozen = head.frozen()
    assert isinstance(frozen, Head)
    np.testing.assert_allclose(frozen.logits(features), head(features).detach(), rtol=1e-5, atol=1e-6)
