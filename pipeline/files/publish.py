"""Write, fsync, rename: the one way a file comes to exist.

A reader sees the whole file or none, whenever the writer dies; two writers of the same name leave one of
their files whole. Errors name the file that was to be, never the temporary one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from longtail.stages.wording import file_kind

TEMPORARY = ".tmp"
MOST_REMOVALS = 100  # of a folder by other processes, while it is being made
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)  # of file systems without it, over networks


def publish(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Make `path` exist with what ``write(file)`` writes; on any failure leave no trace."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _fsync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it exist; OSError naming what is in the way, if anything is."""
    try:
        _mkdir(folder)
    except OSError as error:
        for above in (folder, *folder.parents):
            if above.is_symlink() and not above.exists():
                raise OSError(error.errno, "a link to a folder that is not there", str(above)) from error
            if above.exists() and not above.is_dir():
                kind = file_kind(above.stat().st_mode)
                raise OSError(error.errno, f"must be a folder, is {kind}", str(above)) from error
        if error.errno == errno.ENOENT:  # as under /proc
            raise OSError(error.errno, "no folder can be made here", str(folder)) from error
        raise


def _mkdir(folder: Path) -> None:
    for _ in range(MOST_REMOVALS):
        try:
            return folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            if os.path.lexists(folder):
                if folder.is_dir():
                    return None
                raise
            # Another process has removed it between two looks at it.
    return folder.mkdir(parents=True, exist_ok=True)


def publish_bytes(path: Path, content: bytes) -> str:
    """Publish `content`; returns its SHA-256."""
    publish(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def publish_json(path: Path, value: Any) -> str:
    """Publish `value` as indented JSON; returns the file's SHA-256. NaN and infinity raise ValueError."""
    return publish_bytes(path, json_file(value))


def json_file(value: Any) -> bytes:
    """What :func:`publish_json` publishes."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that ids are hashed from."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return digest_of(file)


def digest_of(file: BinaryIO) -> str:
    """SHA-256 of what is left to read of an open file."""
    if hasattr(hashlib, "file_digest"):  # from CPython 3.11 on
        return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        os.close(handle)
