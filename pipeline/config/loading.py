"""The configuration: its schema, and how a file, its bases and overrides become one."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BeforeValidator, ValidationError, field_validator, model_validator

from longtail.pipeline.config.classifier_lists import check_classifiers, check_sweep
from longtail.pipeline.config.components import Spec, registry
from longtail.pipeline.config.recipes import is_set, merge, parse_override, read_settings
from longtail.pipeline.config.rules import disagreements
from longtail.pipeline.config.sections import (
    AblationSettings,
    Evaluation,
    FeatureSettings,
    Representation,
    System,
)
from longtail.pipeline.config.settings import Settings, component
from longtail.pipeline.errors import ConfigError
from longtail.stages.parameters import Problem, Problems, Seed, broken_rule
from longtail.stages.registry import did_you_mean
from longtail.stages.wording import as_written


class _Misplaced(NamedTuple):
    """What stage one's settings become where the data leave no stage one to set."""

    data: str


class Config(Settings):
    """Everything a run depends on."""

    seed: Seed = 0
    data: component("datasets")
    representation: Representation | None = Representation()
    features: FeatureSettings = FeatureSettings()
    classifiers: Annotated[list[Spec], BeforeValidator(check_classifiers)] = [
        Spec("classifiers", name) for name in ("joint", "crt", "ncm", "tau_norm", "lws")
    ]
    sweep: Annotated[list[Spec] | None, BeforeValidator(check_sweep)] = None
    ablation: AblationSettings = AblationSettings()
    evaluation: Evaluation = Evaluation()
    system: System = System()

    @model_validator(mode="before")
    @classmethod
    def _no_stage_one_for_features(cls, values: Any) -> Any:
        data = values.get("data")
        name = data.get("name") if isinstance(data, dict) else data
        if _holds_features(name):
            given = values.get("representation") is not None
            values = {**values, "representation": _Misplaced(name) if given else None}
        elif "representation" in values and values["representation"] is None:
            values = {k: v for k, v in values.items() if k != "representation"}
        return values

    @model_validator(mode="after")
    def _settings_agree(self) -> Config:
        problems = disagreements(self)
        if problems:
            raise Problems(problems)
        return self

    @property
    def meta_per_class(self) -> int:
        """Samples of each class held out of the training split to learn weights on; 0 for none."""
        learned = None if self.representation is None else self.representation.reweighting
        return 0 if learned is None else learned.full()["per_class"]

    @field_validator("representation", mode="before")
    @classmethod
    def _not_misplaced(cls, value: Any) -> Any:
        if isinstance(value, _Misplaced):
            raise Problems([Problem("", f"must be left out: {value.data} holds features already")])
        return value


def _holds_features(name: Any) -> bool:
    """Whether a data set of that name holds features, which need no stage one."""
    known = registry("datasets")
    return isinstance(name, str) and name in known and "holds_features" in known.describe(name).facts


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
    fix = f"an override adds to the file's mapping and {problem.path}=null takes it out"
    return Problem(problem.path, f"{problem.message}; {reference} sets it, {fix}")


def check_config(settings: dict[str, Any], source: str = "") -> Config:
    """`settings` validated; ConfigError with all that is wrong."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = [p for entry in error.errors() for p in _problems(entry)]
        raise ConfigError(list(dict.fromkeys(problems)), source) from None


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
    is_section = bool(_sections_of(rule))
    message = (
        f"must be a mapping, got {as_written(entry['input'])}"
        if is_section
        else broken_rule(rule, entry["input"])
    )
    return [Problem(".".join(loc[:field]), message)]


def _sections_of(annotation: Any) -> list[type[Settings]]:
    options = [annotation, *get_args(annotation)]
    return [option for option in options if isinstance(option, type) and issubclass(option, Settings)]


def _section(loc: list[str]) -> type[Settings]:
    section: type[Settings] = Config
    for step in loc:
        section = _sections_of(section.model_fields[step].annotation)[0]
    return section


def _field(loc: list[str]) -> Any:
    try:
        return _section(loc[:-1]).model_fields[loc[-1]].rebuild_annotation()
    except (KeyError, IndexError):
        return None
