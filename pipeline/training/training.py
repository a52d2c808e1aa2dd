"""Stage one with a memory: trains what a configuration names, checkpoints, resumes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import registry
from longtail.pipeline.config.imports import origins
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import Damaged, DamagedWeights, LongtailError
from longtail.pipeline.files.publish import publish_bytes, publish_json
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.process.dead_workers import dead_workers_told
from longtail.pipeline.process.environment import (
    Environment,
    earlier_environment,
    keep_earlier,
    provenance,
    resolve,
    resolve_device,
    worth_compiling,
)
from longtail.pipeline.process.interrupt import StopRequests
from longtail.pipeline.process.progress import TrainingProgress
from longtail.pipeline.store.identity import data_identity
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Best, Checkpoints, Memory, load_network
from longtail.pipeline.training.continuation import continue_run
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.training.tensorboard import scalars
from longtail.pipeline.training.trainee import Trainee
from longtail.pipeline.training.trainee_building import build, build_loss, build_network
from longtail.stages.wording import counted

if TYPE_CHECKING:
    from longtail.stages.data import Splits
    from longtail.stages.network import Network
    from longtail.stages.representation import EpochSummary, Position

log = logging.getLogger("longtail")


def train(config: Config, store: Store, run_id: str) -> None:
    """Train to the end from the newest intact checkpoint, or from scratch, and publish ``DONE``.

    The run's folder comes to exist with its first step: one that is refused before leaves none. Raises
    Interrupted after a checkpoint when SIGINT or SIGTERM asked to stop.
    """
    from longtail.stages.representation import train_representation

    resolve_device(config.system.device)  # refused before the data are read
    splits = load_splits(config)
    settings = config.representation
    if settings.early_stopping is not None and not len(splits.val):
        raise LongtailError(
            "representation.early_stopping: needs validation samples, and there are none; hold some out "
            "(data.validation_per_class=5, say)"
        )
    folder = store.folder("representations", run_id)
    trainee, environment = prepare(config, splits, folder)
    log.info("representation %s: %s", run_id, "training" if settings.epochs else "the weights as given")
    memory = resumed(config, store, trainee, Checkpoints(folder))
    steps = len(trainee.batches)

    with (
        dead_workers_told(),
        StopRequests() as stop,
        TrainingProgress(settings.epochs, steps, memory.position) as bar,
        scalars(config, folder, memory) as log_epoch,
    ):
        session = Session(config, splits, trainee, environment, folder, memory, stop, bar)
        for summary in train_representation(
            trainee.network,
            trainee.batches,
            trainee.loss,
            trainee.optimizer,
            schedule=registry("schedules").create(settings.schedule.name, **settings.schedule.params),
            epochs=memory.position.epoch if is_stalled(memory, settings.early_stopping) else settings.epochs,
            validate=validator(config, splits, environment.device),
            start=memory.position,
            clip_grad_norm=settings.clip_grad_norm,
            accumulation=settings.accumulation,
            average=trainee.average,
            precision=environment.precision,
            compile=environment.compile,
            reweighting=trainee.reweighting,
            after_step=session.after_step,
        ):
            session.after_epoch(summary)
            log_epoch(session.memory.history[-1])
            if is_finished(store, run_id):
                log.info("another process has finished the same run")
                return
            if is_stalled(session.memory, settings.early_stopping):
                patience = counted(settings.early_stopping, "epoch")
                log.info("no better epoch in %s: training ends after %d", patience, summary.epoch)
                break
        session.end()
        finish(store, run_id, session.memory, session.checkpoints, data_identity(store, config))
        stop.raise_if_requested()


class Session:
    """A run at work: what it remembers, and how that is kept on disk."""

    def __init__(self, config, splits, trainee, environment, folder, memory, stop, bar):
        self.trainee, self.checkpoints, self.memory = trainee, Checkpoints(folder), memory
        self.stop, self.bar = stop, bar
        self.interval = 60 * config.system.checkpoint_minutes  # seconds
        self.saved_at = time.monotonic()
        self.begin = cache(lambda: publish_beginning(folder, config, splits, environment))  # once

    def after_step(self, position: Position) -> None:
        """Checkpoint when one is due; raises Interrupted when a signal asked to stop."""
        self.begin()
        self.bar.step()
        if time.monotonic() - self.saved_at > self.interval or self.stop.requested is not None:
            self._save(replace(self.memory, position=position))
        self.stop.raise_if_requested()

    def after_epoch(self, summary: EpochSummary) -> None:
        """Checkpoint, and write the history."""
        memory, is_best = remember(self.memory, summary)
        self.memory = self._save(memory, is_best=is_best)
        publish_history(self.checkpoints.folder, self.memory)
        self.bar.epoch(self.memory.history[-1])

    def end(self) -> None:
        """Leave what a run leaves, even one that made no step."""
        self.begin()
        publish_history(self.checkpoints.folder, self.memory)

    def _save(self, memory: Memory, **options: bool) -> Memory:
        trainee = self.trainee
        carried = {"average": trainee.average, "reweighting": trainee.reweighting}
        saved = self.checkpoints.save(trainee.network, trainee.optimizer, memory, **carried, **options)
        self.saved_at = time.monotonic()
        return saved


def resumed(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """What the newest intact checkpoint remembers, loaded into `trainee`; else a beginning."""
    carried = {"average": trainee.average, "reweighting": trainee.reweighting}
    memory = checkpoints.resume(trainee.network, trainee.optimizer, **carried)
    if memory is None:
        memory = first_memory(config, store, trainee, checkpoints)
    if memory.class_accuracy is not None:
        trainee.loss.set_class_accuracy(memory.class_accuracy)
    return memory


def first_memory(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """What a run remembers before its first step: nothing, or all of the run it continues."""
    from longtail.stages.representation import Position

    if config.representation.init is not None:
        return continue_run(config, store, trainee, checkpoints)
    memory = Memory(Position(), [], Best())
    if not config.representation.epochs:  # the given weights are the result
        memory = checkpoints.save(trainee.network, trainee.optimizer, memory, is_best=True)
    return memory


def is_stalled(memory: Memory, patience: int | None) -> bool:
    """True when the best epoch lies `patience` epochs back."""
    return patience is not None and memory.position.epoch - memory.best.epoch >= patience


def prepare(config: Config, splits: Splits, folder: Path) -> tuple[Trainee, Environment]:
    """The trainee in the environment its run began with, which is chosen at the first start."""
    import torch

    environment = resolve(config.system)
    earlier = earlier_environment(folder / "provenance.json")
    if earlier is not None:
        environment = keep_earlier(environment, earlier)
    torch.set_num_threads(environment.threads)
    trainee = build(config, splits, environment.device, environment.precision, environment.channels_last)
    if earlier is None:
        epochs = config.representation.epochs
        may_compile = config.system.compile == "auto" and epochs and trainee.reweighting is None
        if may_compile and worth_compiling(trainee, config.representation):
            environment = replace(environment, compile=True)
    return trainee, environment


def publish_beginning(folder: Path, config: Config, splits: Splits, environment: Environment) -> None:
    """Write what a run is and where it began, unless that is there."""
    began_as = folder / "provenance.json"
    if not began_as.exists() or earlier_environment(began_as) is None:
        publish_bytes(folder / "config.yaml", strict_yaml.dump(run_settings(config)).encode())
        imported = origins(config.data, config.representation)
        own = {"imports": imported} if imported else {}
        publish_json(began_as, {**provenance(environment), "data": describe(splits), **own})


def describe(splits: Splits) -> dict[str, Any]:
    """What training has to work with: labels by class, how many of them are wrong, samples held out."""
    import numpy as np

    found = {"class_names": splits.class_names, "class_counts": splits.class_counts.tolist()}
    if splits.flipped is not None:
        found["flipped"] = int(splits.flipped.sum())
    if splits.meta is not None:
        found["meta_counts"] = np.bincount(splits.meta.labels, minlength=splits.num_classes).tolist()
    return found


def validator(config: Config, splits: Splits, device: str) -> Callable[[Network], dict[str, Any]] | None:
    """What judges a network on the validation split; None when that is empty."""
    import numpy as np

    from longtail.stages.features import forward_rows
    from longtail.stages.metrics.scores import evaluate

    if not len(splits.val):
        return None
    val = splits.val.to(device)
    thresholds = config.evaluation.thresholds

    def validate(network: Network) -> dict[str, Any]:
        scores = forward_rows(network, val, np.arange(len(val)), device=device)
        scores[:, splits.class_counts == 0] = -np.inf
        return evaluate(scores, val.labels, splits.class_counts, **thresholds)

    return validate


def run_settings(config: Config) -> dict[str, Any]:
    """The settings that make a representation what it is."""
    return {"seed": config.seed, "data": config.data.full(), "representation": config.representation.full()}


def remember(memory: Memory, summary: EpochSummary) -> tuple[Memory, bool]:
    """`memory` after one more epoch, and whether it is the best so far (the last one without validation)."""
    from longtail.stages.representation import Position

    found = summary.validation
    row: dict[str, Any] = {
        "epoch": summary.epoch,
        "loss": summary.loss,
        "learning_rate": summary.learning_rate,
        "accuracy": summary.accuracy,
        "seconds": summary.seconds,
        "images_per_second": summary.images_per_second,
    }
    if summary.loss_state is not None:
        row["loss_state"] = summary.loss_state
    if summary.learned_weights is not None:
        row |= {"learned_weights": summary.learned_weights, "weighing_seconds": summary.weighing_seconds}
    best, is_best = memory.best, found is None
    if found is not None:
        keys = ("accuracy", "balanced_accuracy", "many", "medium", "few", "class_accuracy_std")
        row["validation"] = {key: found[key] for key in keys}
        is_best = found["balanced_accuracy"] > best.balanced_accuracy
    if is_best:
        best = Best(summary.epoch, found["balanced_accuracy"] if found else -1.0)
    class_accuracy = found["class_accuracy"] if found else None
    return Memory(Position(summary.epoch), [*memory.history, row], best, class_accuracy), is_best


def publish_history(folder: Path, memory: Memory) -> None:
    """Write ``history.jsonl`` whole: a line an epoch."""
    publish_bytes(folder / "history.jsonl", "".join(json.dumps(r) + "\n" for r in memory.history).encode())


def is_finished(store: Store, run_id: str) -> bool:
    """True when a run is done and its best weights are there (a slower twin may have replaced them)."""
    done = store.done("representations", run_id)
    try:
        if done is not None:
            Checkpoints(store.folder("representations", run_id)).check_best(done["best"]["tensors"])
    except Damaged:
        return False
    return done is not None


def finish(store: Store, run_id: str, memory: Memory, checkpoints: Checkpoints, data: dict[str, Any]) -> None:
    """Publish ``DONE`` with what the last and the best weights hash to, and the data's identity."""
    folder, best, epochs = checkpoints.folder, memory.best, memory.position.epoch
    checkpoints.check_best(best.tensors)
    files = {"last": f"epoch-{epochs:04d}.safetensors", "best": "best.safetensors"}
    facts = {
        which: {"file": name, "tensors": load_tensors(folder / name)[2]} for which, name in files.items()
    }
    facts["best"]["epoch"] = best.epoch
    facts = {"epochs": epochs, "data": data, **facts}
    store.finish("representations", run_id, facts, list(files.values()))


def trained_network(config: Config, store: Store, run_id: str, splits: Splits, which: str) -> Network:
    """The finished run's network with its `which` (last or best) weights, verified."""
    done = store.done("representations", run_id)
    path = store.folder("representations", run_id) / done[which]["file"]
    try:
        tensors, _, found = load_tensors(path)
        if found != done[which]["tensors"]:
            raise Damaged(f"{path}: is not the file this run finished with")
    except FileNotFoundError:
        raise DamagedWeights(f"{path}: is missing") from None
    except Damaged as error:
        raise DamagedWeights(str(error)) from None
    network = build_network(config, splits, build_loss(config, splits))
    load_network(network, tensors, path)
    return network
