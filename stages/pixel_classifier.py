"""Normalisation, backbone and classifier as one module, so that none of them can be forgotten."""

from __future__ import annotations

import torch
from torch import nn


class PixelClassifier(nn.Module):
    """Pixels (B, channels, H, W) float32 in [0, 1] to scores (B, C).

    `mean` and `std` have a number for each channel, of pixels in [0, 255]; `classifier` maps the features of
    `backbone` (B, D) to scores.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, *, mean: list[float], std: list[float]):
        super().__init__()
        self.backbone, self.classifier = backbone, classifier
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) / 255)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1) / 255)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.backbone((pixels - self.mean) / self.std))
