"""Which files are pictures, and finding them at any depth below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from longtail.stages.data.files.inside_root import inside_root

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def walk(folder: Path, root: Path | None) -> Iterator[tuple[Path, int]]:
    """Every picture at any depth below `folder` with its size in bytes, in no order; none leaves `root`."""
    for path, status in picture_stats(os.fspath(folder), root):
        yield Path(path), status.st_size


def picture_stats(
    folder: str, root: Path | None, above: tuple[Path, ...] = ()
) -> Iterator[tuple[str, os.stat_result]]:
    """Every picture at any depth below `folder` and what the file system says of it, as :func:`walk`.

    Paths are strings: making a Path takes longer than all that is asked of a picture here.
    """
    real = inside_root(Path(folder), root)
    if real in above:
        raise ValueError(f"{folder}: a link to a folder it lies in")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from picture_stats(entry.path, root, (*above, real))
            elif entry.name[entry.name.rfind(".") :].lower() in SUFFIXES:
                if entry.is_symlink() and not inside_root(Path(entry.path), root).exists():
                    raise ValueError(f"{entry.path}: a link to a file that is not there")
                if entry.is_file():
                    yield entry.path, entry.stat()
