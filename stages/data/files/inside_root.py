"""Keeping what is read below a root folder, wherever links may lead."""

from __future__ import annotations

from pathlib import Path


def inside_root(path: Path, root: Path | None) -> Path:
    """`path` with every link followed; ValueError when that lies outside `root` (itself resolved).

    A `root` of None admits any place.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # the latter before Python 3.13
        raise ValueError(f"{path}: a link that leads to itself") from None
    if root is not None and not real.is_relative_to(root):
        raise ValueError(
            f"{path}: a path that leaves its root: it leads to {real}; copy it into {root}, or set "
            "`allow_outside=True`"
        )
    return real
