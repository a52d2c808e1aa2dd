"""The files that say what a run is and where it began: ``config.yaml`` and ``provenance.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.imports import origins
from longtail.pipeline.config.loading import Config
from longtail.pipeline.files.publish import publish_bytes, publish_json
from longtail.pipeline.process.environment import Environment
from longtail.pipeline.process.provenance import earlier_environment, provenance

if TYPE_CHECKING:
    from longtail.stages.data import Splits

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class RunFiles:
    """What to write of a run: its settings, its data and its environment."""

    config: Config
    splits: Splits
    environment: Environment

    def publish(self, folder: Path) -> None:
        """Write both files, unless an earlier start of the same run has."""
        if earlier_environment(folder / PROVENANCE) is None:
            publish_bytes(
                folder / "config.yaml", strict_yaml.dump(representation_settings(self.config)).encode()
            )
            by = self.config.data.full().get("identity", "content")
            data = {**training_data_facts(self.splits), "identity": by}
            beginning = {**provenance(self.environment), "data": data}
            imports = origins(self.config.data, self.config.representation)
            publish_json(folder / PROVENANCE, {**beginning, "imports": imports} if imports else beginning)


def representation_settings(config: Config) -> dict[str, Any]:
    """The settings a representation depends on."""
    return {"seed": config.seed, "data": config.data.full(), "representation": config.representation.full()}


def training_data_facts(splits: Splits) -> dict[str, Any]:
    """Class names and training samples of each class, counts of wrong labels and of meta samples."""
    import numpy as np

    facts = {"class_names": splits.class_names, "class_counts": splits.class_counts.tolist()}
    if splits.flipped is not None:
        facts["flipped"] = int(splits.flipped.sum())
    if splits.meta is not None:
        facts["meta_counts"] = np.bincount(splits.meta.labels, minlength=splits.num_classes).tolist()
    return facts
