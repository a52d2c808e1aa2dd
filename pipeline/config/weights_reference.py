"""What ``representation.weights`` names: a file, or weights that somebody publishes."""

from __future__ import annotations

from pathlib import Path

from longtail.pipeline.errors import LongtailError

PUBLISHERS = ("torchvision", "timm")  # of representation.weights: torchvision, torchvision:NAME, timm:TAG


def is_published(weights: str) -> bool:
    """True when ``representation.weights`` names weights to download, not a file."""
    return weights.partition(":")[0] in PUBLISHERS


def weights_file(weights: str) -> Path:
    """The file ``representation.weights`` names; LongtailError when it is not there."""
    path = Path(weights).expanduser()
    if not path.is_file():
        raise LongtailError(
            f"representation.weights: no such file, got {weights!r}; "
            f"a .safetensors or .pth file, or {' or '.join(map(repr, PUBLISHERS))} to download theirs"
        )
    return path
