"""Training curves for TensorBoard, on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.contents import EpochRow
from longtail.pipeline.store.inventory import CURVES

if TYPE_CHECKING:
    from longtail.pipeline.config.loading import Config
    from longtail.pipeline.training.checkpoint import Memory


@contextmanager
def epoch_writer(config: Config, folder: Path, memory: Memory) -> Iterator[Callable[[EpochRow], None]]:
    """A function that takes a history row; with ``system.tensorboard`` it writes its numbers for TensorBoard.

    They go to ``tensorboard/`` in the run's folder, which comes to exist with the first row; a run that
    resumes writes on after the epochs it has. LongtailError when the extra is missing.
    """
    if not config.system.tensorboard:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise LongtailError(
            "system.tensorboard: needs the extra tensorboard: pip install 'longtail[tensorboard]'"
        ) from None
    first_epoch = memory.position.epoch + 1
    writer = None

    def write(row: EpochRow) -> None:
        nonlocal writer
        if writer is None:
            writer = SummaryWriter(folder / CURVES, purge_step=first_epoch)
        for name, value in numbers(row).items():
            writer.add_scalar(name, value, row["epoch"])
        writer.flush()

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a history row by name: ``loss``, ``validation/balanced_accuracy``..."""
    by_name: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            by_name |= {f"{key}/{name}": number for name, number in numbers(value).items()}
        elif isinstance(value, int | float) and key != "epoch":
            by_name[key] = float(value)
    return by_name
