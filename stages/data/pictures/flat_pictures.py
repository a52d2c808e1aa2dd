"""Pictures on which there is nothing to see, told of before something is to be learned from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.stages.data.files.each_file import try_each
from longtail.stages.data.pictures.read_picture import open_picture
from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

HANDFUL = 5  # different values; a drawing in two colours has more when it is smoothed or compressed
SAMPLE = 32  # pictures that are looked at where not all are decoded at once


def distinct_values(pixels: np.ndarray) -> int:
    """How many different values stand in pixels (H, W, C) uint8; 1 for one colour all over."""
    import numpy as np

    if (pixels == pixels[:1, :1]).all():
        return 1
    return int(np.count_nonzero(np.bincount(pixels.ravel(), minlength=256)))


def flat_pictures(names: Sequence[str], values: Iterable[int], *, sampled: bool = False) -> list[str]:
    """What to warn of: pictures of one colour, and of few values where most have; a line each.

    `values` says for each of `names` how many different values its pixels have.
    """
    constant, few = [], []
    for name, count in zip(names, values, strict=True):
        if count < HANDFUL:
            (constant if count == 1 else few).append(name)
    if 2 * (len(constant) + len(few)) <= len(names):
        few = []
    of = f"{len(names)} pictures" + (" sampled" if sampled else "")
    return [
        f"{len(flat)} of {of} {what}: {listed(flat)}; if a person sees more on them, `background` or `mode` "
        "is what loses it"
        for flat, what in (
            (constant, "show one colour all over"),
            (few, f"have fewer than {HANDFUL} different values"),
        )
        if flat
    ]


def flat_sample(
    root: Path, paths: Sequence[str], reading: Mapping[str, Any], workers: int | None = None
) -> list[str]:
    """:func:`flat_pictures` of some of many pictures at `paths` below `root`; unreadable ones are left out.

    `reading` holds the `mode`, `background` and `max_pixels` with which they are read. Loads no numpy.
    """
    sample = list(paths[:: max(1, -(-len(paths) // SAMPLE))])
    values = [0] * len(sample)

    def look_at(row: int) -> None:
        values[row] = _values_of_picture(open_picture(root / sample[row], **reading))

    broken = try_each(sample, look_at, workers)
    read = [row for row in range(len(sample)) if row not in broken]
    names, values = [sample[row] for row in read], [values[row] for row in read]
    return flat_pictures(names, values, sampled=len(sample) < len(paths))


def _values_of_picture(picture: Image) -> int:
    """:func:`distinct_values` of a picture, by its histogram: 256 counts for each channel, in turn."""
    counts = picture.histogram()
    if sum(map(bool, counts)) == len(picture.getbands()):
        return 1
    return sum(any(counts[value::256]) for value in range(256))
