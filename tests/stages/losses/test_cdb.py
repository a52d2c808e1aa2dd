"""The class-wise difficulty-balanced loss."""

import math

import numpy as np
import pytest
import torch

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.work.execute import run_stage_one
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.losses.cdb import dynamic_tau
from tests.stages.losses.cases import LABELS, history, make_loss
from tests.stages.random_images import images


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
