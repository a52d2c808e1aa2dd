"""Stage one with its files: checkpoints, resuming, signals, damage."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from longtail.pipeline.errors import Damaged, Interrupted, LongtailError
from longtail.pipeline.files.epoch_files import state_files
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints
from longtail.pipeline.work.execute import run_extraction, run_stage_one
from longtail.stages.representation import Position
from longtail.stages.training.step import NonFiniteLoss
from tests.training_runs import Stop, assert_same_weights, folder_of, weights

SAMPLERS = ("instance_balanced", "class_balanced", "square_root", "progressively_balanced")


# -- what a run leaves --------------------------------------------------------------------------------------


def test_run_leaves_the_documented_files(digits, store):
    config = digits("representation.epochs=4")
    run_stage_one(config, store)
    names = {path.name for path in folder_of(config, store).iterdir()}
    expected = {"config.yaml", "provenance.json", "history.jsonl", "best.safetensors", "DONE"}
    expected |= {f"epoch-{n:04d}.{kind}" for n in (3, 4) for kind in ("safetensors", "state")}
    assert names == expected


def test_history_has_a_complete_row_for_each_epoch(digits, store):
    config = digits("representation.epochs=3")
    run_stage_one(config, store)
    rows = [
        json.loads(line) for line in (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    ]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["loss"] > 0 and row["learning_rate"] > 0 and row["seconds"] > 0
        assert row["images_per_second"] == pytest.approx(369 / row["seconds"])
        assert set(row["validation"]) >= {"accuracy", "balanced_accuracy", "many", "medium", "few"}
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_best_checkpoint_is_the_epoch_of_highest_validation_balanced_accuracy(digits, store):
    config = digits("representation.epochs=6")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    reached = [row["validation"]["balanced_accuracy"] for row in rows]
    _, facts, _ = load_tensors(folder / "best.safetensors")
    assert facts["epoch"] == reached.index(max(reached)) + 1
    assert facts["balanced_accuracy"] == max(reached)


def test_run_without_validation_keeps_the_last_epoch_as_best(digits, store):
    config = digits("data.validation_per_class=0")
    run_stage_one(config, store)
    best, _, _ = load_tensors(folder_of(config, store) / "best.safetensors")
    assert_same_weights(best, weights(config, store))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_paper_sampler_trains_and_is_deterministic(digits, tmp_path, sampler):
    config = digits(f"representation.sampler={sampler}")
    runs = []
    for name in "ab":
        store = Store(tmp_path / name)
        run_stage_one(config, store)
        runs.append(weights(config, store))
    assert_same_weights(*runs)


@pytest.mark.parametrize(
    "override",
    [
        "representation.optimizer={name: adamw, lr: 1e-3}",
        "representation.augment={pad: 1, flip: true, mixup: 0.4}",
        "representation.clip_grad_norm=0.5",
        "representation.schedule={name: multi_step, milestones: [1], warmup_epochs: 0.5}",
        "system.precision=bfloat16",
    ],
)
def test_each_training_option_changes_the_weights(digits, tmp_path, override):
    plain, changed = Store(tmp_path / "plain"), Store(tmp_path / "changed")
    run_stage_one(digits(), plain)
    run_stage_one(digits(override), changed)
    one, other = weights(digits(), plain), weights(digits(override), changed)
    assert any(not np.array_equal(one[name], other[name]) for name in one)


def test_uniform_batch_of_another_size_is_refused_with_the_size_to_set(digits, store):
    config = digits("representation.sampler={name: uniform_batch, per_class: 3}")
    with pytest.raises(LongtailError, match=r"batch_size: must be 30 .* got 64"):
        run_stage_one(config, store)


# -- stopping and going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["instance_balanced", "class_balanced", "progressively_balanced"])
@pytest.mark.parametrize("optimizer", ["sgd", "{name: adamw, lr: 1e-3}"])
def test_resume_inside_an_epoch_is_bitwise_equal(digits, tmp_path, monkeypatch, sampler, optimizer):
    overrides = [
        f"representation.sampler={sampler}",
        f"representation.optimizer={optimizer}",
        "representation.augment={pad: 1, flip: true, mixup: 0.2}",
    ]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(*overrides), whole)

    eager = digits(*overrides, "system.checkpoint_minutes=1e-9")  # a checkpoint after every step
    save, calls = Checkpoints.save, []

    def save_then_die(self, network, optimizer, memory, **options):
        saved = save(self, network, optimizer, memory, **options)
        calls.append(memory.position)
        if len(calls) in (3, 7):  # inside the first and the second epoch of six batches
            raise Stop
        return saved

    monkeypatch.setattr(Checkpoints, "save", save_then_die)
    for _ in range(2):
        with pytest.raises(Stop):
            run_stage_one(eager, broken)
    assert {(p.epoch, p.batch > 0) for p in calls} >= {(0, True)}
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(*overrides), whole), weights(eager, broken))
    rows = [
        [json.loads(line) for line in (folder_of(c, s) / "history.jsonl").read_text().splitlines()]
        for c, s in ((digits(*overrides), whole), (eager, broken))
    ]
    for row, other in zip(*rows, strict=True):
        assert row["loss"] == other["loss"] and row["accuracy"] == other["accuracy"]


class Dropping(torch.nn.Module):
    """A backbone that draws random numbers in every training step."""

    num_features, last_block = 64, ()

    def __init__(self, in_channels=3):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64 * in_channels, 64), torch.nn.ReLU()
        )

    def forward(self, inputs):
        return self.layers(inputs)


def test_a_network_that_drops_features_at_random_resumes_bitwise_equal(
    digits, tmp_path, stop_at_save, monkeypatch
):
    from longtail.stages.backbones import BACKBONES

    monkeypatch.setitem(BACKBONES._objects, "small_cnn", lambda in_channels, **_: Dropping(in_channels))
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(), whole)
    torch.rand(7)  # the global generator stands elsewhere
    eager = digits("system.checkpoint_minutes=1e-9")
    stop_at_save(3)
    with pytest.raises(KeyboardInterrupt):
        run_stage_one(eager, broken)
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(), whole), weights(eager, broken))


def test_resume_after_the_last_short_batch_of_an_epoch_is_bitwise_equal(digits, tmp_path, monkeypatch):
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(), whole)
    save = Checkpoints.save

    def die_before_validation(self, network, optimizer, memory, **options):
        saved = save(self, network, optimizer, memory, **options)
        if memory.position.batch == 6:  # of six, the last holds 49 samples
            raise Stop
        return saved

    eager = digits("system.checkpoint_minutes=1e-9")
    monkeypatch.setattr(Checkpoints, "save", die_before_validation)
    for epoch in range(2):
        with pytest.raises(Stop):
            run_stage_one(eager, broken)
        assert (folder_of(eager, broken) / f"epoch-{epoch:04d}-batch-000006.state").exists()
    monkeypatch.setattr(Checkpoints, "save", save)
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(), whole), weights(eager, broken))


def test_checkpoints_inside_an_epoch_go_when_the_epoch_is_done(digits, store):
    config = digits("system.checkpoint_minutes=1e-9")
    run_stage_one(config, store)
    assert not list(folder_of(config, store).glob("*batch*"))


def test_nan_loss_stops_naming_epoch_and_batch_and_keeps_the_last_checkpoint(digits, store, monkeypatch):
    from longtail.stages.losses.cross_entropy import CrossEntropy

    plain, seen = CrossEntropy.forward, []

    def poisoned(self, logits, labels):
        seen.append(1)
        return plain(self, logits, labels) * (float("nan") if len(seen) == 3 + 6 + 3 else 1)

    monkeypatch.setattr(CrossEntropy, "forward", poisoned)  # 3 probing steps, an epoch of 6, two more
    config = digits("representation.epochs=3")
    with pytest.raises(NonFiniteLoss, match="loss is nan at epoch 2, batch 3"):
        run_stage_one(config, store)
    tensors, facts, _ = load_tensors(folder_of(config, store) / "epoch-0001.safetensors")
    assert facts == {"epochs": 1, "batches": 0}
    assert all(np.isfinite(array).all() for array in tensors.values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    import torch

    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight[0, 0] = torch.inf
    from longtail.pipeline.training.state_tensors import network_tensors

    with pytest.raises(LongtailError, match="weight"):
        network_tensors(network)


# -- processes that die -------------------------------------------------------------------------------------


def represent(root: str, arguments: list[str], started, last_step: int | None) -> None:
    """A process that runs ``longtail represent``, says when training begins and dies after `last_step`."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from longtail.pipeline.cli import main
    from longtail.pipeline.process.progress import TrainingProgress

    os.close(2)
    os.open(os.devnull, os.O_WRONLY)
    begin = TrainingProgress.__enter__
    TrainingProgress.__enter__ = lambda bar: (started.set(), begin(bar))[1]
    steps = itertools.count(1)

    def die_after_the_last_step(*_) -> None:
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(die_after_the_last_step)
    try:
        main(["--root", root, "represent", "digits_lt", *arguments])
    finally:
        started.set()  # it may have found everything done


