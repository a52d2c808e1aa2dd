"""What worker processes do in tests: a function of a setup that returns a function of a task."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path


def writer(folder: str) -> Callable[[str], None]:
    """Does a task by its first word, and then leaves a file called like it in `folder`."""

    def work(task: str) -> None:
        (Path(folder) / f"begun-{os.getpid()}").touch()
        what, _, given = task.partition(" ")
        if what == "kill":
            os.kill(os.getpid(), getattr(signal, given))
        elif what == "exit":
            os._exit(int(given))
        elif what == "raise":
            raise {"ValueError": ValueError, "MemoryError": MemoryError, "KeyError": KeyError}[given](given)
        elif what == "say":
            print("in the way of answers", flush=True)
            logging.getLogger("longtail").info("%s", given)
            logging.getLogger("longtail").debug("too much")
            warnings.warn(given, UserWarning, stacklevel=1)
        elif what == "sleep":
            time.sleep(float(given))
        (Path(folder) / task).touch()

    return work


def broken(**setup: str) -> None:
    """Fails before any task."""
    raise ValueError(f"no work with {setup}")


def dying(**setup: str) -> None:
    """Dies before any task."""
    os._exit(9)
