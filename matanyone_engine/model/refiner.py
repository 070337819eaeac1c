# SPDX-License-Identifier: Apache-2.0
"""Refines an alpha that was enlarged to a plate's size, from the plate's own pixels.

The core of a Lite network computes small frames, and what it says of an edge is a few plate pixels wide. The refiner
starts from a classical idea: near an edge, the sure inside has one colour and the sure outside another, and a pixel's
alpha is how far its own colour lies between the two. That estimate is right for a strand of hair and wrong where both
colours are alike, so a small network weighs it against the core's alpha. Its convolutions run at half of the plate's
size, because at full size most of the time goes into moving memory.

Rules of this file:
1. It keeps nothing and knows no frame but this one; what is remembered of a shot is the core's alpha.
2. Given the colours, an answer depends on MARGIN pixels around it and on nothing else, so a plate may be computed in
   parts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import Conv2d, conv3

FOLD = 2
"""Plate pixels on a side that become channels."""
MARGIN = 20
"""Plate pixels around an answer that it depends on: a multiple of FOLD."""
MOST_ENLARGED = 2.7
"""The largest enlargement that it was trained for; more is done in several steps."""
COLOUR_STRIDE = 4
"""Pixels of the alpha before it was enlarged to a pixel of edge_colours()."""

_DILATIONS = (1, 2, 4)
_SLOPE = 0.1
"""Of the activation below 0. With a slope of 0 the units of an earlier trial died."""
_LEVELS = 3
_FARTHER = 0.03
"""How much colours from COLOUR_STRIDE times as far away count."""
_LEAST_CONTRAST = 1e-3
"""Added to the squared distance of two colours (0..1) before it divides: less is noise."""


def edge_colours(alpha: Tensor, plate: Tensor) -> Tensor:
    """Return the mean colours of the sure inside and of the sure outside around each pixel, (B, 6, ceil(h /
    COLOUR_STRIDE), ceil(w / COLOUR_STRIDE)), display-referred 0..1.

    alpha (B, 1, h, w) and plate (B, 3, h, w): of one size, before enlargement. Near colours count most; where there are
    none, farther ones are taken.
    """
    inside, outside = (2 * alpha - 1).clamp_min(0).square(), (1 - 2 * alpha).clamp_min(0).square()
    weighed = torch.cat([inside * plate, inside, outside * plate, outside], dim=1)
    levels = []
    for _ in range(_LEVELS):
        weighed = F.avg_pool2d(weighed, COLOUR_STRIDE, ceil_mode=True, count_include_pad=False)
        levels.append(F.avg_pool2d(weighed, 3, 1, 1, count_include_pad=False))
    total = levels[-1]
    for level in reversed(levels[:-1]):
        wider = F.interpolate(total, scale_factor=COLOUR_STRIDE, mode="bilinear", align_corners=False)
        total = level + _FARTHER * wider[..., : level.shape[-2], : level.shape[-1]]
    within, without = total[:, :4], total[:, 4:]
    return torch.cat([within[:, :3] / (within[:, 3:] + 1e-7), without[:, :3] / (without[:, 3:] + 1e-7)], dim=1)


def colour_estimate(plate: Tensor, colours: Tensor) -> Tensor:
    """Return where each pixel's colour lies between outside and inside, and how far that can be trusted.

    plate (B, 3, H, W) and colours (B, 6, H, W) of the plate's size -> (B, 3, H, W): the estimate of alpha, -0.5..1.5;
    the distance of the two colours; the distance of the pixel from the line between them.
    """
    inside, outside = colours[:, :3], colours[:, 3:]
    line, here = inside - outside, plate - outside
    length = line.square().sum(dim=1, keepdim=True)
    position = ((line * here).sum(dim=1, keepdim=True) / (length + _LEAST_CONTRAST)).clamp_(-0.5, 1.5)
    off = (here - position * line).square().sum(dim=1, keepdim=True)
    return torch.cat([position, length.sqrt(), off.sqrt()], dim=1)


class Refiner(nn.Module):
    """Weighs the core's alpha against what the colours say, and sharpens it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv3(7 * FOLD**2 + 1, width)
        self.body = nn.ModuleList(Conv2d(width, width, 3, padding=step, dilation=step) for step in _DILATIONS)
        self.head = conv3(width, 3 * FOLD**2)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, plate: Tensor, alpha: Tensor, colours: Tensor, enlarged: float | Tensor) -> Tensor:
        """Return the refined alpha (B, 1, H, W), not clamped; within MARGIN of the border it is not to be used.

        plate (B, 3, H, W) display-referred 0..1, alpha (B, 1, H, W) 0..1 and colours (B, 6, H, W), the latter two
        enlarged, all of one even size; enlarged: plate pixels to a pixel of the alpha before, a number or (B, 1, 1, 1).
        """
        estimate = colour_estimate(plate, colours)
        shown = F.pixel_unshuffle(2 * torch.cat([plate, alpha, estimate], dim=1) - 1, FOLD)
        step = torch.as_tensor(enlarged, device=alpha.device, dtype=alpha.dtype).log() / math.log(MOST_ENLARGED)
        x = torch.cat([shown, step.expand(len(shown), 1, *shown.shape[-2:])], dim=1)
        x = F.leaky_relu(self.enter(x), _SLOPE)
        for layer in self.body:
            x = x + F.leaky_relu(layer(x), _SLOPE)
        gain, offset, trust = F.pixel_shuffle(self.head(x).float(), FOLD).split(1, dim=1)
        by_colour = estimate[:, :1].clamp(0, 1)
        return 0.5 + (1 + gain) * (alpha - 0.5) + offset + trust * (by_colour - alpha)
