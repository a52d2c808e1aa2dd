"""Tasks in worker processes: what is done, what is said, and what becomes of the dead and of orphans."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longtail.pipeline.errors import LongtailError, Unexpected
from longtail.pipeline.process.worker_pool import in_processes
from tests.places import CHECKOUT

HERE = "tests.pipeline.process.tasks"


def done(folder: Path, tasks: list[str], jobs: int = 2, function: str = f"{HERE}:writer") -> list[int]:
    names = [f"task {task!r}" for task in tasks]
    return sorted(in_processes(function, {"folder": str(folder)}, tasks, jobs=jobs, names=names))


def finished(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("begun-")}


def has_ended(process: int) -> bool:
    """True for a process that is gone, and for one that nobody has waited for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def begun(folder: Path, count: int) -> list[int]:
    """The ids of `count` processes, as soon as each is at a task."""
    deadline = time.monotonic() + 60
    while len(files := list(folder.glob("begun-*"))) < count:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return [int(path.name.partition("-")[2]) for path in files]


def test_every_task_is_done_once(tmp_path):
    tasks = [f"do {number}" for number in range(7)]
    assert done(tmp_path, tasks, jobs=3) == list(range(7))
    assert finished(tmp_path) == set(tasks)
    assert len(list(tmp_path.glob("begun-*"))) <= 3


def test_without_tasks_no_process_is_started(tmp_path):
    assert done(tmp_path, [], function="nothing:there") == []


@pytest.mark.parametrize(
    ("task", "end"),
    [
        ("kill SIGKILL", r"was killed \(SIGKILL\)"),
        ("kill SIGSEGV", r"was killed \(SIGSEGV\)"),
        ("exit 3", "ended with status 3"),
    ],
)
def test_a_dead_process_is_named_with_its_task_and_the_others_are_done(tmp_path, caplog, task, end):
    caplog.set_level(logging.WARNING, "longtail")
    tasks = ["do 0", task, "do 2", "do 3"]
    with pytest.raises(LongtailError, match=f"^task '{task}': its process {end}. What is done is kept"):
        done(tmp_path, tasks)
    assert finished(tmp_path) == {"do 0", "do 2", "do 3"}
    assert "its process" in caplog.text


def test_processes_that_only_die_are_given_up(tmp_path):
    with pytest.raises(LongtailError, match=r"(as it started.*){3}; 5 tasks not begun"):
        done(tmp_path, [f"do {number}" for number in range(5)], jobs=1, function=f"{HERE}:dying")


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("raise ValueError", LongtailError, "^ValueError$"),
        ("raise MemoryError", LongtailError, "^out of memory: MemoryError; a smaller .* need less$"),
        ("raise KeyError", Unexpected, "^KeyError: 'KeyError'$"),
    ],
)
def test_a_task_that_fails_ends_the_others(tmp_path, task, error, message):
    with pytest.raises(error, match=message) as caught:
        done(tmp_path, ["sleep 60", task])
    assert "in work" in getattr(caught.value, "trace", "in work")
    assert all(map(has_ended, begun(tmp_path, 2)))


def test_a_setup_that_fails_is_told(tmp_path):
    with pytest.raises(LongtailError, match="no work with"):
        done(tmp_path, ["do 0"], function=f"{HERE}:broken")


def test_what_a_process_logs_and_warns_of_is_told_here(tmp_path, caplog):
    caplog.set_level(logging.INFO, "longtail")
    done(tmp_path, ["say something"])
    assert [record.getMessage() for record in caplog.records if record.name == "longtail"] == ["something"]
    warned = [record.getMessage() for record in caplog.records if record.name == "py.warnings"]
    assert len(warned) == 1 and "UserWarning: something" in warned[0]


def driver(folder: Path) -> subprocess.Popen:
    code = (
        "import sys; from longtail.pipeline.process.worker_pool import in_processes\n"
        f"list(in_processes({HERE + ':writer'!r}, {{'folder': sys.argv[1]}}, ['sleep 600', 'sleep 601'], "
        "jobs=2, names=['a', 'b']))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=CHECKOUT)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_processes_end_with_a_killed_driver(tmp_path, stopped):
    process = driver(tmp_path)
    workers = begun(tmp_path, 2)
    if stopped and sys.platform != "linux":
        pytest.skip("only Linux ends a stopped process")
    for worker in workers if stopped else ():
        os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while not all(map(has_ended, workers)):
        assert time.monotonic() < deadline, "a worker outlives its driver"
        time.sleep(0.01)
