"""Paths as a user writes them: with ``~``, from a configuration or the command line."""

from __future__ import annotations

from pathlib import Path


def user_path(path: str | Path) -> Path:
    """`path` with a leading ``~`` or ``~name`` expanded; ValueError where that names no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0]
        raise ValueError(
            f"{path}: {name} is nobody's home folder here; ./{name} is a file of that name"
        ) from None
