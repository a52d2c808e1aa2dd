"""The sections of a configuration: every setting with its rule and its default."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from longtail.pipeline.config.components import Spec, check_spec
from longtail.pipeline.config.sweep_grid import expand
from longtail.stages.parameters import (
    Beta,
    Count,
    Fraction,
    Index,
    Location,
    NonNegative,
    Positive,
    Problem,
    Problems,
    Share,
)
from longtail.stages.wording import as_written

DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")


def component(kind: str, default: str | None = None):
    """The type of a field that takes a component of `kind`; a mapping without a name means `default`."""
    fallback = Spec(kind, default) if default else None
    return Annotated[Spec, BeforeValidator(partial(check_spec, kind, default=fallback))]


class Section(BaseModel):
    """A mapping of the configuration: strict types, nothing unknown."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )

    def full(self) -> dict[str, Any]:
        """Every setting, defaults included, as YAML would hold it."""
        return {key: _plain(value, "full") for key, value in self}

    def minimal(self) -> dict[str, Any]:
        """The settings that differ from their defaults: what ids are made from."""
        fields = type(self).model_fields
        found = {key: _plain(value, "minimal") for key, value in self}
        default = {
            key: _plain(f.get_default(call_default_factory=True), "minimal") for key, f in fields.items()
        }
        return {key: value for key, value in found.items() if value != default[key]}


def _plain(value: Any, form: str) -> Any:
    if isinstance(value, Spec | Section):
        return getattr(value, form)()
    return [_plain(v, form) for v in value] if isinstance(value, list | tuple) else value


