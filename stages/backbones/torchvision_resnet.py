"""Residual networks for ImageNet-sized pictures, torchvision's own."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from longtail.stages.backbones import BACKBONES

BLOCKS = {  # module, groups, width of a group
    "basic": (BasicBlock, 1, 64),
    "bottleneck": (Bottleneck, 1, 64),
    "resnext": (Bottleneck, 32, 4),
}


@BACKBONES.register("resnet10", block="basic", layers=(1, 1, 1, 1))
@BACKBONES.register("resnet18", facts={"torchvision": "resnet18"}, block="basic", layers=(2, 2, 2, 2))
@BACKBONES.register("resnet34", facts={"torchvision": "resnet34"}, block="basic", layers=(3, 4, 6, 3))
@BACKBONES.register("resnet50", facts={"torchvision": "resnet50"}, block="bottleneck", layers=(3, 4, 6, 3))
@BACKBONES.register("resnet101", facts={"torchvision": "resnet101"}, block="bottleneck", layers=(3, 4, 23, 3))
@BACKBONES.register("resnet152", facts={"torchvision": "resnet152"}, block="bottleneck", layers=(3, 8, 36, 3))
@BACKBONES.register(
    "resnext50", facts={"torchvision": "resnext50_32x4d"}, block="resnext", layers=(3, 4, 6, 3)
)
@BACKBONES.register("resnext101", block="resnext", layers=(3, 4, 23, 3))
@BACKBONES.register("resnext152", block="resnext", layers=(3, 8, 36, 3))
class ImageNetResNet(ResNet):
    """ResNet or ResNeXt (32×4d) for ImageNet-sized pictures; D = 512 (basic blocks) or 2048 (bottlenecks).

    torchvision's network without its classifier, under its names, so that its weights fit. The last block is
    layer4. torchvision publishes weights for resnet18…152 and resnext50; its resnext101 are wider (32×8d,
    64×4d).

    Source: He 2016 (arXiv 1512.03385), Xie 2017 (1611.05431); ResNet-10 and ResNeXt-152 as in Kang 2020's
    released code (1910.09217).
    """

    last_block = ("layer4",)

    def __init__(self, in_channels: int = 3, *, block: str, layers: tuple):
        kind, groups, width = BLOCKS[block]
        super().__init__(kind, list(layers), groups=groups, width_per_group=width)
        self.num_features = self.fc.in_features
        self.fc = nn.Identity()
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
