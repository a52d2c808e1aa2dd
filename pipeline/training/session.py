"""Keeping a run on disk while it trains: checkpoints when they are due, the history after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from longtail.pipeline.process.interrupt import StopRequests
from longtail.pipeline.process.progress import TrainingProgress
from longtail.pipeline.training.checkpoint import Checkpoints, Memory
from longtail.pipeline.training.history import add_epoch, publish_history
from longtail.pipeline.training.run_files import RunFiles
from longtail.pipeline.training.trainee import Trainee

if TYPE_CHECKING:
    from longtail.stages.representation import EpochSummary, Position


@dataclass
class Session:
    """One process's work on a run.

    `memory` is as of the last finished epoch. `checkpoint_interval` is in seconds. `check_data` raises an
    error for data that have changed while they are read: no checkpoint holds what was learned from both.
    """

    trainee: Trainee
    checkpoints: Checkpoints
    memory: Memory
    run_files: RunFiles
    stop: StopRequests
    progress: TrainingProgress
    checkpoint_interval: float
    check_data: Callable[[], object] | None = None
    _saved_at: float = field(default_factory=time.monotonic)
    _run_files_published: bool = False

    def after_step(self, position: Position) -> None:
        """Checkpoint when one is due; raises Interrupted when a signal asked to stop."""
        self._publish_run_files_once()
        self.progress.step()
        is_due = time.monotonic() - self._saved_at > self.checkpoint_interval
        if is_due or self.stop.requested is not None:
            self._save(replace(self.memory, position=position))
        self.stop.raise_if_requested()

    def after_epoch(self, summary: EpochSummary) -> None:
        """Checkpoint, and write the history."""
        memory, is_best = add_epoch(self.memory, summary)
        self.memory = self._save(memory, is_best=is_best)
        publish_history(self.checkpoints.folder, self.memory.history)
        self.progress.epoch(self.memory.history[-1])

    def end(self) -> None:
        """Write what every run leaves, even one that made no step."""
        self.run_files.publish(self.checkpoints.folder)
        publish_history(self.checkpoints.folder, self.memory.history)

    def _publish_run_files_once(self) -> None:
        if not self._run_files_published:
            self.run_files.publish(self.checkpoints.folder)
            self._run_files_published = True

    def _save(self, memory: Memory, *, is_best: bool = False) -> Memory:
        trainee = self.trainee
        if self.check_data is not None:
            self.check_data()
        saved = self.checkpoints.save(
            trainee.network, trainee.optimizer, memory, is_best=is_best, **trainee.extra_state
        )
        self._saved_at = time.monotonic()
        return saved