def _vary(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Problems(
            [Problem("", f"must be a mapping of settings to lists of values, got {as_written(value)}")]
        )
    wrong = {key: v for key, v in value.items() if not isinstance(v, list) or not v}
    if wrong:
        raise Problems(
            [
                Problem(k, f"must be a list of at least one value, got {as_written(v)}")
                for k, v in wrong.items()
            ]
        )
    return value


class AugmentSection(Section):
    """Random crop after `pad`, left-right `flip`, `mixup` with share ~ Beta(mixup, mixup).

    For pictures decoded from files also `resized_crop`, the least share of the area a random crop covers, and
    `jitter` of brightness, contrast and saturation, each up to so much.
    """

    pad: Index = 0
    flip: bool = False
    mixup: NonNegative = 0.0
    resized_crop: Share | None = None
    jitter: Fraction = 0.0

    @model_validator(mode="after")
    def _one_crop(self) -> AugmentSection:
        if self.pad and self.resized_crop is not None:
            said = f"must be 0 with resized_crop, which crops already, got {self.pad}"
            raise Problems([Problem("pad", said)])
        return self


class Representation(Section):
    """Stage one.

    `head`: null for the one the loss is made for. `weights`: a .safetensors or .pth file for the backbone,
    torchvision[:NAME] or timm[:TAG]. `init`: an earlier run to continue up to `epochs`. `trainable`: what is
    not frozen. `no_weight_decay`: parameters the optimiser does not shrink. `accumulation`: pieces a batch is
    worked off in, their gradients added up. `ema`: decay of the moving average of weights that is validated,
    saved and used from then on. `early_stopping`: epochs without a better validation balanced accuracy after
    which training ends. `lr_batch_size`: the batch size the learning rate is meant for; it is scaled in
    proportion to the one in use. `reweighting`: weights of samples learned on a few clean ones of each class
    that are held out of the training split.
    """

    backbone: component("backbones", "small_cnn") = Spec("backbones", "small_cnn")
    sampler: component("samplers", "instance_balanced") = Spec("samplers", "instance_balanced")
    loss: component("losses", "cross_entropy") = Spec("losses", "cross_entropy")
    head: component("heads") | None = None
    optimizer: component("optimizers", "sgd") = Spec("optimizers", "sgd")
    schedule: component("schedules", "cosine") = Spec("schedules", "cosine")
    init: str | None = None
    weights: Location | None = None
    epochs: Index = Field(90, validate_default=True)
    batch_size: Count = 128
    augment: AugmentSection = AugmentSection()
    clip_grad_norm: Positive | None = None
    trainable: Literal["all", "last_block", "head"] = "all"
    no_weight_decay: list[Literal["bias", "norm", "head_bias"]] = []
    accumulation: Count = 1
    ema: Beta | None = None
    early_stopping: Count | None = None
    lr_batch_size: Count | None = None
    reweighting: component("reweightings") | None = None

    @field_validator("optimizer")
    @classmethod
    def _nesterov_has_momentum(cls, optimizer: Spec) -> Spec:
        params = optimizer.full()
        if params.get("nesterov") and not params["momentum"]:
            raise Problems([Problem("nesterov", "must be false without momentum, got true")])
        return optimizer

    @field_validator("weights")
    @classmethod
    def _one_beginning(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if weights is not None and info.data.get("init") is not None:
            raise Problems(
                [Problem("", f"must be left out with init, which brings its own, got {weights!r}")]
            )
        return weights

    @field_validator("weights")
    @classmethod
    def _timm_has_tags(cls, weights: str | None, info: ValidationInfo) -> str | None:
        publisher, _, tag = (weights or "").partition(":")
        if publisher != "timm" or "backbone" not in info.data:
            return weights
        backbone = info.data["backbone"].name
        own = backbone.partition(".")[2]
        if not backbone.startswith("timm/"):
            raise Problems([Problem("", f"timm has weights for backbones timm/..., got {backbone}")])
        if (tag and own and tag != own) or not (tag or own):
            said = f"must name timm's weights, by timm:TAG or as backbone {backbone.partition('.')[0]}.TAG"
            raise Problems([Problem("", f"{said}, got {weights} for {backbone}")])
        return weights

    @field_validator("epochs")
    @classmethod
    def _something_to_extract_with(cls, epochs: int, info: ValidationInfo) -> int:
        if not epochs and info.data.get("weights") is None:
            raise Problems([Problem("", "must be ≥ 1 without representation.weights, got 0")])
        return epochs

    @field_validator("no_weight_decay")
    @classmethod
    def _in_any_order(cls, kinds: list[str]) -> list[str]:
        return sorted(set(kinds))

    @field_validator("accumulation")
    @classmethod
    def _a_sample_each(cls, accumulation: int, info: ValidationInfo) -> int:
        batch_size = info.data.get("batch_size", accumulation)
        if accumulation > batch_size:
            said = f"must be ≤ representation.batch_size ({batch_size}), got {accumulation}"
            raise Problems([Problem("", said)])
        return accumulation


class FeatureSettings(Section):
    """Which checkpoint's features are cached, and how; `views` augmented views of training on top."""

    checkpoint: Literal["last", "best"] = "last"
    views: Index = 0
    dtype: Literal["float32", "float16"] = "float32"


class Evaluation(Section):
    """Shot groups by training count, and which split stage two's choices are made on.

    `protocol` paper chooses on the test split, as some published tables do; every such number is marked.
    """

    many: Index = 100
    few: Index = Field(20, validate_default=True)
    protocol: Literal["validation", "paper"] = "validation"

    @field_validator("few")
    @classmethod
    def _not_above_many(cls, few: int, info: ValidationInfo) -> int:
        many = info.data.get("many", few)
        if few > many:
            raise Problems([Problem("", f"must be ≤ evaluation.many ({many}), got {few}")])
        return few

    @property
    def thresholds(self) -> dict[str, int]:
        """The limits of the shot groups, as keyword arguments."""
        return {"many": self.many, "few": self.few}


def _methods(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Problems([Problem("", f"must be a mapping of names to settings, got {as_written(value)}")])
    wrong = {key: v for key, v in value.items() if not isinstance(v, dict)}
    if wrong:
        raise Problems([Problem(k, f"must be a mapping of settings, got {v!r}") for k, v in wrong.items()])
    return value


class Ablation(Section):
    """What `longtail ablate` varies: dotted settings with their values, times `seeds` from `seed` on, times
    `data_seeds` splits from `data.seed` on.

    `methods`: rows by name, each the settings it changes together (a loss with its sampler and schedule).
    `baseline`: the cell differences are taken to, ROW/CLASSIFIER; null for the first.
    """

    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_methods)] = {}
    vary: Annotated[dict[str, list[Any]], BeforeValidator(_vary)] = {}
    seeds: Count = 1
    data_seeds: Count = 1
    baseline: str | None = None


class System(Section):
    """How and where to run; no part of any id. A run that resumes keeps what it began with."""

    device: str = "auto"
    workers: Count | Literal["auto"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    threads: Count | Literal["auto"] = "auto"
    channels_last: Literal["auto", "on", "off"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    tensorboard: bool = False
    checkpoint_minutes: Annotated[float, Gt(0), Le(30)] = 10.0  # `clean` takes an hour's silence for death

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if device != "auto" and not DEVICE.fullmatch(device):
            raise Problems([Problem("", f"must be auto, cpu, cuda, cuda:N or mps, got {device!r}")])
        return device


def check_classifiers(value: Any) -> list[Spec]:
    """The classifiers a list names, all different; `Problems` with all that is wrong."""
    if not isinstance(value, list) or not value:
        raise Problems([Problem("", f"must be a list of at least one classifier, got {as_written(value)}")])
    problems, found = [], []
    for row, entry in enumerate(value):
        try:
            found.append(check_spec("classifiers", entry))
        except Problems as error:
            problems += [p.under(str(row)) for p in error.problems]
    repeated = [n for n, spec in enumerate(found) if spec.minimal() in [s.minimal() for s in found[:n]]]
    problems += [Problem(str(n), f"repeats {found[n].minimal()}") for n in repeated]
    if problems:
        raise Problems(problems)
    return found


def check_sweep(value: Any) -> list[Spec] | None:
    """Every trial that a list of classifiers with lists and ranges of parameters stands for."""
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise Problems([Problem("", f"must be a list of at least one classifier, got {as_written(value)}")])
    problems, found = [], []
    for row, entry in enumerate(value):
        try:
            found += [entry] if isinstance(entry, Spec) else expand(entry)
        except Problems as error:
            problems += [p.under(str(row)) for p in error.problems]
    if problems:
        raise Problems(problems)
    return found
