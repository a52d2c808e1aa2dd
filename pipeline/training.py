"""Stage one with a memory: builds what a configuration names, trains, checkpoints, resumes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import strict_yaml
from pipeline.checkpoint import Best, Checkpoints, Memory, load_network, load_tensors
from pipeline.checks import warn_of_splits
from pipeline.components import registry
from pipeline.config import Config, Representation
from pipeline.environment import (
    Environment,
    earlier_environment,
    keep_earlier,
    provenance,
    resolve,
    resolve_device,
    worth_compiling,
)
from pipeline.errors import ConfigError, Damaged, DamagedWeights, LongtailError, dead_workers_told
from pipeline.interrupt import StopRequests
from pipeline.progress import TrainingProgress
from pipeline.publish import publish_bytes, publish_json
from pipeline.start import check_input, continue_run, load_weights
from pipeline.store import Store
from stages.parameters import Problems

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch.optim.swa_utils import AveragedModel

    from stages.data import Splits
    from stages.data.batches import Batches
    from stages.losses.base import Loss
    from stages.meta_weights.learned import LearnedWeights
    from stages.network import Network
    from stages.representation import EpochSummary

log = logging.getLogger("longtail")


@dataclass
class Trainee:
    """Everything that one training run works with."""

    network: Network
    batches: Batches
    loss: Loss
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    reweighting: LearnedWeights | None
    device: str
    precision: str


def load_splits(config: Config) -> Splits:
    """The data the configuration names, split and made long-tailed; warns of what has no samples."""
    workers = None if config.system.workers == "auto" else config.system.workers
    splits = registry("datasets").create(
        config.data.name, workers=workers, meta_per_class=config.meta_per_class, **config.data.params
    )
    warn_of_splits(config, splits)
    return splits


def build_reweighting(config: Config, splits: Splits, device: str) -> LearnedWeights | None:
    """What learns sample weights, as configured; None when nothing does."""
    from stages.meta_weights.learned import LearnedWeights
    from stages.randomness import torch_seed

    spec = config.representation.reweighting
    if spec is None:
        return None
    with torch_seed(config.seed, "reweighting"):
        rule = registry("reweightings").create(spec.name, **spec.params)
    given = {"seed": config.seed, "num_classes": splits.num_classes, "flipped": splits.flipped}
    return LearnedWeights(rule, splits.meta, **given, device=device)


def build_loss(config: Config, splits: Splits) -> Loss:
    """The loss, made for the training counts; LongtailError for one that needs what is not there."""
    spec = config.representation.loss
    loss = registry("losses").create(spec.name, splits.class_counts, **spec.params)
    if loss.needs_validation and not len(splits.val):
        raise LongtailError(
            f"representation.loss: {spec.name} goes by validation accuracy, and there are no validation "
            "samples; set data.validation_per_class"
        )
    return loss


def build_network(config: Config, splits: Splits, loss: Loss) -> Network:
    """The network with the head that `loss` is made for, its weights drawn from the seed."""
    from stages.heads import build_head
    from stages.network import Network
    from stages.randomness import torch_seed

    settings = config.representation
    with torch_seed(config.seed, "weights"):
        backbone = registry("backbones").create(
            settings.backbone.name, in_channels=splits.input_shape[0], **settings.backbone.params
        )
        named = {} if settings.head is None else {"name": settings.head.name, **settings.head.params}
        try:
            head = build_head(loss, backbone.num_features, splits.num_classes, **named)
        except Problems as error:
            raise ConfigError([p.under("representation") for p in error.problems]) from None
        return Network(backbone, head)


def build(config: Config, splits: Splits, device: str, precision: str, channels_last: bool) -> Trainee:
    """Network, batches, loss and optimiser as configured, on `device`."""
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from stages.corrections import corrected_twice
    from stages.data.batches import Batches
    from stages.data.transforms import Augment
    from stages.optimizers import parameter_groups

    settings = config.representation
    loss = build_loss(config, splits)
    network = build_network(config, splits, loss)
    check_input(settings, network.backbone, splits)
    if settings.weights is not None:
        load_weights(settings, network, splits.input_shape[0])
    network = network.to(device)
    network.train_only(settings.trainable)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    batches = Batches(
        splits.train,
        build_sampler(config, splits.train.labels, splits.num_classes),
        batch_size=settings.batch_size,
        seed=config.seed,
        augment=Augment(**settings.augment.full()),
        device=device,
        channels_last=channels_last,
    )
    said = corrected_twice(
        loss, settings.loss.name, batches.sampler, settings.sampler.name, epoch=max(settings.epochs - 1, 0)
    )
    if said is not None:
        log.warning("%s", said)
    undecayed = [*settings.no_weight_decay, *(["head_bias"] if loss.prior_bias else [])]
    optimizer = registry("optimizers").create(
        settings.optimizer.name,
        parameter_groups(network, undecayed),
        **{**settings.optimizer.params, "lr": learning_rate(settings)},
    )
    average = None
    if settings.ema is not None:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    reweighting = build_reweighting(config, splits, device)
    return Trainee(network, batches, loss.to(device), optimizer, average, reweighting, device, precision)


def learning_rate(settings: Representation) -> float:
    """The base learning rate, scaled with the batch size where ``lr_batch_size`` says what it is meant for.

    Source: Goyal 2017 (arXiv 1706.02677), the linear scaling rule.
    """
    lr = settings.optimizer.full()["lr"]
    if settings.lr_batch_size is None:
        return lr
    scaled = lr * settings.batch_size / settings.lr_batch_size
    log.info(
        "learning rate %g for batches of %d: %g for %d",
        lr,
        settings.lr_batch_size,
        scaled,
        settings.batch_size,
    )
    return scaled


def build_sampler(config: Config, labels: np.ndarray, num_classes: int):
    """The sampler over training labels (N,); LongtailError when it needs another batch size."""
    settings = config.representation
    samplers, params = registry("samplers"), dict(settings.sampler.params)
    if "epochs" in samplers.describe(settings.sampler.name).parameters:
        params.setdefault("epochs", settings.epochs)
    sampler = samplers.create(settings.sampler.name, labels, num_classes, seed=config.seed, **params)
    needed = sampler.required_batch_size
    if needed is not None and needed != settings.batch_size:
        raise LongtailError(
            f"representation.batch_size: must be {needed} with sampler {settings.sampler.name} "
            f"(per_class times the classes present), got {settings.batch_size}"
        )
    return sampler


def train(config: Config, store: Store, run_id: str) -> None:
    """Train to the end from the newest intact checkpoint, or from scratch, and publish ``DONE``.

    The run's folder comes to exist with its first step: one that is refused before leaves none. Raises
    Interrupted after a checkpoint when SIGINT or SIGTERM asked to stop.
    """
    from stages.representation import Position, train_representation

    folder = store.folder("representations", run_id)
    resolve_device(config.system.device)  # refused before the data are read
    splits = load_splits(config)
    settings = config.representation
    patience = settings.early_stopping
    if patience is not None and not len(splits.val):
        raise LongtailError(
            "representation.early_stopping: needs validation samples, and there are none; hold some out "
            "(data.validation_per_class=5, say)"
        )
    trainee, environment = prepare(config, splits, folder)
    checkpoints = Checkpoints(folder)
    log.info("representation %s: %s", run_id, "training" if settings.epochs else "the weights as given")
    carried = {"average": trainee.average, "reweighting": trainee.reweighting}
    memory = checkpoints.resume(trainee.network, trainee.optimizer, **carried)
    if memory is None:
        memory = first_memory(config, store, trainee, checkpoints)
    if memory.class_accuracy is not None:
        trainee.loss.set_class_accuracy(memory.class_accuracy)

    with (
        dead_workers_told(),
        StopRequests() as stop,
        TrainingProgress(settings.epochs, len(trainee.batches), memory.position) as bar,
    ):
        saved_at = time.monotonic()
        begin = cache(lambda: publish_beginning(folder, config, splits, environment))  # once

        def after_step(position: Position) -> None:
            nonlocal saved_at
            begin()
            bar.step()
            due = time.monotonic() - saved_at > 60 * config.system.checkpoint_minutes
            if due or stop.requested is not None:
                here = replace(memory, position=position)
                checkpoints.save(trainee.network, trainee.optimizer, here, **carried)
                saved_at = time.monotonic()
            stop.raise_if_requested()

        for summary in train_representation(
            trainee.network,
            trainee.batches,
            trainee.loss,
            trainee.optimizer,
            schedule=registry("schedules").create(settings.schedule.name, **settings.schedule.params),
            epochs=memory.position.epoch if is_stalled(memory, patience) else settings.epochs,
            validate=validator(config, splits, environment.device),
            start=memory.position,
            clip_grad_norm=settings.clip_grad_norm,
            accumulation=settings.accumulation,
            average=trainee.average,
            precision=environment.precision,
            compile=environment.compile,
            reweighting=trainee.reweighting,
            after_step=after_step,
        ):
            memory, is_best = remember(memory, summary)
            memory = checkpoints.save(trainee.network, trainee.optimizer, memory, is_best=is_best, **carried)
            publish_history(folder, memory)
            bar.epoch(memory.history[-1])
            saved_at = time.monotonic()
            if is_finished(store, run_id):
                log.info("another process has finished the same run")
                return
            if is_stalled(memory, patience):
                log.info("no better epoch in %d: training ends after %d", patience, summary.epoch)
                break
        begin()
        publish_history(folder, memory)
        finish(store, run_id, memory, checkpoints, store.data_identity(config))
        stop.raise_if_requested()


def first_memory(config: Config, store: Store, trainee: Trainee, checkpoints: Checkpoints) -> Memory:
    """What a run remembers before its first step: nothing, or all of the run it continues."""
    from stages.representation import Position

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
        publish_json(began_as, {**provenance(environment), "data": describe(splits)})


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

    from stages.features import forward_rows
    from stages.metrics import evaluate

    if not len(splits.val):
        return None
    val = splits.val.to(device)
    thresholds = {"many": config.evaluation.many, "few": config.evaluation.few}

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
    from stages.representation import Position

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
