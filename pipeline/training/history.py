"""The history of a run: a row for every epoch, and which of them is the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.store.contents import EpochRow
from longtail.pipeline.store.run_records import HISTORY
from longtail.pipeline.training.checkpoint import Best, Memory

if TYPE_CHECKING:
    from longtail.stages.representation import EpochSummary

SCORES = ("accuracy", "balanced_accuracy", "many", "medium", "few", "class_accuracy_std")


def history_row(summary: EpochSummary) -> EpochRow:
    """What ``history.jsonl`` records of an epoch."""
    row: EpochRow = {
        "epoch": summary.epoch,
        "loss": summary.loss,
        "learning_rate": summary.learning_rate,
        "accuracy": summary.accuracy,
        "seconds": summary.seconds,
        "images_per_second": summary.images_per_second,
    }
    if summary.loss_state is not None:
        row["loss_state"] = summary.loss_state
    if summary.learned_weights is not None:
        row["learned_weights"] = summary.learned_weights
        row["weighing_seconds"] = summary.weighing_seconds
    if summary.validation is not None:
        row["validation"] = {key: summary.validation[key] for key in SCORES}
    return row


def add_epoch(memory: Memory, summary: EpochSummary) -> tuple[Memory, bool]:
    """`memory` after one more epoch, and whether that epoch is the best so far.

    The best has the highest balanced accuracy on validation; without validation it is always the last.
    """
    from longtail.stages.representation import Position

    validation, best = summary.validation, memory.best
    balanced = Best.balanced_accuracy if validation is None else validation["balanced_accuracy"]
    is_best = validation is None or balanced > best.balanced_accuracy
    if is_best:
        best = Best(summary.epoch, balanced)
    class_accuracy = None if validation is None else validation["class_accuracy"]
    history = [*memory.history, history_row(summary)]
    return Memory(Position(summary.epoch), history, best, class_accuracy), is_best


def publish_history(folder: Path, history: list[EpochRow]) -> None:
    """Write the whole of ``history.jsonl``, a line for each epoch."""
    publish_bytes(folder / HISTORY, history_file(history))


def history_file(history: list[EpochRow]) -> bytes:
    """What ``history.jsonl`` holds."""
    return "".join(json.dumps(row) + "\n" for row in history).encode()


def is_stalled(memory: Memory, patience: int | None) -> bool:
    """True when the best epoch lies `patience` epochs back."""
    return patience is not None and memory.position.epoch - memory.best.epoch >= patience
