"""Stage one with a memory: train what a configuration names, checkpoint, resume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.dead_workers import report_dead_workers
from longtail.pipeline.process.environment import (
    Environment,
    keep_earlier,
    resolve,
    resolve_device,
    worth_compiling,
)
from longtail.pipeline.process.interrupt import StopRequests
from longtail.pipeline.process.progress import TrainingProgress
from longtail.pipeline.process.provenance import earlier_environment
from longtail.pipeline.store.identity import data_identity
from longtail.pipeline.store.run_records import PROVENANCE
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Best, Checkpoints, Memory
from longtail.pipeline.training.continuation import continue_run
from longtail.pipeline.training.finished_run import is_finished, publish_done
from longtail.pipeline.training.history import is_stalled
from longtail.pipeline.training.run_files import RunFiles
from longtail.pipeline.training.session import Session
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.training.tensorboard import epoch_writer
from longtail.pipeline.training.trainee import Trainee
from longtail.pipeline.training.trainee_building import build
from longtail.stages.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from longtail.stages.data import Splits
    from longtail.stages.network import Network
    from longtail.stages.representation import EpochSummary

log = logging.getLogger("longtail")


def train(config: Config, store: Store, run_id: str) -> None:
    """Train to the end from the newest intact checkpoint, or from scratch, and publish ``DONE``.

    The run's folder comes to exist with its first step: one that is refused before leaves none. Raises
    Interrupted after a checkpoint when SIGINT or SIGTERM asked to stop.
    """
    resolve_device(config.system.device)  # refused before the data are read
    look = store.data_look(config.data.name, config.data.params)
    splits = load_splits(config)
    look.refuse_changes("reading")
    settings = config.representation
    patience = settings.early_stopping
    if patience is not None and not len(splits.val):
        raise LongtailError(
            "representation.early_stopping: needs validation samples, and there are none; hold some out "
            "(data.validation_per_class=5, say)"
        )
    folder = store.folder("representations", run_id)
    trainee, environment = prepare(config, splits, folder)
    log.info("representation %s: %s", run_id, "training" if settings.epochs else "the weights as given")
    checkpoints = Checkpoints(folder)
    memory = resume_or_start(config, store, trainee, checkpoints)

    with (
        report_dead_workers(),
        settings_named(data_settings(config.data.name)),
        StopRequests() as stop,
        TrainingProgress(settings.epochs, len(trainee.batches), memory.position) as progress,
        epoch_writer(config, folder, memory) as write_epoch,
    ):
        session = Session(
            trainee=trainee,
            checkpoints=checkpoints,
            memory=memory,
            run_files=RunFiles(config, splits, environment),
            stop=stop,
            progress=progress,
            checkpoint_interval=60 * config.system.checkpoint_minutes,
            check_data=None if _in_memory(splits) else partial(look.refuse_changes, "training"),
        )
        for summary in epochs_to_train(config, splits, environment, session):
            if is_finished(store, run_id):  # asked before anything is written in its files' place
                log.info("another process has finished the same run")
                return
            session.after_epoch(summary)
            write_epoch(session.memory.history[-1])
            if is_stalled(session.memory, patience):
                log.info(
                    "no better epoch in %s: training ends after %d",
                    counted(patience, "epoch"),
                    summary.epoch,
                )
                break
        session.end()
        look.refuse_changes("training")
        publish_done(store, run_id, session.memory, checkpoints, data_identity(store, config))
        stop.raise_if_requested()


def _in_memory(splits: Splits) -> bool:
    """Whether the training split was read once and for all."""
    from longtail.stages.data.pictures.in_memory import ImageArrays

    return isinstance(splits.train, ImageArrays)


def prepare(config: Config, splits: Splits, folder: Path) -> tuple[Trainee, Environment]:
    """The trainee in the environment its run began with, which is chosen at the first start."""
    import torch

    environment = resolve(config.system)
    earlier = earlier_environment(folder / PROVENANCE)
    if earlier is not None:
        environment = keep_earlier(environment, earlier)
    torch.set_num_threads(environment.threads)
    trainee = build(config, splits, environment.device, environment.precision, environment.channels_last)
    if earlier is None:
        epochs = config.representation.epochs
        may_compile = config.system.compile == "auto" and epochs and trainee.reweighting is None
        if may_compile and worth_compiling(trainee, config.representation):
            environment = replace(environment, compile=True)
    if environment.compile:
        log.info("the first batch of each size takes longer than the rest: the network is compiled for it")
    return trainee, environment


def resume_or_start(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """What the newest intact checkpoint remembers, loaded into `trainee`; else the start of a run."""
    memory = checkpoints.resume(trainee.network, trainee.optimizer, **trainee.extra_state)
    if memory is None:
        memory = start(config, store, trainee, checkpoints)
    if memory.class_accuracy is not None:
        # What the loss used in the last epoch; what it uses next follows from that epoch's accuracies.
        trainee.loss.restore_adapted(memory.history[-1].get("loss_state") or {})
        trainee.loss.set_class_accuracy(memory.class_accuracy)
    return memory


def start(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """What a run remembers before its first step: nothing, or all of the run it continues."""
    from longtail.stages.representation import Position

    if config.representation.init is not None:
        return continue_run(config, store, trainee, checkpoints)
    memory = Memory(Position(), [], Best())
    if not config.representation.epochs:  # the given weights are the result
        memory = checkpoints.save(trainee.network, trainee.optimizer, memory, is_best=True)
    return memory


def epochs_to_train(
    config: Config, splits: Splits, environment: Environment, session: Session
) -> Iterator[EpochSummary]:
    """Train from the session's position to the last epoch, yielding after each."""
    from longtail.stages.representation import train_representation

    settings, trainee, memory = config.representation, session.trainee, session.memory
    stalled_before = is_stalled(memory, settings.early_stopping)  # ended early, then lost its DONE
    return train_representation(
        trainee.network,
        trainee.batches,
        trainee.loss,
        trainee.optimizer,
        schedule=registry("schedules").create(settings.schedule.name, **settings.schedule.params),
        epochs=memory.position.epoch if stalled_before else settings.epochs,
        validate=validator(config, splits, environment.device),
        start=memory.position,
        after_step=session.after_step,
        clip_grad_norm=settings.clip_grad_norm,
        accumulation=settings.accumulation,
        average=trainee.average,
        precision=environment.precision,
        compile=environment.compile,
        reweighting=trainee.reweighting,
    )


def validator(config: Config, splits: Splits, device: str) -> Callable[[Network], dict[str, Any]] | None:
    """A function that scores a network on the validation split; None when that is empty."""
    import numpy as np

    from longtail.stages.features import forward_rows
    from longtail.stages.metrics.scores import evaluate

    if not len(splits.val):
        return None
    val = splits.val.to(device)
    thresholds = config.evaluation.thresholds

    def validate(network: Network) -> dict[str, Any]:
        logits = forward_rows(network, val, np.arange(len(val)), device=device)
        logits[:, splits.class_counts == 0] = -np.inf
        return evaluate(logits, val.labels, splits.class_counts, **thresholds)

    return validate
