"""Opening what a user names: a regular file, links followed, and of bounded size where it is read as a whole.

A FIFO, a device or a socket is refused by name before it is opened: reading one may never end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from longtail.stages.wording import file_kind

MOST_LIST_BYTES = 2**31  # lists of pictures, iNaturalist's JSON
MOST_NAMES_BYTES = 2**26  # names of classes


class UnreadableFile(ValueError):
    """A file that cannot be read: ``str()`` names it, `reason` is for messages that do so themselves."""

    def __init__(self, path: str | Path, reason: str):
        self.path, self.reason = Path(path), reason
        super().__init__(f"{path}: {reason}")


def require_regular(path: str | Path) -> os.stat_result:
    """The status of the regular file that `path` is or leads to, for libraries that open paths themselves.

    UnreadableFile for anything else, and for what is not there.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # the latter for a NUL in its name
        raise _unreadable(path, error) from None
    refuse_special(path, status)
    return status


def open_regular(path: str | Path) -> BinaryIO:
    """The regular file that `path` is or leads to, opened for reading bytes; UnreadableFile for others."""
    require_regular(path)  # before it is opened: opening a device may do something
    try:
        # Should a FIFO have taken the file's place since, opening does not wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(handle, "rb")
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        refuse_special(path, os.fstat(handle))
    except UnreadableFile:
        file.close()
        raise
    return file


def read_bytes(path: str | Path, most: int) -> bytes:
    """A regular file's content; UnreadableFile for more than `most` bytes and for what cannot be read."""
    return read_with_status(path, most)[0]


def read_with_status(path: str | Path, most: int) -> tuple[bytes, os.stat_result]:
    """A regular file's content, and its status from before it was read; raises as :func:`read_bytes`."""
    with open_regular(path) as file:
        try:
            status = os.fstat(file.fileno())
            # The file may have grown since, or be one of those whose size the system does not know.
            content = b"" if status.st_size > most else file.read(most + 1)
        except OSError as error:
            raise _unreadable(path, error) from None
    if max(status.st_size, len(content)) > most:
        raise UnreadableFile(path, f"is longer than {_size(most)}")
    return content, status


def read_text(path: str | Path, most: int) -> str:
    """A regular file's UTF-8 text, without a byte order mark; UnreadableFile as :func:`read_bytes`."""
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableFile(path, f"is not UTF-8 text (byte {error.start})") from None


def refuse_special(path: str | Path, status: os.stat_result) -> None:
    """UnreadableFile unless `status`, that of `path` with links followed, is a regular file's."""
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(path, f"must be a file, is {file_kind(status.st_mode)}")


def _unreadable(path: str | Path, error: OSError | ValueError) -> UnreadableFile:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        dangling = os.path.islink(path)
        return UnreadableFile(path, "a link to a file that is not there" if dangling else "no such file")
    reason = getattr(error, "strerror", None) or error
    return UnreadableFile(path, f"cannot be read ({reason})")


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count} bytes"
