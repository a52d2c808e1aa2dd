"""Many files that identify a data set, each with the stamps by which a change is noticed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

SETTLED_NS = 2 * 10**9  # a file written this recently may change again under the same time stamps

_POSITIVE = 2**63 - 1  # inode numbers may have 64 bits, the columns here have 63 and a sign


class Stamp(NamedTuple):
    """What a file system says of a file, without reading it: size (bytes), times (ns), inode.

    The time of the last change to the inode, unlike that of the last modification, cannot be set.
    """

    size: int
    modified: int
    changed: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp in what ``os.stat`` returned."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _POSITIVE)


class StampedFiles:
    """Files below `root` that enter a data set's identity, by content or by their sizes (stat).

    A file's line in the identity is `before`, then the hash of its content or its size, then `after`.
    ``stamps`` holds the four numbers of each :class:`Stamp`, one file after another.
    """

    def __init__(self, root: str | os.PathLike, by: Literal["content", "stat"] = "content"):
        self.root, self.by = os.fspath(root), by
        self.names: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []
        self.stamps = array("q")

    def __len__(self) -> int:
        return len(self.names)

    def add(self, name: str, stamp: Stamp, *, before: str = "", after: str = "") -> None:
        """Add the file `name`, a path below the root."""
        self.names.append(name)
        self.stamps.extend(stamp)
        self.before.append(before)
        self.after.append(after)

    def paths(self) -> Iterator[str]:
        """Where each file lies."""
        return (os.path.join(self.root, name) for name in self.names)

    def stamp(self, row: int) -> Stamp:
        """The stamp of the file in this row."""
        return Stamp(*self.stamps[4 * row : 4 * row + 4])

    def sizes(self) -> array:
        """The size of each file in bytes."""
        return self.stamps[::4]

    def lines(self, facts: Iterable[str | int]) -> list[str]:
        """The lines of the identity with a fact of each file."""
        rows = zip(self.before, facts, self.after, strict=True)
        return [f"{before}{fact}{after}" for before, fact, after in rows]
