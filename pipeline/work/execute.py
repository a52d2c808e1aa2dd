"""The three stages in order, each done once: train, extract, classify."""

from __future__ import annotations

from collections.abc import Callable

from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.loading import Config
from longtail.pipeline.errors import FitFailed
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.run_extraction import run_extraction
from longtail.pipeline.work.stage_one import run_stage_one
from longtail.pipeline.work.workbench import Workbench

__all__ = ["run_extraction", "run_stage_one", "run_stage_two"]


def run_stage_two(
    config: Config,
    store: Store,
    *,
    fresh: bool = False,
    on_failure: Callable[[str], object] | None = None,
) -> list[Result]:
    """Fit and judge every classifier of the configuration that is not done; their results, in order.

    Neither features nor checkpoints are opened when every classifier is done. With `on_failure` a classifier
    that cannot be fitted is left out, its message goes there and the others go on; without it FitFailed is
    raised.
    """
    check_choices(config)
    bench, results = Workbench(config, store), []
    for spec in config.classifiers:
        try:
            results.append(bench.result(spec, fresh=fresh))
        except FitFailed as error:
            if on_failure is None:
                raise
            on_failure(str(error))
    return results
