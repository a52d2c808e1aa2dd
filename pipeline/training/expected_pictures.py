"""Whether the pictures are what a backbone was made for: their size, and how they are normalised."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from longtail.pipeline.config.sections import Representation
from longtail.pipeline.errors import LongtailError

if TYPE_CHECKING:
    from torch import nn

    from longtail.stages.data import Splits

log = logging.getLogger("longtail")

SAME_PIXEL = 0.5  # of 255: constants no further apart normalise alike


def check_input(settings: Representation, backbone: nn.Module, splits: Splits) -> None:
    """LongtailError for pictures of a size the backbone does not take; a warning for another normalisation.

    Only backbones that say what they expect are asked, and of normalisation only those with given weights.
    """
    expects = getattr(backbone, "expects", None)
    if expects is None:
        return
    name, size = settings.backbone.name, expects["size"]
    if size is not None and splits.input_shape[1:] != (size, size):
        shape = "×".join(map(str, splits.input_shape[1:]))
        raise LongtailError(
            f"data.image_size: must be {size} for backbone {name}, got {shape} pixels; "
            "the backbone's own image_size changes what it takes"
        )
    own = splits.train.constants
    wanted = {key: [255 * value for value in expects[key]] for key in ("mean", "std")}
    difference = max(abs(a - b) for key in wanted for a, b in zip(wanted[key], own[key], strict=False))
    if settings.weights is not None and difference > SAME_PIXEL:
        log.warning(
            "%s was trained on pictures normalised with mean %s and std %s, these have mean %s and std %s; "
            "data.mean and data.std change that for pictures in files",
            name,
            *(expects[key] for key in ("mean", "std")),
            *([round(value / 255, 4) for value in own[key]] for key in ("mean", "std")),
        )
