"""How benchmarks measure: the best of several rounds, and memory in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 5


def best(measure: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Smallest of several timings, seconds."""

    def once() -> float:
        began = time.perf_counter()
        measure()
        return time.perf_counter() - began

    return min(once() for _ in range(rounds))


def rivals(one: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS) -> float:
    """How many times as long `other` takes as `one`: best of rounds taken in turn, after one to warm up."""
    one(), other()
    timings = [(best(one, 1), best(other, 1)) for _ in range(rounds)]
    return min(t for _, t in timings) / min(t for t, _ in timings)


def report(what: str, value: float, unit: str = "") -> None:
    """A line for whoever runs the benchmarks."""
    print(f"\n  {what}: {value:.3g}{unit}", end="")


def peak(work: Callable, *args) -> float:
    """MB that ``work(*args)`` needs at most beyond what preparing it took, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(send, work, args))
    process.start()
    result = receive.recv()
    process.join()
    return result


def _measured(send, work: Callable, args: tuple) -> None:
    work(*args, prepare_only=True)
    before, workers = _anonymous("self"), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    most, _ = most_anonymous(lambda: work(*args))
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest child
    send.send((most - before + (after if after > workers else 0)) / 1024)


def most_anonymous(task: Callable[[], object]) -> tuple[int, float]:
    """(kB of anonymous memory this process has at most while `task` runs, seconds it takes)."""
    highest, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            highest[0] = max(highest[0], _anonymous("self"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    task()
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    return highest[0], seconds


def _anonymous(process: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
