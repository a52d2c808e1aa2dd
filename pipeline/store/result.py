"""What ``result.json`` of a finished classifier holds."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, TypedDict

Parameters = dict[str, Any]  # of a component, by name; another component among them is a mapping with a name


class Metrics(TypedDict):
    """Scores on one split, fractions in [0, 1]; None where undefined. `class_accuracy` is (C,)."""

    accuracy: float
    top5_accuracy: float | None
    balanced_accuracy: float
    macro_precision: float
    many: float | None
    medium: float | None
    few: float | None
    class_accuracy: list[float | None]
    class_accuracy_std: float
    worst_class_accuracy: float
    ece: float | None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings by which tables over many runs distinguish and order them.

    `backbone` to `reached` are stage one's, None where the data are features already: `epochs` were asked
    for, `reached` were trained. `position` is the classifier's place in its configuration, None when that
    does not list it. `all` has the remaining settings by dotted name.
    """

    data: str
    backbone: Parameters | None = None
    sampler: Parameters | None = None
    loss: Parameters | None = None
    epochs: int | None = None
    reached: int | None = None
    position: int | None = None
    checkpoint: str
    views: int
    dtype: str
    all: Parameters

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> RunSettings:
        """The settings of a result file. Older files lack `views` and `all`."""
        return cls(**_entries(cls, settings, views=0, all={}))

    def to_json(self) -> dict[str, Any]:
        """The settings that a result file holds: those that apply."""
        return {key: value for key, value in vars(self).items() if value is not None}

    @property
    def main(self) -> Parameters:
        """What applies of the settings with a field of their own, without the classifier's position."""
        return {key: value for key, value in self.to_json().items() if key not in ("position", "all")}


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished classifier: what it is, what it stands on, and how well it does.

    `run`, `representation` and `features` are ids; `representation` is None where the data are features.
    `params` differ from their defaults, `fitted` were chosen by the fit. `thresholds` are the shot groups'
    ``many`` and ``few``. `class_counts` and `class_names` are (C,), the former of training samples. By split,
    ``val`` and ``test``: `sizes` of all splits with samples; of those the classifier was judged on,
    `class_samples`, (C,) each, and `metrics`. `seconds` is what the fit took. `imports` says where
    components from outside the package came from, by kind and name.
    """

    run: str
    representation: str | None
    features: str
    classifier: str
    params: Parameters
    fitted: dict[str, bool | int | float]
    seed: int
    data_seed: int
    protocol: str
    thresholds: dict[str, int]
    settings: RunSettings
    class_counts: list[int]
    class_names: list[str]
    sizes: dict[str, int]
    class_samples: dict[str, list[int]]
    metrics: dict[str, Metrics]
    seconds: float
    versions: dict[str, str]
    imports: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Result:
        """The result of a result file. Older files lack `class_samples`; ValueError without another field."""
        entries = _entries(cls, record, class_samples={})
        return cls(**entries | {"settings": RunSettings.from_json(entries["settings"])})

    def to_json(self) -> dict[str, Any]:
        """What a result file holds; `imports` only where there are any."""
        record = vars(self) | {"settings": self.settings.to_json()}
        return record if self.imports else {k: v for k, v in record.items() if k != "imports"}

    @property
    def label(self) -> str:
        """What tables call the classifier."""
        return shown_name(self.classifier, self.settings.epochs or 0)

    @property
    def description(self) -> str:
        """The classifier as a message names it: ``ncm 0123456789abcdef (feature=none)``."""
        params = ", ".join(f"{key}={value}" for key, value in self.params.items())
        return f"{self.label} {self.run}" + (f" ({params})" if params else "")

    @property
    def shown_params(self) -> Parameters:
        """Parameters as tables show them: those given, and those the fit chose."""
        return {**self.params, **{k: v for k, v in self.fitted.items() if k != "is_linear_fit_"}}

    @property
    def chosen_on_test(self) -> bool:
        """Whether choices may have been made on the test split."""
        return self.protocol == "paper"

    @property
    def seeds(self) -> tuple[int, int]:
        """(seed, data seed): which replicate of an experiment this is."""
        return self.seed, self.data_seed

    def samples(self, split: str) -> list[int] | None:
        """Samples of each class in `split`, (C,); None where the result does not say."""
        return self.class_samples.get(split)

    def balanced_accuracy(self, split: str) -> float | None:
        """Balanced accuracy on `split`; None for a split that the classifier was not judged on."""
        return self.metrics[split]["balanced_accuracy"] if split in self.metrics else None


def shown_name(classifier: str, epochs: int) -> str:
    """A classifier's name; joint without a trained head, hence fitted on features, is ``joint (linear)``."""
    return "joint (linear)" if classifier == "joint" and not epochs else classifier


@cache
def _fields(cls: type) -> tuple[list[str], list[str]]:
    """The names of the fields of `cls`, and of those without a default."""
    own = fields(cls)
    required = [one.name for one in own if one.default is MISSING and one.default_factory is MISSING]
    return [one.name for one in own], required


def _entries(cls: type, record: Any, **older: Any) -> dict[str, Any]:
    """What `record` holds of the fields of `cls`, with values for those that older files lack.

    ValueError for a record without another field, or that is not a mapping.
    """
    if not isinstance(record, dict):
        raise ValueError(f"must be a mapping, got {type(record).__name__}")
    known = older | record
    names, required = _fields(cls)
    entries = {name: known[name] for name in names if name in known}
    missing = [name for name in required if name not in known]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    return entries
