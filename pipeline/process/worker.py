"""What runs in a worker process: tasks from standard input, answers to standard output, JSON line by line.

A worker reads its tasks in a thread, which also notices when its parent is gone: then nobody holds the other
end of the pipe. What libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import queue
import signal
import sys
import traceback
from typing import Any

from longtail.pipeline.errors import in_words
from longtail.stages.data.pictures.end_with_parent import end_with_parent

START = """import sys
sys.path[:] = sys.argv[3:]
from longtail.pipeline.process.worker import serve
serve(int(sys.argv[1]), kernel=sys.argv[2] == "True")
"""  # what `python -c` runs: the parent's process id, whether its main thread is at work, its import path


def serve(parent: int, *, kernel: bool) -> None:
    """Do what the process `parent` sends: first ``{"function", "setup", "level"}``, then tasks.

    The function, ``module:name``, is called with the setup and returns another, which is given each task.
    `kernel` is that of :func:`end_with_parent`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent ends its workers
        signal.signal(number, signal.SIG_IGN)
    answers = _Answers(os.dup(1))
    os.dup2(2, 1)
    received: queue.Queue[dict[str, Any]] = queue.Queue()
    end_with_parent(lambda: _read_into(received), parent=parent, kernel=kernel)
    first = received.get()
    _log_to(answers, first["level"])
    try:
        module, _, name = first["function"].partition(":")
        work = getattr(importlib.import_module(module), name)(**first["setup"])
        while True:
            answers.send(ready=True)
            work(received.get()["task"])
    except Exception as error:  # whatever it is, the parent reports it
        words = in_words(error)
        trace = traceback.format_exc() if words is None else ""
        answers.send(failed=words or f"{type(error).__name__}: {error}", trace=trace)
        sys.exit(1)


def _read_into(received: queue.Queue[dict[str, Any]]) -> None:
    """Queue what the parent sends until it is gone."""
    for line in sys.stdin.buffer:
        received.put(json.loads(line))


def _log_to(answers: _Answers, level: int) -> None:
    logging.captureWarnings(True)
    for name in ("longtail", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [answers], False
    logging.getLogger("longtail").setLevel(level)


class _Answers(logging.Handler):
    """Lines to the parent, what is logged among them."""

    def __init__(self, descriptor: int):
        super().__init__()
        self.descriptor = descriptor

    def send(self, **answer: Any) -> None:
        """Send one line."""
        os.write(self.descriptor, json.dumps(answer).encode() + b"\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log record, which the parent logs."""
        self.send(log=record.name, level=record.levelno, message=record.getMessage())
