"""Which files are pictures, and finding them at any depth below a folder."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from longtail.stages.data.files.inside_root import inside_root
from longtail.stages.data.files.passed_over import NEEDS, PassedOver
from longtail.stages.data.files.regular_file import refuse_special

# Whatever these hold: a picture's format is recognised by content.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"),
    *(".jpe", ".jfif", ".apng", ".dib", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx", ".tga", ".ico"),
)


@cache
def picture_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that are taken for pictures, in lower case: HEIF's only with pillow-heif."""
    return SUFFIXES + (tuple(NEEDS) if importlib.util.find_spec("pillow_heif") else ())


def walk(folder: Path, root: Path | None, *, passed: PassedOver | None = None) -> Iterator[tuple[Path, int]]:
    """Every picture at any depth below `folder` with its size in bytes, in no order; none leaves `root`.

    Other files are counted in `passed`, hidden ones apart.
    """
    for path, status in picture_stats(os.fspath(folder), root, passed):
        yield Path(path), status.st_size


def picture_stats(
    folder: str, root: Path | None, passed: PassedOver | None = None, above: tuple[Path, ...] = ()
) -> Iterator[tuple[str, os.stat_result]]:
    """Every picture at any depth below `folder` and what the file system says of it, as :func:`walk`.

    ValueError for a link that leads nowhere, and for a FIFO, socket or device with a picture's suffix.
    Paths are strings: making a Path takes longer than all that is asked of a picture here.
    """
    real, suffixes = inside_root(Path(folder), root), frozenset(picture_suffixes())
    if real in above:
        raise ValueError(f"{folder}: a link to a folder it lies in")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from picture_stats(entry.path, root, passed, (*above, real))
            elif entry.name[entry.name.rfind(".") :].lower() in suffixes:
                if entry.is_symlink() and not inside_root(Path(entry.path), root).exists():
                    raise ValueError(f"{entry.path}: a link to a file that is not there")
                status = entry.stat()
                refuse_special(entry.path, status)
                yield entry.path, status
            elif passed is not None:
                passed.add(entry.name)
