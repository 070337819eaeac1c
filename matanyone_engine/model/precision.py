# SPDX-License-Identifier: Apache-2.0
"""Prepares a network for speed: batch norms are folded, and wide convolutions may run in half precision.

Rules of this file:
1. 'exact' is float32 throughout; 'fast' computes the wide convolutions in half precision.
2. Keys, values, sensory map, object summary and the convolution that makes the alpha stay float32 in either: in half
   precision, an alpha would have 8-bit steps. Only the search of memory may be in half precision (`half_search`).
3. A prepared network has the digest of the weights that it was made from, so that snapshots of sessions still fit.
"""

from __future__ import annotations

import copy
from enum import Enum
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from matanyone_engine.errors import SettingError
from matanyone_engine.model.checkpoint import for_inference, network_digest
from matanyone_engine.model.half_speed import half_speed
from matanyone_engine.model.matanyone import MatAnyone

CHOICES = ("auto", "exact", "fast")
"""The values of the option --precision."""


class Precision(Enum):
    """Says in which precision a network computes."""

    EXACT = "exact"
    FAST = "fast"


# The modules whose convolutions run in half precision in fast mode: nearly all of the arithmetic. A network has only
# some of them, as its trunk decides.
_HALVED = (
    "pixel_encoder",
    "mask_encoder.conv1",
    "mask_encoder.enter",
    "mask_encoder.layer1",
    "mask_encoder.layer2",
    "mask_encoder.layer3",
    "mask_encoder.fuser",
    "mask_encoder.sensory_update.transform",
    "pixel_fuser.fuser",
    "object_transformer.blocks",
    "mask_decoder.decoder_feat_proc.transforms.0",
    "mask_decoder.decoder_feat_proc.transforms.1",
    "mask_decoder.decoder_feat_proc.transforms.2",
    "mask_decoder.sensory_update.transform",
    "mask_decoder.up_16_8",
    "mask_decoder.up_8_4",
    "mask_decoder.up_4_2",
    "mask_decoder.up_2_1",
    "refiner.enter",
    "refiner.body",
)

# The names of convolutions, and of the norm that follows each in the same module.
_FOLLOWED_BY = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "conv1x1_v2": "bn1", "conv3x3": "bn2"}
_FOLLOWED_BY |= {name: f"{name}_norm" for name in ("stem", "expand", "filter", "project")}


def half_type(device: torch.device) -> torch.dtype | None:
    """Return the half precision that this device has instructions for, or None. gains_by_half() says whether they are
    faster than float32.
    """
    if device.type == "cpu":
        return torch.bfloat16 if _cpu_has_bfloat16() else None
    if device.type == "xpu":
        return torch.bfloat16
    if device.type == "cuda":
        # Tensor cores compute bfloat16 from Ampere on. Older ones compute float16, whose range is wide enough here.
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    return torch.float16 if device.type == "mps" else None


def _cpu_has_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; False where this torch cannot tell."""
    probes = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(probe is not None and probe() for probe in probes)


def gains_by_half(device: torch.device) -> bool:
    """Return whether the device computes in its half precision faster than in float32, as measured (half_speed.py).

    Where a measurement cannot be stored, a device that has half precision is taken to gain by it (rule 2 of
    half_speed.py).
    """
    half = half_type(device)
    return half is not None and gains_by(device, half)


def gains_by(device: torch.device, half: torch.dtype) -> bool:
    """Return whether the device computes faster in this half precision than in float32; True if there is no
    measurement.
    """
    measured = half_speed(device, half)
    return measured is None or measured.worthwhile


def choose_precision(asked: str, device: torch.device, verified: bool) -> Precision:
    """Return the Precision for 'auto', 'exact' or 'fast'.

    'auto' is fast where the device gains by it and `verified` says that these weights lose nothing by it.
    Raises SettingError for another word, or 'fast' on a device that has no half precision.
    """
    if asked not in CHOICES:
        raise _precision_error(repr(asked), "Choose one of them.")
    if asked == "fast" and half_type(device) is None:
        raise _precision_error(
            f"'fast' on {device}, which has no instructions for half precision", "Leave it out, or say 'exact'."
        )
    fast = asked == "fast" or (asked == "auto" and verified and gains_by_half(device))
    return Precision.FAST if fast else Precision.EXACT


def _precision_error(came: str, action: str) -> SettingError:
    return SettingError(expected=f"a precision: {', '.join(CHOICES)}", came=came, action=action)


def prepared(network: MatAnyone, precision: Precision) -> MatAnyone:
    """Return a copy of the network for inference on its device. The network itself stays as it is.

    Batch norms are folded into the convolutions before them, so the copy can neither be trained nor saved.
    """
    ready = for_inference(copy.deepcopy(network))
    ready.digest = (
        network_digest(network) if precision is Precision.EXACT else f"{precision.value}:{network_digest(network)}"
    )
    ready.precision = precision.value
    _fold(ready)
    if precision is Precision.FAST:
        dtype = half_type(network.device)
        assert dtype is not None, "choose_precision() refuses it"
        modules = dict(ready.named_modules())
        for name in _HALVED:
            if name in modules:
                _halve(modules[name], dtype)
        # Distances exceed the range of float16, and the search was measured in bfloat16 on CPUs alone.
        ready.half_search = dtype is torch.bfloat16 and network.device.type == "cpu"
    return for_inference(ready)


def _fold(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it."""
    for module in network.modules():
        children = dict(module.named_children())
        if isinstance(module, nn.Sequential):
            pairs = list(pairwise(children))
        else:
            pairs = [(conv, norm) for conv, norm in _FOLLOWED_BY.items() if conv in children and norm in children]
        for conv, norm in pairs:
            before, after = children[conv], children[norm]
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(before, after))
                setattr(module, norm, nn.Identity())


def _halve(module: nn.Module, dtype: torch.dtype) -> None:
    """Bring a module's two-dimensional convolutions to half precision; each casts its input (blocks.Conv2d)."""
    for each in module.modules():
        if isinstance(each, nn.Conv2d):
            each.to(dtype)
