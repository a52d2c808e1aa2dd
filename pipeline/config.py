"""The configuration: its schema, and how a file, its bases and overrides become one."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal, get_args

from annotated_types import Gt, Le
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.checks import disagreements
from pipeline.components import Spec, check_spec
from pipeline.errors import ConfigError
from pipeline.grid import expand
from pipeline.recipes import is_set, merge, parse_override, read_settings
from stages.parameters import (
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
    describe_rule,
)
from stages.registry import did_you_mean
from stages.wording import as_written

DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")


def _component(kind: str, default: str | None = None):
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

    backbone: _component("backbones", "small_cnn") = Spec("backbones", "small_cnn")
    sampler: _component("samplers", "instance_balanced") = Spec("samplers", "instance_balanced")
    loss: _component("losses", "cross_entropy") = Spec("losses", "cross_entropy")
    head: _component("heads") | None = None
    optimizer: _component("optimizers", "sgd") = Spec("optimizers", "sgd")
    schedule: _component("schedules", "cosine") = Spec("schedules", "cosine")
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
    reweighting: _component("reweightings") | None = None

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


_MISPLACED = object()  # what stage one's settings become where there is no stage one


class Config(Section):
    """Everything a run depends on."""

    seed: Index = 0
    data: _component("datasets")
    representation: Representation | None = Representation()
    features: FeatureSettings = FeatureSettings()
    classifiers: Annotated[list[Spec], BeforeValidator(check_classifiers)] = [
        Spec("classifiers", name) for name in ("joint", "crt", "ncm", "tau_norm", "lws")
    ]
    sweep: Annotated[list[Spec] | None, BeforeValidator(check_sweep)] = None
    ablation: Ablation = Ablation()
    evaluation: Evaluation = Evaluation()
    system: System = System()

    @model_validator(mode="before")
    @classmethod
    def _no_stage_one_for_features(cls, values: Any) -> Any:
        data = values.get("data")
        name = data.get("name") if isinstance(data, dict) else data
        if name == "feature_arrays":
            given = values.get("representation") is not None
            values = {**values, "representation": _MISPLACED if given else None}
        elif "representation" in values and values["representation"] is None:
            values = {k: v for k, v in values.items() if k != "representation"}
        return values

    @model_validator(mode="after")
    def _settings_agree(self) -> Config:
        found = disagreements(self)
        if found:
            raise Problems(found)
        return self

    @property
    def meta_per_class(self) -> int:
        """Samples of each class held out of the training split to learn weights on; 0 for none."""
        learned = None if self.representation is None else self.representation.reweighting
        return 0 if learned is None else learned.full()["per_class"]

    @field_validator("representation", mode="before")
    @classmethod
    def _not_misplaced(cls, value: Any) -> Any:
        if value is _MISPLACED:
            raise Problems([Problem("", "must be left out: feature_arrays are features already")])
        return value


def load_config(reference: str, overrides: tuple[str, ...] | list[str] = ()) -> Config:
    """The configuration a file or shipped recipe and ``KEY=VALUE`` overrides amount to.

    Raises ConfigError listing every problem: path, rule, value received and the likely fix.
    """
    settings, source = read_settings(reference, overrides)
    try:
        return check_config(settings, source)
    except ConfigError as error:
        if not overrides:
            raise
        raise ConfigError([_with_origin(p, reference, overrides) for p in error.problems], source) from None


def _with_origin(problem: Problem, reference: str, overrides: tuple[str, ...] | list[str]) -> Problem:
    """`problem`, saying where it comes from if that is the file, in a mapping which an override adds to."""
    above = problem.path.rpartition(".")[0]
    given: dict[str, Any] = {}
    for override in overrides:
        given = merge(given, parse_override(override))
    keys = [override.partition("=")[0].strip() for override in overrides]
    whole = above and any(f"{above}.".startswith(f"{key}.") for key in keys) and is_set(given, above)
    if not whole or is_set(given, problem.path) or not is_set(read_settings(reference)[0], problem.path):
        return problem
    said = f"{reference} sets it, an override adds to the file's mapping and {problem.path}=null takes it out"
    return Problem(problem.path, f"{problem.message}; {said}")


def check_config(settings: dict[str, Any], source: str = "") -> Config:
    """`settings` validated; ConfigError with all that is wrong."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        found = [p for entry in error.errors() for p in _problems(entry)]
        raise ConfigError(list(dict.fromkeys(found)), source) from None


def _problems(entry: dict[str, Any]) -> list[Problem]:
    """What pydantic found, in the project's words."""
    loc = [str(step) for step in entry["loc"]]
    path = ".".join(loc)
    inner = entry.get("ctx", {}).get("error")
    if isinstance(inner, Problems):
        return [p.under(path) if path else p for p in inner.problems]
    if entry["type"] == "extra_forbidden":
        section = _section(loc[:-1])
        return [Problem(path, "unknown key" + did_you_mean(loc[-1], list(section.model_fields)))]
    if entry["type"] == "missing":
        return [Problem(path, "is required")]
    field = next((n for n in range(len(loc), 0, -1) if _field(loc[:n]) is not None), None)
    if field is None:
        return [Problem(path, f"must be a mapping, got {as_written(entry['input'])}")]
    rule = _field(loc[:field])
    expected = "a mapping" if _sections_of(rule) else describe_rule(rule)
    return [Problem(".".join(loc[:field]), f"must be {expected}, got {as_written(entry['input'])}")]


def _sections_of(annotation: Any) -> list[type[Section]]:
    options = [annotation, *get_args(annotation)]
    return [option for option in options if isinstance(option, type) and issubclass(option, Section)]


def _section(loc: list[str]) -> type[Section]:
    section: type[Section] = Config
    for step in loc:
        section = _sections_of(section.model_fields[step].annotation)[0]
    return section


def _field(loc: list[str]) -> Any:
    try:
        return _section(loc[:-1]).model_fields[loc[-1]].rebuild_annotation()
    except (KeyError, IndexError):
        return None
