"""Write, fsync, rename: the one way a file comes to exist.

A reader sees the whole file or none, whenever the writer dies; two writers of the same name leave one of
their files whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

TEMPORARY = ".tmp"


def publish(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Make `path` exist with what ``write(file)`` writes; on any failure leave no trace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_folder(path.parent)


def publish_bytes(path: Path, content: bytes) -> str:
    """Publish `content`; returns its SHA-256."""
    publish(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def publish_json(path: Path, value: Any) -> str:
    """Publish `value` as indented JSON; returns the file's SHA-256. NaN and infinity raise ValueError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return publish_bytes(path, text.encode() + b"\n")


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
    finally:
        os.close(handle)
