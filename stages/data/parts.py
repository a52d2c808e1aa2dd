"""What a data set is made of: parts, the collection a reader returns, the splits training works on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from longtail.stages.data.pictures.augment import Augment, Mixture
    from longtail.stages.data.pictures.preprocessing import Preprocessing

SUPPLIED = ("meta_per_class",)  # a splitting parameter that stage one asks for, not a setting of the data


class Request(NamedTuple):
    """A batch to be made: sample indices (B,), and the key of the generator of its random draws."""

    indices: np.ndarray
    key: tuple


class Part(Protocol):
    """One split's samples, or a whole collection's."""

    labels: np.ndarray  # (N,) int64

    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Network-ready float32 inputs (B, ...), by index."""

    def to(self, device) -> Part:
        """This part with its batches on `device`."""

    @property
    def constants(self) -> dict[str, list[float]]:
        """What :meth:`batch` normalises with; empty for nothing."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How a picture file becomes what :meth:`batch` gives; None where samples are not pictures."""

    def take(self, indices: np.ndarray, labels: np.ndarray) -> Part:
        """The samples at `indices`, relabelled."""

    def normalized_like(self, train: Part) -> Part:
        """This part with constants measured on `train`."""


class StreamedPart(Part, Protocol):
    """A part that can be trained on."""

    def stream(
        self, requests: Sequence[Request], augment: Augment | None
    ) -> Generator[tuple[torch.Tensor, Mixture | None]]:
        """The requested batches in turn, augmented at random (None: as :meth:`batch` gives them)."""


@dataclass(frozen=True)
class Collection:
    """What a reader returns: a training pool, and validation and test parts where the data set has them."""

    train: Part
    val: Part | None
    test: Part | None
    class_names: list[str]


class PictureSet(NamedTuple):
    """Pictures in files, before any is read: (paths below `root`, labels) of each part that is there."""

    root: str
    parts: dict[str, tuple[list[str], list[int]]]
    class_names: list[str]


@dataclass(frozen=True)
class Splits:
    """Training (long-tailed), validation and test parts with what the classes are called.

    ``class_counts`` (C,) int64 counts training samples by the labels they are trained under; ``input_shape``
    is one sample's shape, (C, H, W) for images, (D,) for features. ``flipped`` (N,) bool says which training
    labels are wrong, None without label noise; ``meta`` holds samples set apart from training, labelled
    right, that sample weights are learned on (None without learned weights).
    """

    train: Part
    val: Part
    test: Part
    num_classes: int
    class_counts: np.ndarray
    class_names: list[str]
    input_shape: tuple[int, ...]
    meta: Part | None = None
    flipped: np.ndarray | None = None

    def parts(self) -> dict[str, Part]:
        """``{"train": ..., "val": ..., "test": ...}``."""
        return {"train": self.train, "val": self.val, "test": self.test}
