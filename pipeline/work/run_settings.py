"""The settings of a run that its results carry, for tables over many runs."""

from __future__ import annotations

from longtail.pipeline.config.choices import flat
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.loading import Config
from longtail.pipeline.store.result import Parameters, RunSettings

WITH_A_FIELD = ("data.name", "data.seed", "backbone", "sampler", "loss", "epochs")


def run_settings(config: Config, spec: Spec, epochs: int | None) -> RunSettings:
    """The settings of one classifier of a configuration; `epochs` were trained, None without stage one."""
    stage_one: Parameters = {}
    every = {"data": config.data.full()}
    settings = config.representation
    if settings is not None:
        stage_one = {
            "backbone": settings.backbone.minimal(),
            "sampler": settings.sampler.minimal(),
            "loss": settings.loss.minimal(),
            "epochs": settings.epochs,
            "reached": epochs,
        }
        every |= settings.full()
    further = {
        key: value
        for key, value in flat(every).items()
        if key not in WITH_A_FIELD and key.partition(".")[0] not in WITH_A_FIELD
    }
    return RunSettings(
        data=config.data.minimal()["name"],
        **stage_one,
        position=config.classifiers.index(spec) if spec in config.classifiers else None,
        **config.features.full(),
        all=further,
    )
