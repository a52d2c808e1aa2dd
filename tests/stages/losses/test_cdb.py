"""The class-wise difficulty-balanced loss."""

import json
import math

import numpy as np
import pytest
import torch

from longtail.pipeline.config.components import check_spec
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.training.trainee_building import build
from longtail.pipeline.work.execute import run_stage_one
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.losses.cdb import dynamic_tau
from tests.stages.losses.cases import LABELS, history, make_loss
from tests.stages.random_images import images
from tests.training_runs import assert_same_weights, weights


def test_cdb_with_equal_accuracies_is_plain():
    loss, logits = make_loss("cdb"), images(7, 5)
    loss.set_class_accuracy([0.4, 0.4, None, 0.4, 0.4])
    torch.testing.assert_close(loss(logits, LABELS), make_loss("cross_entropy")(logits, LABELS))


def test_cdb_weights_are_powers_of_difficulty():
    loss, logits = make_loss("cdb", tau=2.0, smoothing=0), images(7, 5).double()
    accuracy = [0.9, 0.5, None, 0.0, 0.75]
    loss.set_class_accuracy(accuracy)
    raw = np.array([0.01, 0.25, 0, 1.0, 0.0625])
    expected = raw * 4 / raw.sum()
    assert loss.adapted() == {"class_weights": pytest.approx(expected), "tau": 2.0}
    each = make_loss("cross_entropy").per_sample(logits, LABELS).numpy() * expected[LABELS]
    np.testing.assert_allclose(loss.per_sample(logits, LABELS), each, rtol=1e-6)
    by_weights = make_loss("cdb", tau=2.0, smoothing=0, normalizer="weights")
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
    loss = make_loss("cdb", [3, 3, 3], tau=1.0, smoothing=0)
    loss.set_class_accuracy([0.9, None, 0.5])
    assert loss.adapted()["class_weights"] == pytest.approx([0.1 / 0.3, 1.0, 0.5 / 0.3])
    loss.set_class_accuracy([1.0, 1.0, 1.0])
    assert loss.adapted()["class_weights"] == [1.0, 1.0, 1.0]


def test_cdb_weights_are_a_running_mean_that_starts_from_ones():
    loss = make_loss("cdb", [9, 3, 0], tau=1.0)
    for mean in (0.9, 0.82, 0.756):  # .8 of the weight before and .2 of .5
        loss.set_class_accuracy([0.9, 0.7, None])
        assert loss.adapted()["class_weights"] == pytest.approx([mean, 2 - mean, 0.0])


def swing(smoothing):
    """How far apart two classes' weights come to be when only the class of larger weight is learned."""
    loss, gaps = make_loss("cdb", [9, 3], tau=2.0, smoothing=smoothing), []
    for _ in range(40):
        first, second = loss.adapted()["class_weights"]
        gaps.append(abs(first - second))
        loss.set_class_accuracy([0.99, 0.1] if first > second else [0.1, 0.99])
    return max(gaps[20:])


def test_cdb_smoothing_keeps_weights_from_swinging_between_classes():
    assert swing(smoothing=0) == pytest.approx(2, abs=1e-3)
    assert swing(smoothing=0.8) < 0.5


def test_cdb_goes_on_from_the_weights_it_had_to_the_last_bit():
    whole, resumed = make_loss("cdb"), make_loss("cdb")
    accuracies = np.random.default_rng(0).random((4, 5)).tolist()
    for accuracy in accuracies[:3]:
        whole.set_class_accuracy(accuracy)
    resumed.restore_adapted(json.loads(json.dumps(whole.adapted())))
    for loss in (whole, resumed):
        loss.set_class_accuracy(accuracies[3])
    assert whole.adapted() == resumed.adapted()
    assert torch.equal(whole.class_weights, resumed.class_weights)


def test_cdb_training_stopped_in_its_third_epoch_goes_on_bitwise_equal(digits, tmp_path, stop_at_save):
    chosen = ["representation.loss=cdb", "representation.epochs=3"]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(*chosen), whole)
    steps = steps_of_an_epoch(digits(*chosen))
    stop_at_save(steps + 4, 2 * steps + 5)  # a checkpoint after every step and at the end of every epoch
    eager = digits(*chosen, "system.checkpoint_minutes=1e-9")
    for epochs_done in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run_stage_one(eager, broken)
        assert len(history(eager, broken)) == epochs_done
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(*chosen), whole), weights(eager, broken))
    used = [[row["loss_state"] for row in history(eager, store)] for store in (whole, broken)]
    assert used[0] == used[1]


def steps_of_an_epoch(config):
    splits = load_splits(config)
    return len(build(config, splits, "cpu", "float32", False).batches)


def test_cdb_does_without_what_another_loss_adapted():
    loss = make_loss("cdb")
    for other in ({}, {"class_weights": [1.0, 1.0]}, {"temperature": 2.0}):
        loss.restore_adapted(other)
    assert loss.adapted() == make_loss("cdb").adapted()


def test_cdb_run_made_without_smoothing_is_not_taken_for_another(digits, store):
    default = digits("representation.loss=cdb")
    ids = {
        representation_id(store, digits(f"representation.loss={{name: cdb, smoothing: {s}}}"))
        for s in (0, 0.8)
    }
    assert representation_id(store, default) in ids and len(ids) == 2
    assert default.representation.loss.minimal() == {"name": "cdb", "smoothing": 0.8}
    assert default.representation.loss.changed() == {}
    assert digits().representation.loss.minimal() == {"name": "cross_entropy"}
    nested = check_spec("classifiers", {"name": "crt", "loss": "cdb"})
    assert nested.minimal() == {"name": "crt", "loss": {"name": "cdb", "smoothing": 0.8}}


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
