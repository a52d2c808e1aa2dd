"""The command line with a fault in one of its file operations: it dies there, stalls, or is told no.

    LONGTAIL_TEST_FAULT=replace:3:kill python -m tests.faults.crashing --root /tmp/x run digits_lt

A fault is ``<operation>:<number>:<what>``: which operation (open, write, fsync, replace, unlink, rmdir, mkdir
or any), the how-manieth of them, from 1, and kill, stall or an error such as ENOSPC; with a + behind it
(``write:5:ENOSPC+``) all later ones fail as well. A write that is hit gets half its bytes through.
LONGTAIL_TEST_TRACE names a file that every operation adds a line to: number, seconds, operation, path.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

ELSEWHERE = ("/dev", "/proc")  # what is opened there is no file that anybody keeps

NAMED = ("open", "replace", "unlink", "rmdir", "mkdir")  # the system's other errors know no path


@dataclass(frozen=True)
class Fault:
    """What happens, and at which operation; number 0 is never."""

    operation: str = "any"
    number: int = 0
    what: str = "kill"
    lasting: bool = False

    @classmethod
    def parse(cls, text: str) -> Fault:
        """``write:5:ENOSPC+``; nothing is no fault."""
        if not text:
            return cls()
        operation, number, what = text.split(":")
        return cls(operation, int(number), what.rstrip("+"), what.endswith("+"))


class Operations:
    """Counts file operations, writes each down, and lets the fault happen at its own."""

    def __init__(self, fault: Fault, trace: str | None):
        self.fault, self.total, self.matching = fault, 0, 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.trace = os.open(trace, flags, 0o644) if trace else None

    def at(self, operation: str, path: str, before: Callable[[], object] = lambda: None) -> None:
        """Called ahead of an operation; `before` runs first where the fault happens."""
        if path.startswith(ELSEWHERE):
            return
        self.total += 1
        self.matching += self.fault.operation in ("any", operation)
        if self.trace is not None:
            os.write(self.trace, f"{self.total}\t{time.monotonic()}\t{operation}\t{path}\n".encode())
        if self.fault.operation in ("any", operation) and self._is_due():
            before()
            self._happen(operation, path)

    def _is_due(self) -> bool:
        number = self.fault.number
        return number > 0 and (self.matching >= number if self.fault.lasting else self.matching == number)

    def _happen(self, operation: str, path: str) -> None:
        what = self.fault.what
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "stall":
            time.sleep(600)
        else:
            number = getattr(errno, what)
            raise OSError(number, os.strerror(number), *([path] if operation in NAMED else []))


class _CountedFile(io.FileIO):
    """An unbuffered file whose writes are operations."""

    def __init__(self, operations: Operations, path, mode: str):
        self._operations = operations
        super().__init__(path, mode)

    def write(self, content) -> int:
        plain, half = super().write, memoryview(content).cast("B")[: len(content) // 2]
        self._operations.at("write", _named(self.name), lambda: plain(half))
        return plain(content)


def install(fault: Fault, trace: str | None = None) -> None:
    """Put `fault` between this process and its file system, for good."""
    operations, plain_open = Operations(fault, trace), builtins.open

    def watched(operation: str, plain: Callable) -> Callable:
        def call(path, *args, **options):
            operations.at(operation, _named(path, options.get("dir_fd")))
            return plain(path, *args, **options)

        return call

    def opened(file, mode="r", buffering=-1, *args, **options):
        if isinstance(file, int) or not {*"wxa+"} & {*mode}:
            return plain_open(file, mode, buffering, *args, **options)
        operations.at("open", _named(file))
        if mode not in ("xb", "wb", "ab"):
            return plain_open(file, mode, buffering, *args, **options)
        return io.BufferedWriter(_CountedFile(operations, file, mode))

    for operation in ("fsync", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, operation, watched(operation, getattr(os, operation)))
    builtins.open = io.open = opened


def _named(path, folder: int | None = None) -> str:
    """A path or an open file's number as a path; a relative one may be of an open `folder`."""
    if isinstance(path, int):
        return os.path.realpath(f"/proc/self/fd/{path}")
    return os.path.join(_named(folder) if folder is not None else "", os.fsdecode(path))


def main(arguments: list[str]) -> None:
    """The command line with the fault that the environment names."""
    from longtail.pipeline import cli

    install(Fault.parse(os.environ.get("LONGTAIL_TEST_FAULT", "")), os.environ.get("LONGTAIL_TEST_TRACE"))
    cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
