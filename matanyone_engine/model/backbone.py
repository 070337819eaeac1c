# SPDX-License-Identifier: Apache-2.0
"""Builds the residual networks (ResNet-18, ResNet-50) that encode pictures, cut off after stride 16.

Nothing here sets the mode of the batch norms: for_inference() and the training loop do.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import Conv2d
from matanyone_engine.model.dims import Trunk


class BasicBlock(nn.Module):
    """Computes a residual block of ResNet-18: two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(y)).add_(self.downsample(x)).relu_()


class Bottleneck(nn.Module):
    """Computes a residual block of ResNet-50: 1x1, 3x3 and 1x1 convolutions and a shortcut; the stride sits in the
    3x3.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return self.bn3(self.conv3(y)).add_(self.downsample(x)).relu_()


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return the shortcut of a block: a projection where the shape changes, else the identity, which has no keys in a
    checkpoint.
    """
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


# Of each trunk: the class of its blocks, and how many there are at strides 4, 8 and 16.
_PLANS: dict[Trunk, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2)),
    "resnet50": (Bottleneck, (3, 4, 6)),
}


def trunk_stages(trunk: Trunk, width: int) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Return the stages at strides 4, 8 and 16 of a trunk whose stem has `width` channels."""
    block, counts = _PLANS[trunk]
    stages = []
    inputs = width
    for level, count in enumerate(counts):
        stage_width = width << level
        blocks = [block(inputs, stage_width, stride=1 if level == 0 else 2)]
        inputs = stage_width * block.expansion
        blocks += [block(inputs, stage_width, stride=1) for _ in range(count - 1)]
        stages.append(nn.Sequential(*blocks))
    return stages[0], stages[1], stages[2]


def stem(inputs: int, width: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return the first layers of a trunk: a 7x7 convolution of stride 2, and its norm."""
    return Conv2d(inputs, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width)


def stem_pool(x: Tensor) -> Tensor:
    """Apply the max pooling that follows the stem: windows of 3x3, stride 2."""
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
