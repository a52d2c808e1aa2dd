"""LeNet-5."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from longtail.stages.backbones import BACKBONES

SIDE = 32


@BACKBONES.register("lenet5")
class LeNet5(nn.Module):
    """LeNet-5 (6-16-120-84) with ReLU and max-pooling; D = 84.

    Images smaller than 32×32 are zero-padded to it, as the paper did with MNIST's 28×28; larger ones raise
    ValueError.

    Source: LeCun 1998, Gradient-based learning applied to document recognition; this form in Ren 2018
    (arXiv 1803.09050).
    """

    num_features = 84
    last_block = ("fc2",)

    def __init__(self, in_channels: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H ≤ 32, W ≤ 32) → (B, 84)."""
        height, width = images.shape[2:]
        if height > SIDE or width > SIDE:
            raise ValueError(f"lenet5: images must be at most {SIDE}×{SIDE}, got {height}×{width}")
        top, left = (SIDE - height) // 2, (SIDE - width) // 2
        padded = F.pad(images, (left, SIDE - width - left, top, SIDE - height - top))
        x = F.max_pool2d(F.relu(self.conv1(padded)), 2)  # (B, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 16, 5, 5)
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
