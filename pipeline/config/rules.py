"""Settings that are fine alone and impossible together. Nothing heavy is imported, no data are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longtail.pipeline.config.components import registry
from longtail.pipeline.config.weights_reference import is_published
from longtail.stages.parameters import Problem

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config

PUBLISHED = "torchvision"  # representation.weights: torchvision, or torchvision:NAME


def disagreements(config: Config) -> list[Problem]:
    """Settings that are fine alone and impossible together."""
    if config.representation is None:
        return _of_views(config)
    return [
        *_of_views(config),
        *_of_augment(config),
        *_of_published_weights(config),
        *_of_alpha(config),
        *_of_reweighting(config),
    ]


def _of_views(config: Config) -> list[Problem]:
    views = config.features.views
    if views and config.representation is None:
        return [Problem("features.views", f"must be 0: features cannot be augmented, got {views}")]
    if views and config.representation.augment.minimal().keys() <= {"mixup"}:
        rule = "needs representation.augment to differ by (pad, flip...)"
        return [Problem("features.views", f"{rule}, got {views}")]
    return []


def _of_reweighting(config: Config) -> list[Problem]:
    """What goes with sample weights learned for a whole batch, by derivatives of a pass that runs eager."""
    settings, problems = config.representation, []
    if settings.reweighting is None:
        return []
    name, mixup = settings.reweighting.name, settings.augment.mixup

    def refuse(key: str, rule: str, got: object) -> None:
        problems.append(Problem(key, f"{rule}, got {got}"))

    if not settings.epochs:
        refuse("representation.epochs", f"must be ≥ 1 with reweighting {name}", 0)
    if settings.accumulation > 1:
        rule = f"must be 1 with reweighting {name}, which weighs a whole batch"
        refuse("representation.accumulation", rule, settings.accumulation)
    if mixup:
        rule = f"must be 0 with reweighting {name}: mixed samples have two labels"
        refuse("representation.augment.mixup", rule, f"{mixup:g}")
    if settings.loss.full().get("normalizer") == "weights":
        rule = f"must be batch with reweighting {name}, whose weights add up to 1"
        refuse("representation.loss.normalizer", rule, "'weights'")
    if config.system.compile == "on":
        rule = f"must be auto or off with reweighting {name}: compiled code has no forward-mode derivatives"
        refuse("system.compile", rule, "'on'")
    return problems


def _of_augment(config: Config) -> list[Problem]:
    """What needs pictures in their own size, on pictures that are kept in memory in another."""
    data = config.data.component
    if not data.module.startswith("longtail.stages.") or config.data.full().get("in_memory") is False:
        return []  # a data set from elsewhere may stream what it likes
    fix = "set data.in_memory=false" if "in_memory" in data.parameters else "use pad, flip and mixup"
    augment, problems = config.representation.augment, []
    for key, off in (("resized_crop", None), ("jitter", 0.0)):
        value = getattr(augment, key)
        if value != off:
            rule = f"is for pictures decoded from files, {data.name} keeps them in memory"
            problems.append(Problem(f"representation.augment.{key}", f"{rule}, got {value}; {fix}"))
    return problems


def _of_published_weights(config: Config) -> list[Problem]:
    """torchvision's weights, for a backbone that says (by its fact ``torchvision``) that there are some."""
    weights, backbone = config.representation.weights, config.representation.backbone
    source, _, name = (weights or "").partition(":")
    if source != PUBLISHED:
        return []
    reasons = []
    if name == "DEFAULT":
        reasons.append("must name the weights, DEFAULT changes with torchvision")
    if PUBLISHED not in backbone.component.facts:
        names = ", ".join(backbones_with_published_weights())
        reasons.append(f"{PUBLISHED} has weights for {names}, got representation.backbone={backbone.name}")
    if config.data.full().get("mode") == "gray":
        reasons.append(f"{PUBLISHED}'s take colour, got data.mode=gray; data.mode=rgb shows grey as colour")
    return [Problem("representation.weights", reason) for reason in reasons]


def _of_alpha(config: Config) -> list[Problem]:
    """Pictures with one channel more than published weights take."""
    weights = config.representation.weights
    if not weights or not is_published(weights) or config.data.full().get("background") != "alpha":
        return []
    rule = "those published take three channels, got data.background=alpha, which adds one"
    return [Problem("representation.weights", f"{rule}; data.background=white lays pictures on white")]


def backbones_with_published_weights() -> list[str]:
    """Backbones that torchvision has weights for."""
    known = registry("backbones")
    return [name for name in known.names() if PUBLISHED in known.describe(name).facts]
