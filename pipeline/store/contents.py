"""What the JSON files beside weights and features hold, as types of the mappings they are read into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class Weights(TypedDict):
    """A weights file: its name and the hash of its tensors; of the best ones, after which epoch."""

    file: str
    tensors: str
    epoch: NotRequired[int]


class RepresentationDone(TypedDict):
    """``DONE`` of a representation. `data` is the data's identity, `files` holds SHA-256 by file name."""

    epochs: int
    data: dict[str, Any]
    last: Weights
    best: Weights
    files: dict[str, str]


class ClassifierDone(TypedDict):
    """``DONE`` of a classifier: its name, and the SHA-256 of its files by file name.

    While some are replaced, `coming` has that of their successors.
    """

    classifier: str
    files: dict[str, str]
    coming: NotRequired[dict[str, str]]


class FeatureIdentity(TypedDict):
    """What a feature key is the hash of. `tensors` is None where the data are features already."""

    tensors: str | None
    data: dict[str, Any]
    transform: str
    views: int
    dtype: str
    meta_per_class: NotRequired[int]
    augment: NotRequired[dict[str, Any]]
    seed: NotRequired[int]


class FeatureFile(TypedDict):
    """A file of features; of arrays also shape and type."""

    sha256: str
    shape: NotRequired[list[int]]
    dtype: NotRequired[str]


class Manifest(TypedDict):
    """``manifest.json`` of finished features.

    `preprocessing` and `head` are None where there is no network; older manifests lack `preprocessing` and
    `views`.
    """

    key: str
    identity: FeatureIdentity
    preprocessing: NotRequired[dict[str, Any] | None]
    class_counts: list[int]
    class_names: list[str]
    views: NotRequired[int]
    head: dict[str, Any] | None
    files: dict[str, FeatureFile]


class LossState(TypedDict, total=False):
    """What an adaptive loss reports of an epoch: `class_weights` (C,) and its exponent `tau`."""

    class_weights: list[float]
    tau: float | None


class LearnedWeights(TypedDict):
    """Mean learned sample weights of an epoch: of each class (C,), of right and of wrong labels."""

    class_weights: list[float | None]
    clean: float | None
    flipped: float | None


class EpochRow(TypedDict):
    """A line of ``history.jsonl``; `epoch` counts from 1."""

    epoch: int
    loss: float
    learning_rate: float
    accuracy: float
    seconds: float
    images_per_second: float
    validation: NotRequired[dict[str, float | None]]
    loss_state: NotRequired[LossState | list[float]]
    learned_weights: NotRequired[LearnedWeights]
    weighing_seconds: NotRequired[float]


class Provenance(TypedDict, total=False):
    """``provenance.json``: how stage one was run."""

    command: list[str]
    began: str
    platform: str
    processor: str
    cores: int
    versions: dict[str, str]
    environment: dict[str, Any]
    data: dict[str, Any]
    imports: dict[str, dict[str, str]]
