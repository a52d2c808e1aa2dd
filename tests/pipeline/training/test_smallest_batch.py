"""Batches of a single sample, which batch norm cannot take where a picture is one position."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from longtail.pipeline.errors import ConfigError
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work.execute import run_stage_one
from longtail.stages.backbones import BACKBONES
from longtail.stages.backbones.small import SmallCNN
from longtail.stages.data.pictures.batches import Batch, Batches
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.network import LinearHead, Network
from longtail.stages.samplers import SAMPLERS
from longtail.stages.training.smallest_batch import smallest_batch
from tests.training_runs import Stop, assert_same_weights, folder_of, weights

SAMPLES = 45  # of digits under the settings below
SETTINGS = [
    "representation.epochs=1",
    "data.max_count=8",
    "data.imbalance_factor=3",
    "data.validation_per_class=1",
    "data.test_per_class=1",
]


@pytest.fixture
def needs_two(monkeypatch):
    """small_cnn behind a layer that leaves so little of a picture that its last layers see one position."""
    forward = SmallCNN.forward
    monkeypatch.setattr(SmallCNN, "forward", lambda self, x: forward(self, adaptive_avg_pool2d(x, 2)))


def batches(total: int, size: int, smallest: int, sampler: str = "instance_balanced", **params) -> Batches:
    images = np.arange(total * 12, dtype=np.uint8).reshape(total, 2, 2, 3)
    labels = np.arange(total) % 3
    drawn = SAMPLERS.create(sampler, labels, 3, seed=1, **params)
    return Batches(ImageArrays(images, labels), drawn, batch_size=size, seed=1, smallest=smallest)


def sizes(made: Batches, start: int = 0) -> list[int]:
    return [len(batch.labels) for batch in made.epoch(0, start)]


# -- where batches are cut --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [n for n in SAMPLERS.names() if n not in ("uniform_batch", "deferred")])
def test_a_last_batch_of_one_joins_the_one_before_whatever_the_sampler(sampler):
    params = {"q": 0.3} if sampler == "power" else {}
    params |= {"epochs": 2} if sampler == "progressively_balanced" else {}
    params |= {"beta": 0.9} if sampler == "effective_number" else {}
    assert sizes(batches(17, 16, 1, sampler, **params)) == [16, 1]
    joined = batches(17, 16, 2, sampler, **params)
    assert sizes(joined) == [17] and len(joined) == 1
    split = batches(17, 16, 1, sampler, **params)
    indices = np.concatenate([batch.indices for batch in split.epoch(0)])
    np.testing.assert_array_equal(next(joined.epoch(0)).indices, indices)


@pytest.mark.parametrize(("total", "size"), [*itertools.product(range(2, 14), range(2, 7))])
def test_nothing_changes_where_no_batch_has_one_sample(total, size):
    plain, careful = batches(total, size, 1), batches(total, size, 2)
    if total % size != 1 or total < size:  # else the last of several batches would be one sample
        assert sizes(plain) == sizes(careful)
        for one, other in zip(plain.epoch(0), careful.epoch(0), strict=True):
            assert torch.equal(one.inputs, other.inputs)
    assert sum(sizes(careful)) == total and len(sizes(careful)) == len(careful)
    assert min(sizes(careful)) >= 2
    for start in range(len(careful) + 1):
        assert sizes(careful, start) == sizes(careful)[start:]


@pytest.mark.parametrize(("total", "count"), [*itertools.product(range(2, 9), range(1, 10))])
def test_no_piece_is_one_sample(total, count):
    batch = Batch(torch.arange(total), torch.arange(total), smallest=2)
    pieces = [len(piece.labels) for piece in batch.pieces(count)]
    assert sum(pieces) == total and min(pieces) >= 2 and len(pieces) == max(1, min(count, total // 2))


def test_uniform_batches_are_whole_and_deferred_ones_are_cut_alike():
    assert sizes(batches(17, 6, 2, "uniform_batch", per_class=2)) == [6, 6]
    assert sizes(batches(17, 16, 2, "deferred", start_epoch=0)) == [17]


# -- which networks need two ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "side", "least"),
    [("resnet10", 32, 2), ("resnet10", 64, 1), ("resnet8", 32, 1), ("small_cnn", 28, 1), ("lenet5", 28, 1)],
)
def test_networks_that_reduce_a_picture_to_one_position_need_two(name, side, least):
    backbone = BACKBONES.create(name)
    network = Network(backbone, LinearHead(backbone.num_features, 3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert smallest_batch(network.eval(), (3, side, side)) == least
    assert not network.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_frozen_batch_norm_and_other_failures_need_no_two():
    backbone = BACKBONES.create("resnet10")
    network = Network(backbone, LinearHead(512, 3))
    network.train_only("head")
    assert smallest_batch(network, (3, 32, 32)) == 1
    assert smallest_batch(Network(BACKBONES.create("lenet5"), nn.Identity()), (3, 64, 64)) == 1  # too large


# -- runs -------------------------------------------------------------------------------------------------


def run(digits, store, *overrides):
    config = digits(*SETTINGS, *overrides)
    run_stage_one(config, store)
    rows = (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    return config, [json.loads(row) for row in rows]


def test_a_run_whose_last_batch_would_be_one_sample_says_what_it_does(needs_two, digits, store, logged):
    assert len(load_splits(digits(*SETTINGS)).train) == SAMPLES
    _, rows = run(digits, store, "representation.batch_size=22")
    assert np.isfinite(rows[0]["loss"])
    assert (
        "the last batch of an epoch would be one sample, and batch norm of small_cnn needs two samples with "
        "pictures of 8×8 pixels: it joins the batch before"
    ) in logged.text


def test_a_joined_batch_resumes_bitwise(needs_two, digits, tmp_path, monkeypatch):
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    overrides = ["representation.batch_size=22", "system.checkpoint_minutes=1e-9"]
    config, _ = run(digits, whole, *overrides)
    save = Checkpoints.save

    def die(self, *args, **options):
        saved = save(self, *args, **options)
        raise Stop(saved)

    monkeypatch.setattr(Checkpoints, "save", die)
    for _ in range(2):  # after the first batch, and after the last, joined one
        with pytest.raises(Stop):
            run_stage_one(config, broken)
    monkeypatch.setattr(Checkpoints, "save", save)
    assert (folder_of(config, broken) / "epoch-0000-batch-000002.state").exists()
    run_stage_one(config, broken)
    assert_same_weights(weights(config, whole), weights(config, broken))


def test_networks_that_take_one_sample_train_as_before(digits, store, logged):
    _, rows = run(digits, store, "representation.batch_size=22")
    assert rows and "joins" not in logged.text


@pytest.mark.parametrize("pieces", [2, 22])
def test_pieces_of_one_sample_are_made_larger_and_that_is_said(needs_two, digits, store, logged, pieces):
    run(digits, store, "representation.batch_size=22", f"representation.accumulation={pieces}")
    said = "a batch is computed in 11 pieces" in logged.text
    assert said == (pieces == 22)


def test_clean_batches_of_learned_weights_have_two_samples(needs_two, digits, store):
    _, rows = run(
        digits, store, "representation.batch_size=17", "representation.reweighting={name: l2rw, per_class: 1}"
    )
    assert np.isfinite(rows[0]["loss"])
    with pytest.raises(ConfigError, match=r"representation.reweighting: must weigh by two clean samples"):
        run(digits, store, "representation.reweighting={name: l2rw, batch_size: 1}")


def test_where_no_batch_can_hold_two_a_message_says_so_before_training(needs_two, digits, store):
    with pytest.raises(ConfigError) as caught:
        run(digits, store, "representation.batch_size=1")
    assert str(caught.value) == (
        "representation.batch_size: must be ≥ 2 (batch norm of small_cnn needs two samples with pictures of "
        "8×8 pixels), got 1; representation.trainable=head freezes it"
    )
    assert not store.root.exists() or not list(store.root.glob("representations/*/epoch*"))
    run(digits, store, "representation.batch_size=1", "representation.trainable=head")


def test_a_single_training_sample_is_refused(needs_two, digits):
    from longtail.pipeline.training.trainee_building import keep_batches_large_enough

    network = Network(BACKBONES.create("small_cnn"), LinearHead(64, 3))
    with pytest.raises(ConfigError, match=r"^data: must have two training samples \(batch norm of .* got 1;"):
        keep_batches_large_enough(digits().representation, network, batches(1, 64, 1), None, (3, 2, 2))
