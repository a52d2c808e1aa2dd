"""Data sets, their long-tailed versions, and the splits training works on.

``DATASETS.create("digits", profile="exponential", imbalance_factor=20)`` returns :class:`Splits`. A data set
is one reader in one file; holding out, imbalance and normalisation are shared (:mod:`.longtail`).
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stages.registry import Component, Registry

if TYPE_CHECKING:
    import numpy as np
    import torch

    from stages.data.preprocessing import Preprocessing
    from stages.data.transforms import Augment, Mixture


class Request(NamedTuple):
    """A batch to be made: sample indices (B,), and what the generator of its random draws is made from."""

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
        """What makes of a picture file what :meth:`batch` gives; None where samples are no pictures."""

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
    """What a reader finds: a training pool, and the validation and test parts when the data set has them."""

    train: Part
    val: Part | None
    test: Part | None
    class_names: list[str]


@dataclass(frozen=True)
class Splits:
    """Training (long-tailed), validation and test parts with what the classes are called.

    ``class_counts`` (C,) int64 counts training samples by the labels they are trained under; ``input_shape``
    is one sample's shape, (C, H, W) for images, (D,) for features. ``flipped`` (N,) bool says which training
    labels are wrong, None without label noise; ``meta`` holds samples set apart from training, labelled
    right, that sample weights are learned on (None when nothing asks for them).
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


SUPPLIED = ("meta_per_class",)  # of the splitting parameters: stage one asks for it, no data setting


class DatasetRegistry(Registry):
    """Readers, each with the parameters of :func:`stages.data.longtail.make_splits` on top of its own."""

    @cached_property
    def shared(self) -> Component:
        """The splitting parameters every data set takes beside its own."""
        found = Registry("splitter", "SPLITTERS", "stages.data.longtail", supplied=SUPPLIED)
        return found.describe("longtail")

    def describe(self, name: str) -> Component:
        reader = super().describe(name)
        merged = {**reader.parameters, **self.shared.parameters}
        return Component(reader.name, reader.module, reader.qualname, merged, reader.fixed, reader.doc)

    def _own(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        component = self.describe(name)
        own = {k: v for k, v in params.items() if k not in self.shared.parameters}
        return {**component.fixed, **own}

    def create(
        self, name: str, *, workers: int | None = None, meta_per_class: int = 0, **params: Any
    ) -> Splits:
        """Read the data set and split it. Raises ValueError for bad parameters and bad data.

        `workers` threads decode image files, as many as there are cores by default. `meta_per_class` samples
        a class are set apart from training as ``Splits.meta``.
        """
        from stages.data.longtail import make_splits

        params = self.check(name, params)
        reader = self.get(name)
        shared = {k: v for k, v in params.items() if k in self.shared.parameters}
        own = self._own(name, params)
        if "workers" in inspect.signature(reader).parameters:
            own["workers"] = workers
        return make_splits(reader(**own), meta_per_class=meta_per_class, **shared)

    def sources(self, name: str, params: dict[str, Any]) -> list[str | Path]:
        """What identifies the data: paths of files that enter by content, and plain strings.

        Cheap: nothing is fetched or decoded, and neither numpy nor torch is loaded.
        """
        return self._sources(name, {key: v for key, v in params.items() if key != "download"})

    def fetch(self, name: str, params: dict[str, Any]) -> None:
        """Download what is missing, where ``download`` allows it."""
        if params.get("download"):
            self._sources(name, params)

    def _sources(self, name: str, params: dict[str, Any]) -> list[str | Path]:
        import sys

        self.get(name)
        return sys.modules[super().describe(name).module].sources(**self._own(name, params))


DATASETS = DatasetRegistry("data set", "DATASETS", "stages.data", supplied=("workers",))

__all__ = ["DATASETS", "Collection", "Part", "Request", "Splits", "StreamedPart"]
