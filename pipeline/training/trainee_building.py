"""What a training run works with, as the configuration names it: network, loss, batches, optimiser."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.sections import Representation
from longtail.pipeline.config.setting_names import settings_named
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.training.expected_pictures import check_input
from longtail.pipeline.training.initial_weights import load_weights
from longtail.pipeline.training.trainee import Trainee
from longtail.stages.parameters import Problem, Problems
from longtail.stages.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from longtail.stages.data import Splits
    from longtail.stages.data.pictures.batches import Batches
    from longtail.stages.losses.base import Loss
    from longtail.stages.meta_weights.learned import LearnedWeights
    from longtail.stages.network import Network

log = logging.getLogger("longtail")


def build_reweighting(config: Config, splits: Splits, device: str) -> LearnedWeights | None:
    """The learned sample weights as configured; None if none are configured."""
    from longtail.stages.meta_weights.learned import LearnedWeights
    from longtail.stages.randomness import torch_seed

    spec = config.representation.reweighting
    if spec is None:
        return None
    with torch_seed(config.seed, "reweighting"):
        rule = registry("reweightings").create(spec.name, **spec.params)
    given = {"seed": config.seed, "num_classes": splits.num_classes, "flipped": splits.flipped}
    return LearnedWeights(rule, splits.meta, **given, device=device)


def build_loss(config: Config, splits: Splits) -> Loss:
    """The loss, made for the training counts; LongtailError for one that lacks the validation it needs."""
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
    from longtail.stages.heads import build_head
    from longtail.stages.network import Network
    from longtail.stages.randomness import torch_seed

    settings = config.representation
    with torch_seed(config.seed, "weights"):
        with settings_named({"image_size": "representation.backbone.image_size"}):
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
    batches = build_batches(config, splits, device, channels_last)
    warn_of_double_correction(settings, loss, batches.sampler)
    optimizer = build_optimizer(settings, network, loss)
    average = None
    if settings.ema is not None:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    reweighting = build_reweighting(config, splits, device)
    if settings.epochs:
        keep_batches_large_enough(settings, network, batches, reweighting, splits.input_shape)
    return Trainee(network, batches, loss.to(device), optimizer, average, reweighting, device, precision)


def build_batches(config: Config, splits: Splits, device: str, channels_last: bool) -> Batches:
    """The training split in batches on `device`, sampled and augmented as configured."""
    from longtail.stages.data.pictures.augment import Augment
    from longtail.stages.data.pictures.batches import Batches

    settings = config.representation
    return Batches(
        splits.train,
        build_sampler(config, splits.train.labels, splits.num_classes),
        batch_size=settings.batch_size,
        seed=config.seed,
        augment=Augment(**settings.augment.full()),
        device=device,
        channels_last=channels_last,
    )


def keep_batches_large_enough(
    settings: Representation,
    network: Network,
    batches: Batches,
    reweighting: LearnedWeights | None,
    input_shape: tuple[int, ...],
) -> None:
    """Let no batch, and no piece of one, hold a single sample where the network's batch norm needs two.

    A last batch of one joins the batch before, and a batch is computed in fewer pieces. ConfigError where no
    batch can hold two. Networks that learn from one sample train as they always did.
    """
    from longtail.stages.training.smallest_batch import smallest_batch

    total, size, pieces = len(batches.sampler), settings.batch_size, settings.accumulation
    last = total % size or size
    clean = 2 if reweighting is None else reweighting.clean_samples
    if min(total, size, last) >= 2 * pieces and clean > 1:
        return
    batches.smallest = smallest_batch(network, input_shape)
    if batches.smallest == 1:
        return
    shape = "×".join(map(str, input_shape[1:]))
    need = f"batch norm of {settings.backbone.name} needs two samples with pictures of {shape} pixels"
    problems = [
        Problem(setting, f"{rule} ({need}), got {value}; representation.trainable=head freezes it")
        for setting, rule, value in (
            ("data", "must have two training samples", total),
            ("representation.batch_size", "must be ≥ 2", size),
            ("representation.reweighting", "must weigh by two clean samples or more", clean),
        )
        if value == 1
    ]
    if problems:
        raise ConfigError(problems)
    if last == 1:
        log.info("the last batch of an epoch would be one sample, and %s: it joins the batch before", need)
    if min(total, size) < 2 * pieces:
        most = min(total, size) // 2
        log.warning(
            "representation.accumulation: a piece of one sample cannot be: %s, so a batch is computed in %s",
            need,
            counted(most, "piece"),
        )


def warn_of_double_correction(settings: Representation, loss: Loss, sampler) -> None:
    """Warn of a loss and a sampler that both make up for the imbalance."""
    from longtail.stages.losses.corrections import corrected_twice

    last_epoch = max(settings.epochs - 1, 0)
    warning = corrected_twice(loss, settings.loss.name, sampler, settings.sampler.name, epoch=last_epoch)
    if warning is not None:
        log.warning("%s", warning)


def build_optimizer(settings: Representation, network: Network, loss: Loss) -> torch.optim.Optimizer:
    """The optimiser of all that is trained, without decay of what the settings and the loss exempt."""
    from longtail.stages.training.optimizers import parameter_groups

    undecayed = [*settings.no_weight_decay, *(["head_bias"] if loss.prior_bias else [])]
    return registry("optimizers").create(
        settings.optimizer.name,
        parameter_groups(network, undecayed),
        **{**settings.optimizer.params, "lr": learning_rate(settings)},
    )


def learning_rate(settings: Representation) -> float:
    """The base learning rate, scaled in proportion to the batch size where ``lr_batch_size`` is given.

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
