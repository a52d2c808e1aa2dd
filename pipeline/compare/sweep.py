"""A sweep: every trial judged on validation, each classifier's winner on the test split, once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from longtail.pipeline.compare.ablation import column_name
from longtail.pipeline.config.components import Spec
from longtail.pipeline.config.imports import known_imports, use_imports_of_parent
from longtail.pipeline.config.loading import Config
from longtail.pipeline.config.sweep_grid import expand
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.process.progress import CountProgress
from longtail.pipeline.process.worker_pool import in_processes
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.classifying import choosing_split
from longtail.pipeline.work.workbench import Workbench, finished_result
from longtail.stages.data.files.each_file import usable_cores

log = logging.getLogger("longtail")

DEFAULT = (  # for a configuration without a sweep; τ is exact, so one trial has them all
    "joint",
    {"name": "crt", "weight_decay": {"from": 1e-4, "to": 1e-1, "steps": 7, "scale": "log"}},
    {"name": "ncm", "feature": ["none", "l2", "centered_l2"], "distance": ["euclidean", "cosine"]},
    "tau_norm",
    {"name": "lws", "bias": ["none", "scaled"], "weight_decay": [0.0, 1e-4, 1e-3]},
    {"name": "logit_adjustment", "tau": "validation"},
    {"name": "cosine", "scale": [8.0, 16.0, 32.0]},
    {"name": "balanced_softmax", "weight_decay": [1e-4, 5e-4, 1e-3]},
    {"name": "knn", "k": [5, 20], "vote": ["plain", "class_balanced"]},
)


@dataclass(frozen=True)
class Sweep:
    """`trials` are results judged on the choosing split, in order; `winners` those of each classifier's best
    trial, judged on the test split as well."""

    trials: list[Result]
    winners: list[Result]


def trials_of(config: Config) -> list[Spec]:
    """The classifiers a configuration's sweep compares, each once."""
    specs = config.sweep if config.sweep is not None else [s for entry in DEFAULT for s in expand(entry)]
    unique = {str(spec.minimal()): spec for spec in specs}
    return list(unique.values())


def run_sweep(config: Config, store: Store, *, jobs: int = 1) -> Sweep:
    """Run what is missing of a sweep, in `jobs` processes, and judge each classifier's winner on test.

    The test split is opened for winners alone, after every choice has been made. LongtailError without
    samples to choose on.
    """
    split = config.evaluation.choosing_split
    bench, specs = Workbench(config, store), trials_of(config)
    missing = [s for s in specs if finished_result(store, bench.classifier_id(s), (split,)) is None]
    if missing:
        if choosing_split(config, bench.features) is None:
            part = {"val": "validation", "test": "test"}[split]
            raise LongtailError(f"sweep: there are no {part} samples to choose on; set data.{part}_per_class")
        log.info("sweep: %d of %d trials to run", len(missing), len(specs))
        run_trials(bench, missing, split, jobs)
    trials = [_only(bench.result(spec, (split,)), split) for spec in specs]
    winners = [bench.result(specs[row], (split, "test")) for row in best_trials(trials, split)]
    return Sweep(trials, winners)


def _only(result: Result, split: str) -> Result:
    """`result` without what it holds of other splits."""
    metrics = {name: known for name, known in result.metrics.items() if name == split}
    samples = {name: known for name, known in result.class_samples.items() if name == split}
    return replace(result, metrics=metrics, class_samples=samples)


def best_trials(trials: list[Result], split: str) -> list[int]:
    """The row of each classifier's trial of highest balanced accuracy on `split`, the first of equals."""
    best: dict[str, int] = {}
    for row, trial in enumerate(trials):
        reached, name = trial.balanced_accuracy(split), trial.classifier
        if name not in best or reached > trials[best[name]].balanced_accuracy(split):
            best[name] = row
    return list(best.values())


def run_trials(bench: Workbench, specs: list[Spec], split: str, jobs: int) -> None:
    """Fit `specs` and judge them on `split`: each is published as soon as it is done."""
    with CountProgress(len(specs), "trial", "sweep") as progress:
        if jobs == 1:
            bench.fit(specs, (split,), progress)
            return
        setup = {
            "settings": bench.config.full(),
            "root": str(bench.store.root),
            "split": split,
            "threads": max(1, usable_cores() // jobs),
            "imports": known_imports(),
        }
        tasks, names = [spec.full() for spec in specs], [spec_in_words(spec) for spec in specs]
        for _ in in_processes(f"{__name__}:trials_in_worker", setup, tasks, jobs=jobs, names=names):
            progress(1)


def spec_in_words(spec: Spec) -> str:
    """``crt`` or ``crt(lr=0.1)``, as the columns of tables have it."""
    return column_name(spec.name, spec.changed())


def trials_in_worker(
    settings: dict[str, Any], root: str, split: str, threads: int, imports: list[tuple[str, str]]
) -> Callable[[dict[str, Any]], None]:
    """In a worker process: the function that fits and judges a classifier of given parameters."""
    from threadpoolctl import threadpool_limits

    from longtail.pipeline.config.components import check_spec
    from longtail.pipeline.config.loading import check_config

    use_imports_of_parent(imports)
    threadpool_limits(threads)
    bench = Workbench(check_config(settings), Store(root, one_command=True))
    return lambda spec: bench.result(check_spec("classifiers", spec), (split,))
