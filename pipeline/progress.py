"""What a person sees on standard error during work: a bar on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from stages.wording import counted

if TYPE_CHECKING:
    from stages.representation import Position

log = logging.getLogger("longtail")

LINE_EVERY = 10.0  # seconds between lines when there is no terminal


def _bar(total: int, initial: int, unit: str, description: str) -> tqdm:
    quiet = not sys.stderr.isatty() or log.level > logging.INFO
    return tqdm(
        total=total, initial=initial, unit=unit, desc=description, disable=quiet, leave=False, mininterval=0.2
    )


def duration(seconds: float) -> str:
    """A time as a person says it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class TimeLeft:
    """How long the rest of a list of tasks takes, by those that had to be worked on."""

    DONE_BEFORE = 1.0  # seconds; what is quicker was there already

    def __init__(self, total: int):
        self.total, self.seen, self.worked, self.seconds = total, 0, 0, 0.0
        self._began = time.monotonic()

    def next(self) -> str:
        """Call as a task begins: ``", 12 min left"``, empty while nothing is known."""
        now = time.monotonic()
        took, self._began = now - self._began, now
        if self.seen and took > self.DONE_BEFORE:
            self.worked, self.seconds = self.worked + 1, self.seconds + took
        left, self.seen = self.total - self.seen, self.seen + 1
        return f", {duration(left * self.seconds / self.worked)} left" if self.worked else ""


class TrainingProgress:
    """Steps done and to do, and how the last epoch went."""

    def __init__(self, epochs: int, steps_per_epoch: int, start: Position):
        self.epochs, self._said, self._first = epochs, -LINE_EVERY, start.epoch + 1
        if (start.epoch or start.batch) and start.epoch < epochs:
            at = (
                f"epoch {start.epoch + 1}, batch {start.batch + 1}"
                if start.batch
                else f"epoch {start.epoch + 1}"
            )
            log.info("going on at %s of %s", at, counted(epochs, "epoch"))
        done = start.epoch * steps_per_epoch + start.batch
        self.bar = _bar(epochs * steps_per_epoch, done, "step", "training")

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def step(self) -> None:
        """One more step."""
        self.bar.update(1)

    def epoch(self, row: dict[str, Any]) -> None:
        """One more epoch, as its history row tells."""
        found = row.get("validation")
        validation = f"  validation {100 * found['balanced_accuracy']:.1f} %" if found else ""
        line = f"epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.4f}{validation}"
        line += f"  {row['images_per_second']:.0f} images/s"
        if row["epoch"] < self.epochs:
            line += f"  {duration((self.epochs - row['epoch']) * row['seconds'])} left"
        self._say_cost(row)
        if not self.bar.disable:
            self.bar.set_postfix_str(line, refresh=False)
        elif time.monotonic() - self._said > LINE_EVERY or row["epoch"] == self.epochs:
            log.info("%s", line)
            self._said = time.monotonic()

    def _say_cost(self, row: dict[str, Any]) -> None:
        """What learning sample weights costs: once, by the second epoch; the first pays for imports."""
        if "weighing_seconds" not in row or row["epoch"] != min(self._first + 1, self.epochs):
            return
        times = row["seconds"] / max(row["seconds"] - row["weighing_seconds"], 1e-9)
        speed = row["images_per_second"]
        log.info(
            "learning sample weights: a step takes %.1f times a plain one, %.0f images/s instead of %.0f",
            *(times, speed, speed * times),
        )


class CountProgress:
    """So many of a known number of things."""

    def __init__(self, total: int, unit: str, description: str):
        self.bar = _bar(total, 0, unit, description)

    def __enter__(self) -> CountProgress:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def __call__(self, count: int) -> None:
        self.bar.update(count)
