"""Losses in stage one with their heads, and in cRT."""

import math
import warnings

import numpy as np
import pytest
import torch

from longtail.pipeline.config.choices import has_cosine_head
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError
from longtail.pipeline.work.execute import run_extraction, run_stage_one
from longtail.pipeline.work.feature_cache import load_verified
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.heads import HEADS, build_head, head_for
from longtail.stages.network import CosineHead
from tests.stages.losses.cases import LABELS, every_loss, history, make_loss
from tests.stages.random_images import images
from tests.training_runs import assert_same_weights, weights

# -- in training -----------------------------------------------------------------------------------------


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


# -- heads follow losses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ldam", "margin", "hinge"])
def test_margin_losses_bring_a_cosine_head_and_its_scale(digits, store, name):
    config = digits(f"representation.loss={name}", "classifiers=[joint]", "representation.epochs=1")
    features = load_verified(store, run_extraction(config, store))
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
    head = load_verified(store, run_extraction(config, store)).head
    assert head.cosine and head.scale == 16.0
    with pytest.raises(ValueError, match="unknown head 'cosin'"):
        build_head(make_loss("cross_entropy"), 4, 3, "cosin")


def test_heads_are_known_as_cosine_by_their_fact(monkeypatch):
    monkeypatch.setattr(HEADS, "_by_hand", {})
    monkeypatch.setattr(HEADS, "_objects", dict(HEADS._objects))

    @HEADS.register("directions", facts={"cosine": True})
    def directions(in_features, out_features):
        return CosineHead(in_features, out_features)

    @HEADS.register("rays")
    def rays(in_features, out_features):
        return CosineHead(in_features, out_features)

    assert head_for(make_loss("ldam"), "directions") == ("directions", {})  # it has no scale to be set
    assert has_cosine_head(load_config("digits_lt", ["representation.head=directions"]))
    assert not has_cosine_head(load_config("digits_lt", ["representation.head=rays"]))
    with pytest.raises(ValueError, match=r"must be linear with Sigmoid.*got directions"):
        build_head(make_loss("sigmoid"), 4, 3, "directions")
    with pytest.raises(ValueError, match=r"head: must have a bias with Sigmoid.*got rays"):
        build_head(make_loss("sigmoid"), 4, 3, "rays")


# -- in cRT ----------------------------------------------------------------------------------------------


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
