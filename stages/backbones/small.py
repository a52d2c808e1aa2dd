"""A network small enough for a laptop and a coffee-free evening."""

from __future__ import annotations

import torch
from torch import nn

from stages.backbones import BACKBONES


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


@BACKBONES.register("small_cnn")
class SmallCNN(nn.Module):
    """Three 3×3 convolutions of 16, 32 and 64 channels with batch norm, then the mean over positions; D = 64.

    Max-pooling halves the image after the first two, so images may be as small as 4×4.

    Source: this project's own; for quick tables, not for published ones.
    """

    num_features = 64

    def __init__(self, in_channels: int = 3):
        super().__init__()
        self.layers = nn.Sequential(
            *_block(in_channels, 16), nn.MaxPool2d(2), *_block(16, 32), nn.MaxPool2d(2), *_block(32, 64)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) → (B, 64)."""
        return self.layers(images).mean((2, 3))
