"""JSON records that carry the SHA-256 of what they say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import Damaged


def _check(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def checked(said: dict[str, Any]) -> dict[str, Any]:
    """A record with the SHA-256 of what it says."""
    return {**said, "check": _check(said)}


def unchecked(said: Any, path: Path) -> dict[str, Any]:
    """Undo :func:`checked`; Damaged for a record that is not what was written."""
    if not isinstance(said, dict) or said.pop("check", None) != _check(said):
        raise Damaged(f"{path}: its SHA-256 is not the one recorded")
    return said


def read_json(path: Path) -> Any:
    """A JSON file's value; Damaged when it is none."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: is not JSON") from None
