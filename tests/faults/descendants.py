"""The processes that a command has started, and whether they have ended. For Linux, by ``/proc``."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.processes import LIMIT, Running


def _stat(process: int) -> tuple[str, int] | None:
    """State and parent of a process; None for one that is gone."""
    try:
        state, parent, *_ = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(parent)


def descendants(process: int) -> list[int]:
    """The processes that `process` has started, and that those have."""
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    family = [process]
    for ancestor in family:
        family += [child for child, stat in parents.items() if stat is not None and stat[1] == ancestor]
    return family[1:]


def has_ended(process: int) -> bool:
    """True for a process that is gone, and for one whose end nobody has asked for yet."""
    stat = _stat(process)
    return stat is None or stat[0] == "Z"


def wait_for_descendants(running: Running, count: int) -> list[int]:
    """The processes a command has started, as soon as there are `count`; [] when it ended before."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        family = descendants(running.process.pid)
        if len(family) >= count or not running.process.is_alive():
            return family
        time.sleep(0.005)
    raise AssertionError("waited in vain for its processes")


def outliving(processes: list[int], seconds: float) -> list[int]:
    """Those of `processes` that are still there after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(map(has_ended, processes)):
        time.sleep(0.01)
    return [process for process in processes if not has_ended(process)]