@pytest.fixture(scope="module")
def processes():
    """Processes that fork from a server which has torch imported, so each starts in a moment."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "sklearn.datasets", "longtail.stages.representation", "longtail.pipeline.training.train"]
    )
    return context


def start(processes, root: Path, arguments: list[str], last_step: int | None = None):
    started = processes.Event()
    process = processes.Process(target=represent, args=(str(root), arguments, started, last_step))
    process.start()
    assert started.wait(60)
    return process


def test_killed_after_random_steps_the_final_weights_are_bitwise_equal(digits, processes, tmp_path):
    arguments = ["representation.epochs=10", "system.threads=1", "system.device=cpu"]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    config = digits(*arguments)
    run_stage_one(config, whole)
    arguments.append("system.checkpoint_minutes=1e-9")  # after every step: inside epochs, too
    draw, kills, ended = random.Random(0), 0, False
    while not ended:  # of 60 steps, and each attempt gets some further
        process = start(processes, broken.root, arguments, last_step=draw.randint(6, 24))
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
        ended = process.exitcode == 0
        kills += not ended
    assert kills >= 3
    assert_same_weights(weights(config, whole), weights(config, broken))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_checkpoints_inside_the_epoch_and_sets_the_exit_status(
    digits, processes, tmp_path, number, status
):
    store = Store(tmp_path)
    arguments = ["representation.epochs=2000", "system.threads=1", "system.device=cpu"]
    config = digits(*arguments)
    process = start(processes, store.root, arguments)
    deadline = time.monotonic() + 60
    while not list(folder_of(config, store).glob("epoch-*.state")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == status
    newest = state_files(folder_of(config, store))[-1]
    facts = load_tensors(newest)[1]
    assert facts["batches"] > 0


def test_two_processes_on_the_same_run_leave_one_valid_result(digits, processes, tmp_path):
    arguments = ["representation.epochs=20", "system.threads=1", "system.device=cpu"]
    alone, shared = Store(tmp_path / "alone"), Store(tmp_path / "shared")
    for store, count in ((alone, 1), (shared, 3)):
        running = [start(processes, store.root, arguments) for _ in range(count)]
        for process in running:
            process.join(120)
            assert process.exitcode == 0
    config = digits(*arguments)
    assert_same_weights(weights(config, alone), weights(config, shared))


# -- damage -------------------------------------------------------------------------------------------------


def test_every_cut_and_every_flipped_bit_of_a_tensor_file_is_found(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    save_tensors(path, tensors, {"epochs": 1})
    whole = path.read_bytes()
    loaded, facts, _ = load_tensors(path)
    np.testing.assert_array_equal(loaded["a"], tensors["a"])
    assert loaded["n"].shape == () and facts == {"epochs": 1}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            load_tensors(path)
    padding = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            again, read_facts, _ = load_tensors(path)
        except Damaged:
            continue
        padding += 1  # white space of the header: nothing that is read
        assert read_facts == facts and all(np.array_equal(again[name], tensors[name]) for name in tensors)
    assert padding <= 8


@pytest.mark.parametrize("kind", ["safetensors", "state"])
@pytest.mark.parametrize("how", ["cut", "flip", "missing"])
def test_a_damaged_checkpoint_gives_way_to_an_earlier_one(digits, tmp_path, caplog, monkeypatch, kind, how):
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    config = digits("representation.epochs=4")
    for store in (whole, broken):
        run_stage_one(config, store)
    folder = folder_of(config, broken)
    (folder / "DONE").unlink()
    path = folder / f"epoch-0004.{kind}"
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:-7])
    else:
        content[-100] ^= 4
        path.write_bytes(content)
    import logging

    monkeypatch.setattr(logging.getLogger("longtail"), "propagate", True)
    run_stage_one(config, broken)
    if not (how == "missing" and kind == "state"):
        assert "an earlier checkpoint takes its place" in caplog.text and "epoch-0004" in caplog.text
    assert_same_weights(weights(config, whole), weights(config, broken))


def test_best_weights_of_another_epoch_are_not_taken_for_the_best(digits, store):
    config = digits("representation.epochs=4")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    best = load_tensors(folder / "best.safetensors")[0]
    (folder / "DONE").unlink()
    other = {name: array + 1 for name, array in best.items()}
    save_tensors(folder / "best.safetensors", other, {"epoch": 1})  # a slower process's, say
    run_stage_one(config, store)
    assert_same_weights(best, load_tensors(folder / "best.safetensors")[0])


def test_weights_that_are_gone_are_trained_again(digits, store):
    config = digits("representation.epochs=3")
    run_stage_one(config, store)
    before = weights(config, store)
    (folder_of(config, store) / "epoch-0003.safetensors").unlink()
    run_extraction(config, store)
    assert_same_weights(before, weights(config, store))


def test_fresh_stopped_halfway_leaves_a_run_that_is_not_done(digits, store, monkeypatch):
    import shutil

    config = digits()
    run_stage_one(config, store)

    def stop(path):
        raise Stop

    monkeypatch.setattr(shutil, "rmtree", stop)
    with pytest.raises(Stop):
        run_stage_one(config, store, fresh=True)
    assert store.done("representations", representation_id(store, config)) is None


@pytest.mark.parametrize("content", ["garbage", "{}", "[]"])
def test_damaged_provenance_does_not_stop_a_run(digits, store, content):
    config = digits()
    run_stage_one(config, store)
    folder = folder_of(config, store)
    (folder / "DONE").unlink()
    (folder / "provenance.json").write_text(content)
    run_stage_one(config, store)
    assert json.loads((folder / "provenance.json").read_text())["environment"]["threads"] == 1


def test_validation_never_predicts_a_class_without_training_samples(digits, store):
    config = digits(
        "data={classes: [4, 9], profile: binary, total: 4, majority_ratio: 0.95}",
        "data.max_count=null",
        "data.imbalance_factor=null",
    )
    run_stage_one(config, store)
    rows = [
        json.loads(line) for line in (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    ]
    assert all(row["validation"]["balanced_accuracy"] == 0.5 for row in rows)


def test_a_state_of_other_weights_is_not_used(digits, store):
    config = digits("representation.epochs=3")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    (folder / "DONE").unlink()
    before = weights(config, store)
    (folder / "epoch-0003.safetensors").write_bytes((folder / "epoch-0002.safetensors").read_bytes())
    run_stage_one(config, store)
    assert_same_weights(before, weights(config, store))


def test_a_checkpoint_of_another_network_is_refused_with_both_shapes(digits, store):
    import torch

    from longtail.pipeline.training.state_tensors import load_network

    tensors = {"weight": np.zeros((3, 4), np.float32), "bias": np.zeros(3, np.float32)}
    with pytest.raises(LongtailError, match=r"weight: network \(5, 4\), file \(3, 4\)"):
        load_network(torch.nn.Linear(4, 5), tensors, Path("x.safetensors"))


def test_pickle_offered_as_a_checkpoint_is_refused_without_side_effect(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = tmp_path / "epoch-0001.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(Damaged):
        load_tensors(path)
    assert not (tmp_path / "executed").exists()


def test_resume_keeps_the_threads_it_began_with(digits, store, monkeypatch):
    import logging

    import torch

    before = torch.get_num_threads()
    try:
        config = digits("system.threads=1")
        stop = Checkpoints.save

        def save_then_die(self, *args, **options):
            stop(self, *args, **options)
            raise Stop

        monkeypatch.setattr(Checkpoints, "save", save_then_die)
        with pytest.raises(Stop):
            run_stage_one(config, store)
        monkeypatch.setattr(Checkpoints, "save", stop)
        warnings = []
        monkeypatch.setattr(
            logging.getLogger("longtail"), "warning", lambda text, *args: warnings.append(text % args)
        )
        run_stage_one(digits("system.threads=2"), store)
        assert torch.get_num_threads() == 1
        assert warnings == ["going on as the run began: threads 1"]
    finally:
        torch.set_num_threads(before)


def test_stop_request_is_noted_once_and_handlers_are_restored():
    from longtail.pipeline.process.interrupt import StopRequests

    before = signal.getsignal(signal.SIGTERM)
    with StopRequests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.requested == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert Interrupted(signal.SIGTERM).signum == 15
    assert Position().batch == 0
