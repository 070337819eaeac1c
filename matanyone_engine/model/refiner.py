# SPDX-License-Identifier: Apache-2.0
"""Refines an alpha that was enlarged to a plate's size, from the plate's own pixels.

The core of a Lite network computes small frames, so its edges are blurred over a few pixels of the plate. The refiner
uses a classical idea: near an edge, subject and background have a colour each, and a pixel's alpha is where its own
colour lies between the two. That estimate is right for a strand of hair, and wrong where both colours are alike, so a
small network weighs it against the core's alpha. Its convolutions run at half of the plate's size, because at full size
most of the time goes into moving memory.

Rules of this file:
1. The refiner keeps no state and reads no other frame. What a session remembers is the core's alpha.
2. With the colours given, a pixel's result depends on MARGIN pixels around it and on nothing else, so a plate may be
   refined in parts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matanyone_engine.model.blocks import Conv2d, conv3

FOLD = 2
"""The factor of the pixel unshuffle before the convolutions: FOLD x FOLD pixels of the plate become channels."""
MARGIN = 20
"""Pixels of the plate around a pixel that its result depends on; a multiple of FOLD."""
MOST_ENLARGED = 2.7
"""The largest enlargement that the refiner was trained for. A larger one is done in several steps."""
COLOUR_STRIDE = 4
"""Pixels of the alpha, before it is enlarged, on a side of a pixel of edge_colours()."""

_DILATIONS = (1, 2, 4)
_SLOPE = 0.1
"""The activation's slope below 0. With a slope of 0, units of an earlier network stopped learning."""
_LEVELS = 3
_FARTHER = 0.03
"""The weight of each level of colours against the level before it, which is COLOUR_STRIDE times as near."""
_LEAST_CONTRAST = 1e-3
"""Added to the squared distance of the two colours (0..1) before it divides, because a smaller distance is noise."""


def edge_colours(alpha: Tensor, plate: Tensor) -> Tensor:
    """Return the mean colours of the subject and of the background around each pixel.

    The result is (B, 6, ceil(h / COLOUR_STRIDE), ceil(w / COLOUR_STRIDE)), display-referred 0..1.
    alpha (B, 1, h, w) 0..1 and plate (B, 3, h, w) display-referred 0..1, both of the size before enlargement. Pixels
    count the more, the nearer their alpha is to 1 (subject) or to 0 (background). Near colours count most; farther ones
    are used where there are no others.
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
    subject, background = total[:, :4], total[:, 4:]
    return torch.cat([subject[:, :3] / (subject[:, 3:] + 1e-7), background[:, :3] / (background[:, 3:] + 1e-7)], dim=1)


def colour_estimate(plate: Tensor, colours: Tensor) -> Tensor:
    """Return an alpha estimated from colours alone, and two distances that say how far it can be trusted.

    plate (B, 3, H, W), colours (B, 6, H, W) as edge_colours() makes them, enlarged to the plate's size. The result is
    (B, 3, H, W): the alpha, -0.5..1.5; the distance between the two colours; the distance of the pixel's colour from
    the line through the two.
    """
    subject, background = colours[:, :3], colours[:, 3:]
    line, here = subject - background, plate - background
    length = line.square().sum(dim=1, keepdim=True)
    position = ((line * here).sum(dim=1, keepdim=True) / (length + _LEAST_CONTRAST)).clamp_(-0.5, 1.5)
    off = (here - position * line).square().sum(dim=1, keepdim=True)
    return torch.cat([position, length.sqrt(), off.sqrt()], dim=1)


class Refiner(nn.Module):
    """Weighs the enlarged alpha of the core against the one that is estimated from colours, and sharpens it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv3(7 * FOLD**2 + 1, width)
        self.body = nn.ModuleList(Conv2d(width, width, 3, padding=step, dilation=step) for step in _DILATIONS)
        self.head = conv3(width, 3 * FOLD**2)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, plate: Tensor, alpha: Tensor, colours: Tensor, enlarged: float | Tensor) -> Tensor:
        """Return the refined alpha (B, 1, H, W), not clamped. It is not valid within MARGIN of the border.

        plate (B, 3, H, W) display-referred 0..1; alpha (B, 1, H, W) 0..1 and colours (B, 6, H, W), both enlarged to the
        plate's size; H and W are even. enlarged: the factor by which the alpha was enlarged, a number or (B, 1, 1, 1).
        """
        estimate = colour_estimate(plate, colours)
        inputs = F.pixel_unshuffle(2 * torch.cat([plate, alpha, estimate], dim=1) - 1, FOLD)
        factor = torch.as_tensor(enlarged, device=alpha.device, dtype=alpha.dtype).log() / math.log(MOST_ENLARGED)
        x = torch.cat([inputs, factor.expand(len(inputs), 1, *inputs.shape[-2:])], dim=1)
        x = F.leaky_relu(self.enter(x), _SLOPE)
        for layer in self.body:
            x = x + F.leaky_relu(layer(x), _SLOPE)
        gain, offset, trust = F.pixel_shuffle(self.head(x).float(), FOLD).split(1, dim=1)
        by_colour = estimate[:, :1].clamp(0, 1)
        return 0.5 + (1 + gain) * (alpha - 0.5) + offset + trust * (by_colour - alpha)
