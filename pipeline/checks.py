"""What is known to go wrong before a first step is made: settings that do not go together.

Neither data nor weights are opened, and nothing heavy is imported.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pipeline.components import Spec, check_spec, registry
from pipeline.errors import ConfigError
from stages.parameters import Problem, spec_kind
from stages.wording import counted, listed

if TYPE_CHECKING:
    from pipeline.config import Config
    from stages.data import Splits

log = logging.getLogger("longtail")

ALWAYS_CHOOSE = ("temperature",)  # whatever their parameters; others do where one of those is "validation"
LEAST_SIDE = 4  # pixels; a network that halves its input twice has nothing left of less
COSINE_LOSSES = ("ldam", "margin", "hinge")  # whose own head is the cosine one
PUBLISHED = "torchvision"  # representation.weights: torchvision, or torchvision:NAME
PUBLISHED_FOR = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50")


# -- of every configuration -------------------------------------------------------------------------------


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
    if not described.module.startswith("stages.") or config.data.full().get("in_memory") is False:
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


# -- of a run ---------------------------------------------------------------------------------------------


def check_choices(config: Config, *, refuse: bool = True) -> None:
    """ConfigError when a classifier has a choice to make and certainly no samples to make it on.

    A warning where the data may bring some, or without `refuse`.
    """
    empty = _empty_for_choices(config)
    if empty is None:
        return
    setting, certain = empty
    found = [
        Problem(f"classifiers.{row}", cannot_choose(config, spec, setting))
        for row, spec in enumerate(config.classifiers)
        if chooses(spec, cosine=_has_cosine_head(config))
    ]
    if found and certain and refuse:
        raise ConfigError(found)
    for problem in found:
        log.warning("%s%s", problem, "" if certain else " (unless the data set brings a part of its own)")


def warn_of_start(config: Config) -> None:
    """Warn of what is allowed and hardly meant: a backbone frozen as it was drawn, pictures of few pixels."""
    settings, side = config.representation, config.data.full().get("image_size")
    if side is not None and side < LEAST_SIDE:
        log.warning("data.image_size=%d leaves little to see; most pictures need 32 or more", side)
    if settings is None or settings.weights is not None or settings.init is not None:
        return
    if settings.trainable != "all":
        log.warning(
            "representation.trainable=%s freezes a backbone of random weights; name weights to start from: "
            "representation.weights=FILE or =torchvision",
            settings.trainable,
        )


def warn_of_splits(config: Config, splits: Splits) -> None:
    """Warn of what a class or a classifier lacks in the data as they are split."""
    trained, tested = (set(part.labels.tolist()) for part in (splits.train, splits.test))
    for part, present, follows in (
        ("training", trained, "never predicted"),
        ("test", tested, "in no mean, and accuracy undefined"),
    ):
        empty = [name for c, name in enumerate(splits.class_names) if c not in present]
        if empty and present:
            said = counted(len(empty), "class", "classes")
            log.warning("no %s sample in %s (%s): %s", part, said, listed(empty), follows)
    choosing = splits.test if config.evaluation.protocol == "paper" else splits.val
    if config.representation is None or not config.representation.epochs or len(choosing):
        return  # without a trained head classifiers cross-validate
    for spec in config.classifiers:
        if chooses(spec, cosine=_has_cosine_head(config)):
            log.warning("%s", cannot_choose(config, spec))


def chooses(spec: Spec, *, cosine: bool = False) -> bool:
    """True when a classifier, given a trained head (`cosine` or not), chooses on validation samples."""
    if cosine and spec.name == "tau_norm":
        return False  # the head's rows have length 1 already: every τ predicts alike
    settings = spec.full()
    if spec.name in ALWAYS_CHOOSE or "validation" in settings.values():
        return True
    return any(chooses(check_spec("classifiers", settings[key]), cosine=cosine) for key in _wrapped(spec))


def cannot_choose(config: Config, spec: Spec, setting: str | None = None) -> str:
    """Why a classifier that :func:`chooses` cannot be fitted without samples to choose on, and the fixes."""
    part = "test" if config.evaluation.protocol == "paper" else "validation"
    fixed = [key for key, value in flat(spec.full()).items() if value == "validation"]
    instead = f"give a fixed {fixed[0]} ({{name: {spec.name}, {fixed[0]}: 1}})" if fixed else "leave it out"
    why = f"{setting} leaves none" if setting else "there is none"
    return (
        f"{spec.name} chooses on {part} samples and {why}; hold some out "
        f"(data.{part}_per_class=5, say) or {instead}"
    )


def _has_cosine_head(config: Config) -> bool:
    head = config.representation.head
    return config.representation.loss.name in COSINE_LOSSES if head is None else head.name == "cosine"


def _wrapped(spec: Spec) -> list[str]:
    known = registry(spec.kind).describe(spec.name).parameters
    return [key for key, parameter in known.items() if spec_kind(parameter.rule) == "classifiers"]


def flat(settings: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found = {}
    for key, value in settings.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found


def _empty_for_choices(config: Config) -> tuple[str, bool] | None:
    """The setting that leaves nothing to choose on, and whether it does so whatever the data bring."""
    if config.representation is None or not config.representation.epochs:
        return None  # without a trained head classifiers cross-validate
    part = "test" if config.evaluation.protocol == "paper" else "validation"
    data = config.data.full()
    each, share = f"{part}_per_class", f"{part}_fraction"
    if data[each] == 0:
        return f"data.{each}=0", True
    own = data.get({"test": "test", "validation": "val"}[part])
    return (f"data.{share}=0", False) if data[each] is None and not data[share] and own is None else None
