"""Pictures as a part of a data set: kept in memory, or decoded when they are needed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data.files.each_file import try_each
from longtail.stages.data.files.user_path import user_path
from longtail.stages.data.parts import Collection
from longtail.stages.data.pictures.flat_pictures import distinct_values, flat_pictures, flat_sample
from longtail.stages.data.pictures.read_picture import decode, open_picture
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.data.pictures.unreadable import readable_rows

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.data.pictures.in_memory import ImageArrays
    from longtail.stages.data.pictures.on_disk import ImageFiles


def picture_collection(
    root: str | Path,
    listed: dict[str, tuple[list[str], list[int]]],
    class_names: list[str],
    settings: PictureSettings,
) -> Collection:
    """Pictures below `root` as a data set; `listed` has (paths, labels) of each part that is there.

    Raises ValueError for settings that do not go together, pixels that do not fit into memory, and pictures
    that cannot be read.
    """
    settings.check(count=sum(len(paths) for paths, _ in listed.values()))
    top = user_path(root)
    parts = {part: picture_part(top, paths, labels, settings) for part, (paths, labels) in listed.items()}
    return Collection(parts["train"], parts.get("val"), parts.get("test"), class_names)


def picture_part(
    root: Path, paths: Sequence[str], labels: Sequence[int], settings: PictureSettings
) -> ImageArrays | ImageFiles:
    """Pictures at `paths` below `root`, with a label each, as a part of a data set.

    Raises ValueError naming pictures that cannot be read; with `unreadable` skip those are left out.
    """
    import numpy as np

    labels = np.asarray(labels, np.int64)
    kind = _kept_in_memory if settings.in_memory else _decoded_when_needed
    return kind(root, paths, labels, settings)


def _kept_in_memory(
    root: Path, paths: Sequence[str], labels: np.ndarray, settings: PictureSettings
) -> ImageArrays:
    import numpy as np
    import torch

    from longtail.stages.data.pictures.in_memory import ImageArrays

    files, side = [root / path for path in paths], settings.image_size
    images = np.empty((len(files), side, side, settings.channels), np.uint8)
    values = np.zeros(len(files), np.int64)

    def decode_into(row: int) -> None:
        images[row] = decode(files[row], (side, side), resize=settings.resize, **settings.reading)
        values[row] = distinct_values(images[row])

    rows = readable_rows(try_each(files, decode_into, settings.workers), len(files), settings)
    _warn(flat_pictures([path for path, keep in zip(paths, rows, strict=True) if keep], values[rows]))
    constants = {key: torch.tensor(given) for key, given in settings.given_constants.items()}
    return ImageArrays(
        images if rows.all() else images[rows],
        labels[rows],
        resize=settings.resize,
        background=settings.background,
        max_pixels=settings.max_pixels,
        keep_constants=bool(constants),
        **constants,
    )


def _decoded_when_needed(
    root: Path, paths: Sequence[str], labels: np.ndarray, settings: PictureSettings
) -> ImageFiles:
    import numpy as np

    from longtail.stages.data.pictures.on_disk import ImageFiles

    rows = np.ones(len(paths), bool)
    if settings.unreadable == "skip":  # every picture is opened once, to know what to leave out
        files = [root / path for path in paths]
        broken = try_each(files, lambda row: open_picture(files[row], **settings.reading), settings.workers)
        rows = readable_rows(broken, len(files), settings)
    readable = [path for path, keep in zip(paths, rows, strict=True) if keep]
    _warn(flat_sample(root, readable, settings.reading, settings.workers))
    return ImageFiles(root, readable, labels[rows], settings)


def _warn(lines: Sequence[str]) -> None:
    for line in lines:
        warnings.warn(line, stacklevel=4)
