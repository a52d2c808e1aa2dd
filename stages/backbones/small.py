"""A network small enough for a laptop and a short evening."""

from __future__ import annotations

import torch
from torch import nn

from longtail.stages.backbones import BACKBONES
from longtail.stages.parameters import Width


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNet
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


@BACKBONES.register("small_cnn")
class SmallCNN(nn.Module):
    """Three 3×3 convolutions of 16, 32 and 64 channels, strides 1, 2, 2, with batch norm; D = 64.

    Features are the mean over positions. Images may have any size. `bottleneck` adds a linear layer to
    that many features, D = `bottleneck`: with 2 they can be drawn (`longtail boundaries`).

    Source: this project's own; for quick tables, not for published ones.
    """

    num_features = 64
    last_block = ("layers.6", "layers.7")

    def __init__(self, in_channels: int = 3, *, bottleneck: Width | None = None):
        super().__init__()
        self.layers = nn.Sequential(*_block(in_channels, 16, 1), *_block(16, 32, 2), *_block(32, 64, 2))
        self.bottleneck = None
        if bottleneck is not None:
            self.bottleneck = nn.Linear(self.num_features, bottleneck)
            self.num_features = bottleneck
            self.last_block = (*self.last_block, "bottleneck")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) → (B, D)."""
        features = self.layers(images).mean((2, 3))
        return features if self.bottleneck is None else self.bottleneck(features)
