"""Tasks done by several processes, none of which outlives this one or dies unnoticed."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from longtail.pipeline.errors import LongtailError, Unexpected
from longtail.pipeline.process.worker import START
from longtail.stages.wording import counted, listed

log = logging.getLogger("longtail")

MOST_DEATHS = 3  # in a row, no task finished in between: the next process would only die as well


def in_processes(
    function: str, setup: Mapping[str, Any], tasks: Sequence[Any], *, jobs: int, names: Sequence[str]
) -> Iterator[int]:
    """Have each of `tasks` done by one of `jobs` processes; yields the number of each when it is done.

    `function`, written ``module:name``, is called with `setup` in each process and returns what does a task.
    Setup and tasks must be JSON values. `names` are what messages call the tasks.

    Raises LongtailError as soon as a task fails. Where a process dies, another one does the remaining tasks;
    in the end a LongtailError names what is missing.
    """
    first = {"function": function, "setup": setup, "level": log.getEffectiveLevel()}
    pool = _Pool(first, tasks, names)
    try:
        for _ in range(min(jobs, len(tasks))):
            pool.start()
        while pool.workers:
            for key, _ in pool.selector.select():
                yield from pool.receive(key.data)
    finally:
        for worker in list(pool.workers):
            pool.end(worker)
        pool.selector.close()
    pool.raise_for_missing()


class _Pool:
    """Worker processes and what they have yet to do."""

    def __init__(self, first: dict[str, Any], tasks: Sequence[Any], names: Sequence[str]):
        self.first, self.tasks, self.names = first, tasks, names
        self.waiting = deque(range(len(tasks)))
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()
        self.lost: list[str] = []
        self.deaths = 0  # since the last finished task

    def start(self) -> None:
        """Start one more process."""
        worker = _Worker()
        self.workers.append(worker)
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        worker.send(self.first)

    def receive(self, worker: _Worker) -> Iterator[int]:
        """Handle what `worker` has sent; yields the task that it has done."""
        lines = worker.read()
        if lines is None:
            self._replace(worker)
            return
        for answer in map(json.loads, lines):
            if "log" in answer:
                logging.getLogger(answer["log"]).log(answer["level"], "%s", answer["message"])
            elif "failed" in answer:
                self._raise(answer)
            else:
                if worker.task is not None:
                    self.deaths = 0
                    yield worker.task
                self._occupy(worker)

    def _occupy(self, worker: _Worker) -> None:
        if self.waiting:
            worker.task = self.waiting.popleft()
            worker.send({"task": self.tasks[worker.task]})
        else:
            self.end(worker)

    def _raise(self, answer: dict[str, str]) -> None:
        if answer["trace"]:
            raise Unexpected(answer["failed"], trace=answer["trace"])
        raise LongtailError(answer["failed"])

    def _replace(self, worker: _Worker) -> None:
        """Note the death of `worker`, and have another process go on."""
        status = worker.process.wait()
        self.end(worker)
        self.deaths += 1
        end = _end_in_words(status)
        loss = f"a process {end} as it started"
        if worker.task is not None:
            loss = f"{self.names[worker.task]}: its process {end}"
        log.warning("%s", loss)
        self.lost.append(loss)
        if self.waiting and self.deaths < MOST_DEATHS:
            self.start()

    def end(self, worker: _Worker) -> None:
        """End a process, whatever it is doing."""
        self.workers.remove(worker)
        self.selector.unregister(worker.process.stdout)
        worker.end()

    def raise_for_missing(self) -> None:
        """LongtailError when processes died and so tasks are missing."""
        if not self.lost:
            return
        missing = f"; {counted(len(self.waiting), 'task')} not begun" if self.waiting else ""
        raise LongtailError(
            f"{listed(self.lost)}{missing}. What is done is kept, and the same command continues; "
            "if memory ran out, fewer --jobs need less"
        )


class _Worker:
    """A process, and the number of the task it is working on."""

    def __init__(self):
        self.task: int | None = None
        self._read = b""
        by_main_thread = threading.current_thread() is threading.main_thread()
        words = [str(os.getpid()), str(by_main_thread), *sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def send(self, message: dict[str, Any]) -> None:
        """Send a line; should the process be dead, :meth:`read` notices."""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def read(self) -> list[bytes] | None:
        """Wait for output and return the lines that are complete; None when the process is dead."""
        piece = os.read(self.process.stdout.fileno(), 2**16)
        *lines, self._read = (self._read + piece).split(b"\n")
        return lines if piece else None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def _end_in_words(status: int) -> str:
    """How a process ended: ``was killed (SIGKILL)``, ``ended with status 1``."""
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was killed ({signal.Signals(-status).name})"
    return f"was killed (signal {-status})"
