"""Random augmentation of training batches: crops, flips, mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Augment:
    """`pad`: zero-pad by that many pixels, then crop back at random. `flip`: mirror left-right half the time.

    `mixup` > 0: mix each batch with a shuffled copy of itself, share ~ Beta(mixup, mixup) (Zhang 2018,
    arXiv 1710.09412). For pictures decoded from files also `resized_crop`, the least share of the area that a
    random crop of random shape covers (.08 in Szegedy 2015, arXiv 1409.4842), and `jitter`: brightness,
    contrast and saturation times a factor in [1 − jitter, 1 + jitter].
    """

    pad: int = 0
    flip: bool = False
    mixup: float = 0.0
    resized_crop: float | None = None
    jitter: float = 0.0


@dataclass(frozen=True)
class Mixture:
    """Image i became share·image i + (1 − share)·image partner[i]."""

    partner: np.ndarray  # (B,) positions in the batch
    share: float


def draw_crops(
    count: int, height: int, width: int, augment: Augment, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (B, H) and columns (B, W) of the padded image each output pixel is read from."""
    top, left = rng.integers(0, 2 * augment.pad + 1, (2, count, 1))
    cols = np.broadcast_to(np.arange(width), (count, width))
    if augment.flip:
        cols = np.where(rng.random((count, 1)) < 0.5, cols[:, ::-1], cols)
    return top + np.arange(height), left + cols


def draw_mixture(count: int, augment: Augment, rng: np.random.Generator) -> Mixture | None:
    """How a batch is mixed, or None without mixup."""
    if not augment.mixup:
        return None
    return Mixture(rng.permutation(count), float(rng.beta(augment.mixup, augment.mixup)))


def mixed(images: torch.Tensor, mixture: Mixture | None) -> torch.Tensor:
    """Images (B, C, H, W) mixed as drawn; themselves without a mixture."""
    import torch

    if mixture is None:
        return images
    partner = images[torch.as_tensor(mixture.partner, device=images.device)]
    return mixture.share * images + (1 - mixture.share) * partner
