"""JSON records that carry a checksum: the SHA-256 of everything else in them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import Damaged
from longtail.stages.data.files.regular_file import UnreadableFile, read_with_status

MOST_BYTES = 2**26  # of a record; the largest have some numbers for each of 100,000 classes


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def with_checksum(record: dict[str, Any]) -> dict[str, Any]:
    """`record` with its checksum under ``check``."""
    return {**record, "check": _checksum(record)}


def verified(record: Any, path: Path) -> dict[str, Any]:
    """Undo :func:`with_checksum`; Damaged, naming `path`, unless the checksum is the record's."""
    try:
        if isinstance(record, dict) and record.pop("check", None) == _checksum(record):
            return record
    except (ValueError, RecursionError):  # JSON that can be read, but is too deep or long to be written
        pass
    raise Damaged(f"{path}: its SHA-256 is not the one recorded")


def read_json(path: Path) -> Any:
    """A JSON file's value; Damaged, naming `path`, for what is not JSON and for what cannot be read."""
    return parse_json(read_record(path)[0], path)


def parse_json(content: bytes | str, path: Path) -> Any:
    """The JSON value of the `content` of `path`; Damaged, naming that, for other text."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: is not JSON") from None


def read_record(path: Path, most: int = MOST_BYTES) -> tuple[bytes, os.stat_result]:
    """A file's bytes, and its status from before they were read.

    FileNotFoundError where nothing has this name. Damaged, naming `path` and the reason, for whatever else
    cannot be read: a folder, FIFO, socket or device, a link that leads nowhere or in a circle, a file that
    is not this user's to read, one of more than `most` bytes.
    """
    try:
        return read_with_status(path, most)
    except UnreadableFile as error:
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{path}: is missing") from None
        raise Damaged(str(error)) from None
