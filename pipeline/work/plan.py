"""What a run would do and what is done already, without doing any of it."""

from __future__ import annotations

from dataclasses import dataclass

from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.sections import Representation
from longtail.pipeline.files.epoch_files import latest_progress
from longtail.pipeline.store.identity import classifier_id, feature_key, representation_id
from longtail.pipeline.store.inventory import PART
from longtail.pipeline.store.parameter_text import value_text
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.continuation import check_start
from longtail.pipeline.work.workbench import SPLITS, finished_result
from longtail.stages.wording import counted

DONE, LATER = "done", "after training"


@dataclass(frozen=True)
class PlannedStep:
    """One stage of a run: its label, its id (None while that depends on training), and what would be done."""

    stage: str
    label: str
    id: str | None
    todo: str

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.todo.startswith("would")


def planned_steps(config: Config, store: Store, *, fresh: bool = False) -> list[PlannedStep]:
    """The steps of ``longtail run`` in order; `fresh` as for a run that starts over.

    Nothing is written and neither data nor weights are opened, apart from the hash of the data. Raises what a
    run would when the data are missing or a classifier has nothing to choose on.
    """
    check_choices(config)
    store = Store(store.root, read_only=True, one_command=True, verify=store.verify)
    steps, tensors, trained = [], None, True
    if config.representation is not None:
        run_id = representation_id(store, config)
        done = None if fresh else store.done("representations", run_id)
        if done is None:
            if not fresh:
                store.refuse_obstacle("representations", run_id)
            check_start(config, store)
        todo = DONE if done else _training(config.representation, store, run_id, fresh)
        steps.append(PlannedStep("representation", config.representation.backbone.name, run_id, todo))
        trained = done is not None
        tensors = done[config.features.checkpoint]["tensors"] if done else None
    key = feature_key(store, config, tensors) if trained else None
    classifiers = [_classifier(config, store, spec, key, fresh) for spec in config.classifiers]
    idle = all(step.done for step in classifiers)
    label = "given" if config.representation is None else config.features.checkpoint
    features = PlannedStep("features", label, key, _extraction(store, key, fresh, idle))
    return [*steps, features, *classifiers]


def plan_text(steps: list[PlannedStep]) -> str:
    """One line a step: stage, label, id, what would be done."""
    columns = [[step.stage, step.label, step.id or LATER] for step in steps]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    return "\n".join(
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)), step.todo])
        for row, step in zip(columns, steps, strict=True)
    )


def _training(settings: Representation, store: Store, run_id: str, fresh: bool) -> str:
    epochs = settings.epochs
    progress = None if fresh else latest_progress(store.folder("representations", run_id))
    if not epochs:
        return "would take the weights as they are given"
    if progress is None:
        most = "at most " if settings.early_stopping else ""
        after = f", going on from {settings.init}" if settings.init else ""
        return f"would train {most}{counted(epochs, 'epoch')}{after}"
    if progress.epochs >= epochs:
        return f"would finish, {counted(epochs, 'epoch is', 'epochs are')} trained"
    return f"would go on at epoch {progress.epochs + 1} of {epochs}"


def _extraction(store: Store, key: str | None, fresh: bool, idle: bool) -> str:
    if key is None or fresh:
        return "would extract"
    if store.manifest(key) is not None:
        return DONE
    if idle:
        return "not needed, every classifier is done"
    store.refuse_obstacle("features", key)
    return "would go on extracting" if store.folder("features", key + PART).is_dir() else "would extract"


def _classifier(config: Config, store: Store, spec: Spec, key: str | None, fresh: bool) -> PlannedStep:
    settings = spec.minimal()
    label = " ".join([spec.name, *(f"{k}={value_text(v)}" for k, v in settings.items() if k != "name")])
    if key is None:
        return PlannedStep("classifier", label, None, "would fit")
    name = classifier_id(config, key, spec)
    done = not fresh and finished_result(store, name, SPLITS) is not None
    if not done:
        store.refuse_obstacle("classifiers", name)
    return PlannedStep("classifier", label, name, DONE if done else "would fit")
