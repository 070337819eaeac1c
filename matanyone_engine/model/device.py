# SPDX-License-Identifier: Apache-2.0
"""Turns the word that a user types into the device that the network runs on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matanyone_engine.errors import DeviceError

if TYPE_CHECKING:
    import torch

_FORM = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def choose_device(text: str = "auto") -> torch.device:
    """Return the device for 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'. 'auto' takes CUDA, then Apple's Metal, then the
    CPU.

    Raises DeviceError for another word, or a device that is not there: work never moves to another one in silence.
    """
    import torch

    if not _FORM.fullmatch(text):
        raise _error(f"{text!r}")
    if text == "auto":
        return torch.device(_best())
    device = torch.device(text)
    if device.type == "cuda":
        _require_cuda(device.index or 0, text)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _error("'mps', and Apple's Metal is not available here")
    return device


def _best() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require_cuda(index: int, text: str) -> None:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < count:
        return
    if count:
        raise _error(f"{text!r}, and there are {count} CUDA devices, numbered from 0")
    why = "no CUDA device can be seen" if torch.version.cuda else "this torch was built without CUDA"
    raise _error(f"{text!r}, and {why}")


def _error(came: str) -> DeviceError:
    return DeviceError(
        expected="a device of this machine: auto, cpu, cuda, cuda:N or mps",
        came=came,
        action="Use --device auto or cpu, or see what is here with: matanyone-engine doctor",
    )
