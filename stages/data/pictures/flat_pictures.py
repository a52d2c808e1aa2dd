"""Pictures on which there is nothing to see, told of before something is to be learned from them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtail.stages.wording import listed

if TYPE_CHECKING:
    import numpy as np

HANDFUL = 5  # different values; a drawing in two colours has more when it is smoothed or compressed
SAMPLE = 32  # pictures that are looked at where not all are decoded at once


def distinct_values(pixels: np.ndarray) -> int:
    """How many different values stand in pixels (H, W, C) uint8; 1 for one colour all over."""
    import numpy as np

    if (pixels == pixels[:1, :1]).all():
        return 1
    return int(np.count_nonzero(np.bincount(pixels.ravel(), minlength=256)))


def warn_of_flat_pictures(names: Sequence[str], values: np.ndarray, *, sampled: bool = False) -> None:
    """Warn of pictures of one colour, and of few values where most have; `values` (N,) of each of `names`."""
    of = f"{len(names)} pictures" + (" sampled" if sampled else "")
    constant, few = values == 1, values < HANDFUL
    for flat, what in (
        (constant, "show one colour all over"),
        (few & ~constant & (2 * few.sum() > len(names)), f"have fewer than {HANDFUL} different values"),
    ):
        if flat.any():
            examples = [name for name, is_flat in zip(names, flat, strict=True) if is_flat]
            warnings.warn(
                f"{len(examples)} of {of} {what}: {listed(examples)}; if a person sees more on them, "
                "`background` or `mode` is what loses it",
                stacklevel=3,
            )
