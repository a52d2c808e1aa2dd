"""JSON records that carry a checksum: the SHA-256 of everything else in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import Damaged


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def with_checksum(record: dict[str, Any]) -> dict[str, Any]:
    """`record` with its checksum under ``check``."""
    return {**record, "check": _checksum(record)}


def verified(record: Any, path: Path) -> dict[str, Any]:
    """Undo :func:`with_checksum`; Damaged, naming `path`, unless the checksum is the record's."""
    if not isinstance(record, dict) or record.pop("check", None) != _checksum(record):
        raise Damaged(f"{path}: its SHA-256 is not the one recorded")
    return record


def read_json(path: Path) -> Any:
    """A JSON file's value; Damaged when the file is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: is not JSON") from None
