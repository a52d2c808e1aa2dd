"""A network ready to be trained, at the size of CIFAR's images."""

from __future__ import annotations

import numpy as np

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.training.trainee import Trainee
from longtail.pipeline.training.trainee_building import build
from longtail.stages.data import Splits
from longtail.stages.data.pictures.in_memory import ImageArrays


def trainee_for(backbone: str, batches: int) -> Trainee:
    """A network with random images of CIFAR's size, padded by 4 and flipped."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (128 * batches, 32, 32, 3), dtype=np.uint8)
    part = ImageArrays(images, rng.integers(0, 10, len(images)))
    part = part.normalized_like(part)
    counts = np.bincount(part.labels, minlength=10)
    overrides = [f"representation.backbone={backbone}", "representation.batch_size=128"]
    config = load_config("digits_lt", [*overrides, "representation.augment={pad: 4, flip: true}"])
    splits = Splits(part, part, part, 10, counts, [str(c) for c in range(10)], (3, 32, 32))
    return build(config, splits, "cpu", "float32", True)
