"""Words that messages share."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

SHOWN = 5  # items a message lists before it counts the rest


def listed(items: Iterable[object], shown: int = SHOWN, *, total: int | None = None) -> str:
    """The first few of a list, and how many more there are: ``a, b and 3 more``.

    `total` is how many there are where `items` holds only the first ones.
    """
    texts = [str(item) for item in items]
    more = (len(texts) if total is None else total) - shown
    return ", ".join(texts[:shown]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 class``, ``2 classes``; `many` defaults to `one` + s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def as_written(value: object) -> str:
    """A setting as YAML writes it: ``true``, ``null``, ``'text'``, ``3``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def searched(folders: Iterable[Path]) -> str:
    """The folders of a search in vain, and the folder that relative ones start in."""
    folders = list(folders)
    relative = not all(folder.is_absolute() for folder in folders)
    start = f"; relative ones start in {os.getcwd()}" if relative else ""
    return ", ".join(map(str, folders)) + start


def looked_for(path: str | Path) -> str:
    """A path as it was given, and in full where that differs: a relative one starts where the command runs.

    ``'pictures' (/home/me/pictures, which is not there)``
    """
    full = os.path.abspath(os.path.expanduser(path))
    try:
        state = f"which is {file_kind(os.stat(full).st_mode)}"
    except (OSError, ValueError):
        state = "which is a link to nothing" if os.path.islink(full) else "which is not there"
    return f"{str(path)!r} ({state if str(path) == full else f'{full}, {state}'})"


def encodable(path: object) -> str:
    """A path as text that UTF-8 can hold: bytes of its name that are not characters become question marks."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def printable(path: object) -> str:
    """A path as text for any terminal: characters that are not printable become question marks."""
    return "".join(character if character.isprintable() else "?" for character in encodable(path))


def file_kind(mode: int) -> str:
    """What a file's mode says it is: ``a file``, ``a folder``, ``a FIFO``, ``a socket``, ``a device``."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
    return {**kinds, stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")


def excerpt(text: object, most: int = 40) -> str:
    """The beginning of what a file or a user says, for a message: what it is about, not all of it."""
    text = str(text)
    return text if len(text) <= most else f"{text[:most]}…"
