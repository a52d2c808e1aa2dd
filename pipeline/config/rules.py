"""Settings that are well alone and impossible together. Nothing heavy is imported, no data are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtail.pipeline.config.components import registry
from longtail.stages.parameters import Problem

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config

PUBLISHED = "torchvision"  # representation.weights: torchvision, or torchvision:NAME
PUBLISHED_FOR = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50")


def disagreements(config: Config) -> list[Problem]:
    """Settings that are well alone and impossible together."""
    if config.representation is None:
        return _of_views(config)
    return [
        *_of_views(config),
        *_of_augment(config),
        *_of_published_weights(config),
        *_of_reweighting(config),
    ]


def _of_views(config: Config) -> list[Problem]:
    views = config.features.views
    if views and config.representation is None:
        return [Problem("features.views", f"must be 0: features cannot be augmented, got {views}")]
    if views and config.representation.augment.minimal().keys() <= {"mixup"}:
        said = f"needs representation.augment to differ by (pad, flip...), got {views}"
        return [Problem("features.views", said)]
    return []


def _of_reweighting(config: Config) -> list[Problem]:
    """What goes with sample weights learned for a whole batch, by derivatives of a pass that runs eager."""
    settings, found = config.representation, []
    if settings.reweighting is None:
        return []
    name, mixup = settings.reweighting.name, settings.augment.mixup

    def refuse(key: str, said: str, got: object) -> None:
        found.append(Problem(key, f"{said}, got {got}"))

    if not settings.epochs:
        refuse("representation.epochs", f"must be ≥ 1 with reweighting {name}", 0)
    if settings.accumulation > 1:
        said = f"must be 1 with reweighting {name}, which weighs a whole batch"
        refuse("representation.accumulation", said, settings.accumulation)
    if mixup:
        said = f"must be 0 with reweighting {name}: mixed samples have two labels"
        refuse("representation.augment.mixup", said, f"{mixup:g}")
    if settings.loss.full().get("normalizer") == "weights":
        said = f"must be batch with reweighting {name}, whose weights add up to 1"
        refuse("representation.loss.normalizer", said, "'weights'")
    if config.system.compile == "on":
        said = f"must be auto or off with reweighting {name}: compiled code has no forward-mode derivatives"
        refuse("system.compile", said, "'on'")
    return found


def _of_augment(config: Config) -> list[Problem]:
    """What needs pictures in their own size, on pictures that are kept in memory in another."""
    described = registry("datasets").describe(config.data.name)
    if not described.module.startswith("longtail.stages.") or config.data.full().get("in_memory") is False:
        return []  # a data set from elsewhere may stream what it likes
    fix = "set data.in_memory=false" if "in_memory" in described.parameters else "use pad, flip and mixup"
    augment, found = config.representation.augment, []
    for key, off in (("resized_crop", None), ("jitter", 0.0)):
        value = getattr(augment, key)
        if value != off:
            said = f"is for pictures decoded from files, {config.data.name} keeps them in memory, got {value}"
            found.append(Problem(f"representation.augment.{key}", f"{said}; {fix}"))
    return found


def _of_published_weights(config: Config) -> list[Problem]:
    weights, backbone = config.representation.weights, config.representation.backbone.name
    source, _, name = (weights or "").partition(":")
    if source != PUBLISHED:
        return []
    found = []
    if name == "DEFAULT":
        found.append("must name the weights, DEFAULT changes with torchvision")
    if backbone not in PUBLISHED_FOR:
        found.append(
            f"{PUBLISHED} has weights for {', '.join(PUBLISHED_FOR)}, got representation.backbone={backbone}"
        )
    if config.data.full().get("mode") == "gray":
        found.append(f"{PUBLISHED}'s take colour, got data.mode=gray; data.mode=rgb shows grey as colour")
    return [Problem("representation.weights", said) for said in found]
