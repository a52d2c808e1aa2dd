"""What ``representation.weights`` names: a file, or weights that somebody publishes."""

from __future__ import annotations

from pathlib import Path

from longtail.pipeline.errors import LongtailError
from longtail.stages.data.files.regular_file import require_regular
from longtail.stages.data.files.user_path import user_path

PUBLISHERS = ("torchvision", "timm")  # of representation.weights: torchvision, torchvision:NAME, timm:TAG


def is_published(weights: str) -> bool:
    """True when ``representation.weights`` names weights to download, not a file."""
    return weights.partition(":")[0] in PUBLISHERS


def weights_file(weights: str) -> Path:
    """The file ``representation.weights`` names; LongtailError when it cannot be opened."""
    try:
        path = user_path(weights)
        require_regular(path)
    except ValueError as error:
        reason = getattr(error, "reason", error)
        raise LongtailError(
            f"representation.weights: {reason}, got {weights!r}; "
            f"a .safetensors or .pth file, or {' or '.join(map(repr, PUBLISHERS))} to download theirs"
        ) from None
    return path
