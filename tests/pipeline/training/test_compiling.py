"""``compile: auto``: tried for a bounded time, and taken where it saves more than it costs."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from longtail.pipeline.process import environment
from longtail.pipeline.process.environment import PROBED_STEPS, worth_compiling
from longtail.stages.backbones import BACKBONES
from longtail.stages.data.pictures.batches import Batches
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.losses import LOSSES
from longtail.stages.network import LinearHead, Network
from longtail.stages.samplers import SAMPLERS
from longtail.stages.training.compiling import TakesTooLong, time_limit


@pytest.fixture
def training(monkeypatch):
    """(trainee, settings) of a training of hours that is worth a trial of a minute, and a compiler."""
    monkeypatch.setattr(environment.shutil, "which", lambda name: name)
    monkeypatch.setattr(environment, "WORTH_COMPILING", 0.0)
    monkeypatch.setattr(environment, "LONGEST_TRIAL", 1e-3)
    images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 3
    backbone = BACKBONES.create("small_cnn")
    trainee = SimpleNamespace(
        network=Network(backbone, LinearHead(backbone.num_features, 3)),
        batches=Batches(
            ImageArrays(images, labels),
            SAMPLERS.create("instance_balanced", labels, 3, seed=0),
            batch_size=4,
            seed=0,
        ),
        loss=LOSSES.create("cross_entropy", [7, 7, 6]),
        device="cpu",
        precision="float32",
    )
    return trainee, SimpleNamespace(epochs=10**7, accumulation=1)


def compiled_as(
    monkeypatch, *, first: float = 0.0, factor: float | None = None, error: Exception | None = None
):
    """torch.compile that takes `first` seconds once; its steps take nothing, or those of the network."""

    def compile(network, dynamic):
        calls = []

        def forward(inputs):
            if error is not None:
                raise error
            calls.append(time.sleep(0 if calls else first))
            if factor is None:
                return torch.zeros(len(inputs), 3, requires_grad=True)
            for _ in range(int(factor)):
                network(inputs)
            return network(inputs)

        return forward

    monkeypatch.setattr(torch, "compile", compile)


def test_compiled_steps_that_save_time_are_taken(training, monkeypatch, logged):
    compiled_as(monkeypatch, first=0.05)
    assert worth_compiling(*training)
    assert "compiling a copy of the network" in logged.text and "it goes on compiled" in logged.text


def test_compiled_steps_that_take_longer_are_not(training, monkeypatch, logged):
    compiled_as(monkeypatch, factor=20)
    assert not worth_compiling(*training)
    assert "it goes on uncompiled" in logged.text


def test_compiling_that_costs_more_than_it_saves_is_not_worth_it(training, monkeypatch):
    compiled_as(monkeypatch, first=0.5)
    trainee, settings = training
    settings.epochs = 1  # five steps of milliseconds
    assert not worth_compiling(trainee, settings)


def test_compiling_is_given_up_when_its_time_is_over(training, monkeypatch, logged):
    compiled_as(monkeypatch, first=60)
    monkeypatch.setattr(environment, "LONGEST_TRIAL", 1e-12)
    handler = signal.getsignal(signal.SIGALRM)
    began = time.monotonic()
    assert not worth_compiling(*training)
    assert time.monotonic() - began < 30
    assert "compiling takes longer than that: training goes on uncompiled" in logged.text
    assert signal.getsignal(signal.SIGALRM) == handler


def test_a_time_limit_leaves_an_earlier_timer_running():
    def unexpected(*_):
        pytest.fail("early")

    before = signal.signal(signal.SIGALRM, unexpected), signal.setitimer(signal.ITIMER_REAL, 50)
    with time_limit(20):
        time.sleep(0.01)
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    assert signal.getsignal(signal.SIGALRM) == unexpected and 0 < left < 50
    signal.signal(signal.SIGALRM, before[0])
    signal.setitimer(signal.ITIMER_REAL, *before[1])


def test_a_network_that_cannot_be_compiled_trains_uncompiled(training, monkeypatch, logged):
    compiled_as(monkeypatch, error=RuntimeError("no such compiler"))
    assert not worth_compiling(*training)
    assert "cannot be compiled (RuntimeError)" in logged.text


def test_short_training_is_not_tried_and_the_probe_draws_its_batches_only(training, monkeypatch):
    trainee, settings = training
    monkeypatch.setattr(environment, "WORTH_COMPILING", 1e12)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    drawn = []
    epoch = trainee.batches.epoch

    def counted(*args):
        for batch in epoch(*args):
            drawn.append(batch)
            yield batch

    trainee.batches.epoch = counted
    before = {key: value.clone() for key, value in trainee.network.state_dict().items()}
    assert not worth_compiling(trainee, settings)
    assert len(drawn) == PROBED_STEPS
    assert all(torch.equal(value, before[key]) for key, value in trainee.network.state_dict().items())
    assert all(p.grad is None for p in trainee.network.parameters())


def test_a_time_limit_is_no_exception_that_a_compiler_may_catch():
    with pytest.raises(TakesTooLong), time_limit(0.01):
        try:
            time.sleep(30)
        except Exception:
            pytest.fail("caught")


@pytest.mark.parametrize(
    ("total", "size", "smallest", "pieces", "sizes"),
    [
        (20, 4, 1, 1, {4}),
        (21, 4, 1, 1, {4, 1}),
        (21, 4, 2, 1, {4, 5}),
        (3, 4, 1, 1, {3}),
        (22, 8, 1, 3, {2, 3}),
    ],
)
def test_sizes_that_are_compiled_for(total, size, smallest, pieces, sizes):
    labels = np.arange(total) % 3
    sampler = SAMPLERS.create("instance_balanced", labels, 3, seed=0)
    part = ImageArrays(np.zeros((total, 2, 2, 3), np.uint8), labels)
    batches = Batches(part, sampler, batch_size=size, seed=0, smallest=smallest)
    assert batches.piece_sizes(pieces) == sizes
    assert sizes == {len(p.labels) for batch in batches.epoch(0) for p in batch.pieces(pieces)}
