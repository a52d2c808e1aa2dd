"""SIGKILL at random moments, again and again on one root, with a rerun to the end now and then."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults.processes import Outcome, Running
from tests.faults.roots import check_readable

KILLS = int(os.environ.get("LONGTAIL_FAULTS_KILLS", "80"))  # of stages in all, and half as many of grids
IN_A_ROW = 3  # kills of one root before it is left to end
ATTEMPTS = 30  # to kill a command that may end first


def killing(
    root: Path,
    command: list[str],
    undisturbed: Outcome,
    kills: int,
    *,
    begin: Callable[[], object],
    check_end: Callable[[], object],
) -> Callable[[int], None]:
    """``kill(number)`` for each of so many `kills`: start `command`, kill it, see that all can be read.

    The moments are drawn from between the first and the last file operation of the `undisturbed` command.
    ``begin()`` fills an empty root, and ``check_end()`` runs the command to its end and compares.
    """
    first, last = undisturbed.operations[0].seconds, undisturbed.operations[-1].seconds
    draw = random.Random(" ".join(command))

    def begin_anew() -> None:
        shutil.rmtree(root, ignore_errors=True)
        begin()

    def kill(number: int) -> None:
        if number % IN_A_ROW == 0:
            begin_anew()
        for _ in range(ATTEMPTS):
            if _is_killed(root, command, draw.uniform(0.9 * first, 1.05 * last)):
                break
            check_end()  # an earlier kill had left it less to do than it was given time for
            begin_anew()
        else:
            raise AssertionError(f"ended {ATTEMPTS} times before it was killed")
        check_readable(root)
        if number % IN_A_ROW == IN_A_ROW - 1 or number == kills - 1:
            check_end()

    return kill


def _is_killed(root: Path, command: list[str], seconds: float) -> bool:
    """Start `command` and kill it after so long; False when it had ended by itself."""
    running = Running(root, command)
    running.process.join(seconds)
    running.process.kill()
    found = running.wait()
    assert found.status in (0, -signal.SIGKILL), found.err
    return found.status != 0
