"""What a folder of pictures holds: counts of every class, and what a sample of the pictures is like."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtail.pipeline.config.setting_names import data_settings, settings_named
from longtail.pipeline.errors import LongtailError
from longtail.stages.data.files.picture_folders import scan
from longtail.stages.data.files.user_path import user_path
from longtail.stages.data.pictures.reading.opening import opened
from longtail.stages.data.pictures.transparency import fitting_background
from longtail.stages.wording import listed

log = logging.getLogger("longtail")

PLACES = ("allow_outside", "train", "val", "test")  # settings that say where pictures lie
SAMPLE = 200  # pictures whose headers are read, about
GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L")  # Pillow's modes without colour


@dataclass(frozen=True)
class Survey:
    """The pictures of each class in each part of a folder, and what a sample of them is like."""

    counts: dict[str, dict[str, int]]  # part → class → pictures; every class of train in every part
    sides: list[int]  # shorter sides, in pixels, of the pictures sampled
    grey: bool  # no picture sampled has colour
    broken: list[str] = field(default_factory=list)  # pictures sampled that cannot be read
    transparent: int = 0  # pictures sampled with a pixel that is not opaque
    background: str = "white"  # on which what those show stands out

    @property
    def total(self) -> int:
        """Pictures of all parts."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    @property
    def sampled(self) -> int:
        """Pictures whose headers were read, or could not be."""
        return len(self.sides) + len(self.broken)


def survey_folder(folder: str, given: Mapping[str, Any] | None = None) -> Survey:
    """Count the pictures of every class and read the headers of some; only transparent ones are decoded.

    `given` are settings of the data, of which those that say where pictures lie count here.

    ValueError when the folder holds no classes with pictures, LongtailError when it holds only one class or
    when no picture sampled can be read.
    """
    with settings_named(data_settings("image_folder")):
        where = {key: value for key, value in (given or {}).items() if key in PLACES}
        parts, names = scan(folder, say=log.warning, **where)
    if len(names) < 2:
        raise LongtailError(f"{folder}: holds pictures of one class, {names[0]!r}; a second one is needed")
    counts = {}
    for part, pictures in parts.items():
        tally = Counter(picture.label for picture in pictures)
        counts[part] = {name: tally[name] for name in names}
    paths = [picture.path for pictures in parts.values() for picture in pictures]
    step = max(1, math.ceil(len(paths) / SAMPLE))
    top = user_path(folder)
    sample = [top / path for path in paths[::step]]
    sides, grey, broken = _read_headers(sample)
    names = [str(path.relative_to(top)) for path in broken]
    return Survey(counts, sides, grey, names, *fitting_background(sample))


def _read_headers(paths: Sequence[Path]) -> tuple[list[int], bool, list[Path]]:
    """(shorter sides in pixels, whether no picture has colour, what cannot be read).

    LongtailError when no picture can be read.
    """
    sides, modes, broken = [], set(), {}
    for path in paths:
        try:
            with opened(path) as picture:
                sides.append(min(picture.size))
                modes.add(picture.mode)
        except Exception as error:  # Pillow raises anything, from OSError to IndexError
            broken[path] = f"{path} ({error or type(error).__name__})"
    if not sides:
        raise LongtailError(f"none of {len(paths)} pictures sampled can be read: {listed(broken.values())}")
    if broken:
        log.warning(
            "%d of %d pictures sampled cannot be read: %s; they are left out (data.unreadable: skip)",
            len(broken),
            len(paths),
            listed(broken.values()),
        )
    return sides, modes <= set(GREY_MODES), list(broken)
