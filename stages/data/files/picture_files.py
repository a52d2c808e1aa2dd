"""Which files are pictures, and finding them at any depth below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from longtail.stages.data.files.inside_root import inside_root

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def walk(folder: Path, root: Path | None, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, int]]:
    """Every picture at any depth below `folder` with its size in bytes, in no order; none leaves `root`."""
    real = inside_root(folder, root)
    if real in above:
        raise ValueError(f"{folder}: a link to a folder it lies in")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from walk(path, root, (*above, real))
            elif path.suffix.lower() in SUFFIXES:
                if entry.is_symlink() and not inside_root(path, root).exists():
                    raise ValueError(f"{path}: a link to a file that is not there")
                if entry.is_file():
                    yield path, entry.stat().st_size
