# SPDX-License-Identifier: Apache-2.0
"""Turns the word that a user types into the device that the network runs on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matanyone_engine.errors import DeviceError

if TYPE_CHECKING:
    import torch

_FORM = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
FORMS = "auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"
"""What a user may write."""
_MAKERS = {"cuda": "CUDA", "xpu": "Intel XPU"}


def choose_device(text: str = "auto") -> torch.device:
    """Return the device for one of FORMS. 'auto' takes the first that there is of CUDA (torch's name for AMD's ROCm,
    too), Intel's XPU, Apple's Metal, and the CPU.

    Raises DeviceError for another word, or for a device that this machine does not have: another one is never used in
    its place.
    """
    import torch

    if not _FORM.fullmatch(text):
        raise _error(f"{text!r}")
    if text == "auto":
        return torch.device(_best())
    device = torch.device(text)
    if device.type in _MAKERS:
        _require(device.type, device.index or 0, text)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _error("'mps', and Apple's Metal is not available here")
    return device


def _best() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device_count("xpu"):
        return "xpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_count(kind: str) -> int:
    """Return how many devices of a kind, 'cuda' or 'xpu', torch can use."""
    import torch

    module = getattr(torch, kind, None)  # torch 2.4 may have no xpu
    return int(module.device_count()) if module is not None and module.is_available() else 0


def built_for(kind: str) -> bool:
    """Return whether this torch was built for a kind of device, 'cuda' or 'xpu'."""
    import torch

    if kind == "cuda":
        return bool(torch.version.cuda or getattr(torch.version, "hip", None))
    return bool(getattr(torch.version, "xpu", None))


def _require(kind: str, index: int, text: str) -> None:
    count, maker = device_count(kind), _MAKERS[kind]
    if index < count:
        return
    if count:
        raise _error(f"{text!r}, and there are {count} {maker} devices, numbered from 0")
    why = f"no {maker} device can be seen" if built_for(kind) else f"this torch was built without {maker}"
    raise _error(f"{text!r}, and {why}")


def _error(came: str) -> DeviceError:
    return DeviceError(
        expected=f"a device of this machine: {FORMS}",
        came=came,
        action="Use --device auto or cpu, or see what is here with: matanyone-engine doctor",
    )
