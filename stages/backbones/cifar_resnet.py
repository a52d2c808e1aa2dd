"""The thin residual networks of 6n+2 layers made for 32×32 images."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from longtail.stages.backbones import BACKBONES


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a parameter-free shortcut (option A): strided, new channels zero."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.widen = stride, (outputs - inputs) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 or self.widen:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.widen, self.widen))
        return F.relu(out + x)


@BACKBONES.register("resnet8", blocks=1)
@BACKBONES.register("resnet14", blocks=2)
@BACKBONES.register("resnet20", blocks=3)
@BACKBONES.register("resnet26", blocks=4)
@BACKBONES.register("resnet32", blocks=5)
@BACKBONES.register("resnet44", blocks=7)
@BACKBONES.register("resnet56", blocks=9)
@BACKBONES.register("resnet110", blocks=18)
class CifarResNet(nn.Module):
    """ResNet of 6·blocks + 2 layers for CIFAR-sized images: 16, 32, 64 channels, option A shortcuts; D = 64.

    Convolutions start from Kaiming's normal initialisation.

    Source: He 2016 (arXiv 1512.03385), section 4.2.
    """

    num_features = 64

    def __init__(self, in_channels: int = 3, *, blocks: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        layers, inputs = [], 16
        for outputs, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(blocks):
                layers.append(BasicBlock(inputs, outputs, stride if block == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.last_block = tuple(f"blocks.{row}" for row in range(2 * blocks, 3 * blocks))

    def public_names(self) -> list[dict[str, str]]:
        """What published checkpoints of this network call its tensors, by their names here.

        ``layer1.0.conv1`` as in LDAM-DRW, CDB-loss and MiSLAS, and ``stage_1.0.conv_a`` as in code that goes
        back to ResNeXt's.
        """
        depth = len(self.blocks) // 3
        plain, lettered = {}, {}
        for name in self.state_dict():
            plain[name] = lettered[name] = name
            if name.startswith("blocks."):
                _, row, rest = name.split(".", 2)
                stage, block = divmod(int(row), depth)
                plain[name] = f"layer{stage + 1}.{block}.{rest}"
                kind = rest.replace("1.", "_a.", 1).replace("2.", "_b.", 1)
                lettered[name] = f"stage_{stage + 1}.{block}.{kind}"
            else:
                lettered[name] = name.replace("conv1.", "conv_1_3x3.").replace("bn1.", "bn_1.")
        return [plain, lettered]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) → (B, 64)."""
        return self.blocks(F.relu(self.bn1(self.conv1(images)))).mean((2, 3))
