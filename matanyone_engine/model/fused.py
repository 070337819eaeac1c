# SPDX-License-Identifier: Apache-2.0
"""Convolutions with what follows them, in one pass over memory (DR010).

oneDNN, which computes torch's convolutions on a CPU, can add a map and cut off at 0 while an answer is still in the
core's cache. torch reaches that by the operators its own compiler uses; they need no compiler on the artist's machine.
Where they are missing (another device, another torch, training) blocks.Conv2d takes the steps one after another.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_TYPES = (torch.float32, torch.bfloat16)


def _operators_are_there() -> bool:
    names = ("_convolution_pointwise", "_convolution_pointwise_")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)


_THERE = _operators_are_there()


def possible(x: Tensor) -> bool:
    """Whether convolutions of this map can be fused: inference on a CPU whose torch has what it takes."""
    return _THERE and x.device.type == "cpu" and not torch.is_grad_enabled() and x.dtype in _TYPES


def convolved(conv: nn.Conv2d, x: Tensor, *, relu: bool) -> Tensor:
    """relu(conv(x)) or conv(x). x in the precision of the weights."""
    answer: Tensor = torch.ops.mkldnn._convolution_pointwise(x, *_settings(conv), "relu" if relu else "none", [], "")
    return answer


def convolved_onto(conv: nn.Conv2d, base: Tensor, x: Tensor, *, relu: bool) -> Tensor:
    """conv(x) + base, cut off at 0 if asked for, written into base, which is returned."""
    base, x = _channels_last(base.to(x.dtype)), _channels_last(x)
    # The operator tells layouts by strides, and can only add where they say nothing, as those of a single pixel.
    at_once = relu and not base.is_contiguous() and not x.is_contiguous()
    torch.ops.mkldnn._convolution_pointwise_.binary(
        base, x, *_settings(conv), "add", None, "relu" if at_once else None, [], ""
    )
    return base.relu_() if relu and not at_once else base


def _channels_last(x: Tensor) -> Tensor:
    """x, copied if it lies otherwise, with the strides of that layout to the letter: a batch of one may have others."""
    pixels = x.permute(0, 2, 3, 1)
    return pixels.flatten().view(pixels.shape).permute(0, 3, 1, 2)


def _settings(conv: nn.Conv2d) -> tuple[object, ...]:
    return conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
