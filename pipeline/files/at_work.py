"""Whether a process is at work on a folder: it holds a lock that the system drops when the process ends.

A stopped process keeps its lock, a killed one does not. Several may work on the same folder. Where the file
system knows no such locks, nobody seems to be at work.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from longtail.pipeline.files.publish import make_folder


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Make `folder` and be known to write in it until the block ends; one left empty goes again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    handle = _hold(folder)
    try:
        yield
    finally:
        with suppress(OSError):  # not empty, or another process has removed it
            for path in made:
                path.rmdir()
        os.close(handle)


def is_at_work(folder: Path) -> bool:
    """Whether a living process, stopped or not, is writing in `folder`."""
    with exclusive(folder) as nobody:
        return not nobody


@contextmanager
def exclusive(folder: Path) -> Iterator[bool]:
    """Keep others from beginning to work on `folder` during the block; False when one is at work already."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, not a folder, or not ours to open
        yield True
        return
    try:
        yield _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _hold(folder: Path) -> int:
    """A handle of `folder`, made if need be, that shares its lock."""
    while True:
        make_folder(folder)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # removed in between
            continue
        _lock(handle, fcntl.LOCK_SH)
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle
        os.close(handle)  # while this waited for the lock, the folder was removed


def _lock(handle: int, operation: int) -> bool:
    """Lock an open folder; False where another process has a lock that excludes this one."""
    try:
        fcntl.flock(handle, operation)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks
        return True
    return True
