"""What a person sees on standard error during work: a bar on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from longtail.pipeline.store.contents import EpochRow
from longtail.stages.wording import counted

if TYPE_CHECKING:
    from tqdm import tqdm

    from longtail.stages.representation import Position

log = logging.getLogger("longtail")

LINE_EVERY = 10.0  # seconds between lines of epochs when there is no terminal
MINUTE, DAY = 60, 86_400  # seconds
COUNT_EVERY = 60.0  # seconds between lines of work without epochs, or within one


def _bar(total: int, initial: int, unit: str, description: str) -> tqdm:
    from tqdm import tqdm

    quiet = not sys.stderr.isatty() or log.level > logging.INFO
    return tqdm(
        total=total, initial=initial, unit=unit, desc=description, disable=quiet, leave=False, mininterval=0.2
    )


def duration(seconds: float) -> str:
    """A time in the unit a person would use: ``40 s``, ``12 min``, ``3.5 h``, ``9 days``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / DAY:.0f} days" if seconds < 730 * DAY else "over 2 years"


class Pace:
    """Log lines that replace a bar where there is no terminal: one a minute, none for shorter work."""

    def __init__(self, total: int, done: int = 0):
        self.total, self.done = total, done
        self._done_before, self._began = done, time.monotonic()
        self._last_line = self._began

    def __call__(self, count: int, what: str) -> None:
        """`count` more are done of `what`, for example ``extracting, samples``."""
        self.done += count
        now = time.monotonic()
        if now - self._last_line < COUNT_EVERY or self.done >= self.total:
            return
        self._last_line = now
        rate = (self.done - self._done_before) / (now - self._began)
        left = f", {duration((self.total - self.done) / rate)} left" if rate else ""
        log.info("%s: %d of %d, %.3g/s%s", what, self.done, self.total, rate, left)


class TimeLeft:
    """How long the rest of a list of tasks will take, estimated from the tasks that needed work."""

    QUICK = 1.0  # seconds; a quicker task was done before

    def __init__(self, total: int):
        self.total, self.begun = total, 0
        self.worked, self.seconds = 0, 0.0  # tasks that needed work, and the time they took
        self._began = time.monotonic()

    def next(self) -> str:
        """Call as a task begins: ``", 12 min left"``, empty while nothing is known."""
        now = time.monotonic()
        took, self._began = now - self._began, now
        if self.begun and took > self.QUICK:
            self.worked, self.seconds = self.worked + 1, self.seconds + took
        left, self.begun = self.total - self.begun, self.begun + 1
        return f", {duration(left * self.seconds / self.worked)} left" if self.worked else ""


class TrainingProgress:
    """Steps done and to do, and how the last epoch went."""

    def __init__(self, epochs: int, steps_per_epoch: int, start: Position):
        self.epochs, self._first_epoch, self._last_line = epochs, start.epoch + 1, -LINE_EVERY
        if (start.epoch or start.batch) and start.epoch < epochs:
            batch = f", batch {start.batch + 1}" if start.batch else ""
            log.info("going on at epoch %d%s of %s", start.epoch + 1, batch, counted(epochs, "epoch"))
        done = start.epoch * steps_per_epoch + start.batch
        self.bar = _bar(epochs * steps_per_epoch, done, "step", "training")
        self._pace = Pace(epochs * steps_per_epoch, done)

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def step(self) -> None:
        """One more step."""
        self.bar.update(1)
        if self.bar.disable:
            self._pace(1, "training, steps")

    def epoch(self, row: EpochRow) -> None:
        """One more epoch, with its row of the history."""
        self._log_cost_of_weighing(row)
        line = self._line(row)
        if not self.bar.disable:
            self.bar.set_postfix_str(line, refresh=False)
        elif time.monotonic() - self._last_line > LINE_EVERY or row["epoch"] == self.epochs:
            log.info("%s", line)
            self._last_line = time.monotonic()

    def _line(self, row: EpochRow) -> str:
        parts = [f"epoch {row['epoch']}/{self.epochs}", f"loss {row['loss']:.4f}"]
        if row.get("validation"):
            parts.append(f"validation {100 * row['validation']['balanced_accuracy']:.1f} %")
        parts.append(f"{row['images_per_second']:.0f} images/s")
        if row["epoch"] < self.epochs:
            parts.append(f"{duration((self.epochs - row['epoch']) * row['seconds'])} left")
        return "  ".join(parts)

    def _log_cost_of_weighing(self, row: EpochRow) -> None:
        """What learning sample weights costs: once, by the second epoch; the first pays for imports."""
        if "weighing_seconds" not in row or row["epoch"] != min(self._first_epoch + 1, self.epochs):
            return
        times = row["seconds"] / max(row["seconds"] - row["weighing_seconds"], 1e-9)
        speed = row["images_per_second"]
        log.info(
            "learning sample weights: a step takes %.1f times a plain one, %.0f images/s instead of %.0f",
            *(times, speed, speed * times),
        )


class CountProgress:
    """How many of a known number of things are done."""

    def __init__(self, total: int, unit: str, description: str):
        self.bar = _bar(total, 0, unit, description)
        self._pace, self._what = Pace(total), f"{description}, {unit}s"

    def __enter__(self) -> CountProgress:
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def __call__(self, count: int) -> None:
        self.bar.update(count)
        if self.bar.disable:
            self._pace(count, self._what)
