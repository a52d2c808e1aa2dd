"""The sections of a configuration: every setting with its rule and its default."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.settings import Settings, component
from longtail.stages.parameters import (
    BatchSize,
    Beta,
    Epochs,
    Fraction,
    Index,
    Location,
    Positive,
    Problem,
    Problems,
    Share,
    UpTo,
)
from longtail.stages.wording import as_written

DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")


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


class AugmentSettings(Settings):
    """Random crop after `pad`, left-right `flip`, `mixup` with share ~ Beta(mixup, mixup).

    For pictures decoded from files also `resized_crop`, the least share of the area a random crop covers, and
    `jitter` of brightness, contrast and saturation, each up to so much.
    """

    pad: Annotated[int, Ge(0), UpTo(512)] = 0
    flip: bool = False
    mixup: Annotated[float, Ge(0), UpTo(1000)] = 0.0
    resized_crop: Share | None = None
    jitter: Fraction = 0.0

    @model_validator(mode="after")
    def _one_crop(self) -> AugmentSettings:
        if self.pad and self.resized_crop is not None:
            rule = "must be 0 with resized_crop, which crops already"
            raise Problems([Problem("pad", f"{rule}, got {self.pad}")])
        return self


class Representation(Settings):
    """Stage one.

    `head`: null for the one the loss is made for. `weights`: a .safetensors or .pth file for the backbone,
    torchvision[:NAME] or timm[:TAG]; `weights_prefix`: how the names of the file's tensors begin. `init`: an
    earlier run to continue up to `epochs`. `trainable`: what is not frozen. `no_weight_decay`: parameters the
    optimiser does not shrink. `accumulation`: the number of pieces in which a batch is computed, their
    gradients added up. `ema`: decay of the moving average of weights that is validated, saved and used from
    then on. `early_stopping`: epochs without a better validation balanced accuracy after which training ends.
    `lr_batch_size`: the batch size the learning rate is meant for; it is scaled in proportion to the one in
    use. `reweighting`: weights of samples learned on a few clean ones of each class that are held out of the
    training split.
    """

    backbone: component("backbones", "small_cnn") = Spec("backbones", "small_cnn")
    sampler: component("samplers", "instance_balanced") = Spec("samplers", "instance_balanced")
    loss: component("losses", "cross_entropy") = Spec("losses", "cross_entropy")
    head: component("heads") | None = None
    optimizer: component("optimizers", "sgd") = Spec("optimizers", "sgd")
    schedule: component("schedules", "cosine") = Spec("schedules", "cosine")
    init: str | None = None
    weights: Location | None = None
    weights_prefix: str | None = None
    epochs: Annotated[int, Ge(0), UpTo(10**6)] = Field(90, validate_default=True)
    batch_size: BatchSize = 128
    augment: AugmentSettings = AugmentSettings()
    clip_grad_norm: Positive | None = None
    trainable: Literal["all", "last_block", "head"] = "all"
    no_weight_decay: list[Literal["bias", "norm", "head_bias"]] = []
    accumulation: BatchSize = 1
    ema: Beta | None = None
    early_stopping: Epochs | None = None
    lr_batch_size: BatchSize | None = None
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
            rule = f"must name timm's weights, by timm:TAG or as backbone {backbone.partition('.')[0]}.TAG"
            raise Problems([Problem("", f"{rule}, got {weights} for {backbone}")])
        return weights

    @field_validator("weights_prefix")
    @classmethod
    def _prefix_of_a_file(cls, prefix: str | None, info: ValidationInfo) -> str | None:
        weights = info.data.get("weights")
        if prefix is not None and (weights is None or weights.partition(":")[0] in ("torchvision", "timm")):
            rule = "must be left out unless representation.weights names a file"
            raise Problems([Problem("", f"{rule}, got {prefix!r}")])
        return prefix

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
            rule = f"must be ≤ representation.batch_size ({batch_size})"
            raise Problems([Problem("", f"{rule}, got {accumulation}")])
        return accumulation


class FeatureSettings(Settings):
    """Which checkpoint's features are cached, and how; `views` augmented views of training on top."""

    checkpoint: Literal["last", "best"] = "last"
    views: Annotated[int, Ge(0), UpTo(1000)] = 0
    dtype: Literal["float32", "float16"] = "float32"


class Evaluation(Settings):
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
    def choosing_split(self) -> Literal["val", "test"]:
        """The split that choices are made on."""
        return "test" if self.protocol == "paper" else "val"

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


class AblationSettings(Settings):
    """What `longtail ablate` varies: dotted settings with their values, times `seeds` from `seed` on, times
    `data_seeds` splits from `data.seed` on.

    `methods`: rows by name, each the settings it changes together (a loss with its sampler and schedule).
    `baseline`: the cell differences are taken to, ROW/CLASSIFIER; null for the first.
    """

    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_methods)] = {}
    vary: Annotated[dict[str, list[Any]], BeforeValidator(_vary)] = {}
    seeds: Annotated[int, Ge(1), UpTo(1000)] = 1
    data_seeds: Annotated[int, Ge(1), UpTo(1000)] = 1
    baseline: str | None = None


class System(Settings):
    """How and where to run; no part of any id. A run that resumes keeps what it began with."""

    device: str = "auto"
    workers: Annotated[int, Ge(1), UpTo(256)] | Literal["auto"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    threads: Annotated[int, Ge(1), UpTo(1024)] | Literal["auto"] = "auto"
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
