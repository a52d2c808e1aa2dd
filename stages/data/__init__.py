"""Data sets, their long-tailed versions, and the splits training works on.

``DATASETS.create("digits", profile="exponential", imbalance_factor=20)`` returns :class:`Splits`. A data set
is one reader in one file; holding out, imbalance and normalisation are shared (:mod:`.longtail`).
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from longtail.stages.data.parts import (
    SUPPLIED,
    Collection,
    Part,
    PictureSet,
    Request,
    Splits,
    StreamedPart,
)
from longtail.stages.registry import Component, Registry


class DatasetRegistry(Registry):
    """Readers, each with the parameters of ``make_splits`` on top of its own."""

    @cached_property
    def shared(self) -> Component:
        """The splitting parameters every data set takes beside its own."""
        splitters = Registry("splitter", "SPLITTERS", "longtail.stages.data.longtail", supplied=SUPPLIED)
        return splitters.describe("longtail")

    def describe(self, name: str) -> Component:
        reader = super().describe(name)
        merged = {**reader.parameters, **self.shared.parameters}
        return replace(reader, parameters=merged)

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
        from longtail.stages.data.longtail import make_splits

        params = self.check(name, params)
        shared = {k: v for k, v in params.items() if k in self.shared.parameters}
        collection = self.read(name, params, workers=workers)
        return make_splits(collection, meta_per_class=meta_per_class, **shared)

    def read(self, name: str, params: dict[str, Any], *, workers: int | None = None) -> Collection:
        """The data set as its reader returns it, before it is split."""
        reader, own = self.get(name), self._own(name, params)
        if "workers" in inspect.signature(reader).parameters:
            own["workers"] = workers
        return reader(**own)

    def pictures(self, name: str, params: dict[str, Any]) -> PictureSet | None:
        """The pictures that a data set consists of, none of them read; None for a set of another kind.

        Asks ``pictures`` of the module that defines the data set.
        """
        import sys

        self.get(name)
        listing = getattr(sys.modules[super().describe(name).module], "pictures", None)
        return None if listing is None else listing(**self._own(name, params))

    def sources(self, name: str, params: dict[str, Any]) -> list[str | Path]:
        """What identifies the data: paths of files that enter by content, and plain strings.

        Cheap: nothing is fetched or decoded, and neither numpy nor torch is loaded. Asks ``sources`` of the
        module that defines the data set; raises ValueError if there is no such function, or one that does not
        take the data set's parameters.
        """
        return self._sources(name, {key: v for key, v in params.items() if key != "download"})

    def download(self, name: str, params: dict[str, Any]) -> None:
        """Download what is missing, where ``download`` allows it."""
        if params.get("download"):
            self._sources(name, params)

    def _sources(self, name: str, params: dict[str, Any]) -> list[str | Path]:
        import sys

        self.get(name)
        reader, own = super().describe(name), self._own(name, params)
        module = reader.module
        sources = getattr(sys.modules[module], "sources", None)
        if sources is None:
            arguments = ", ".join([*reader.fixed, *reader.parameters])
            signature = f"sources(*, {arguments})" if arguments else "sources()"
            raise ValueError(
                f"data set {name!r}: {module} must define {signature}, which returns the files that the data "
                "are read from"
            )
        try:
            inspect.signature(sources).bind(**own)
        except TypeError as error:
            raise ValueError(
                f"data set {name!r}: {module}.sources must take the data set's own parameters ({error})"
            ) from None
        return sources(**own)


DATASETS = DatasetRegistry("data set", "DATASETS", "longtail.stages.data", supplied=("workers",))

__all__ = ["DATASETS", "SUPPLIED", "Collection", "Part", "PictureSet", "Request", "Splits", "StreamedPart"]
