# SPDX-License-Identifier: Apache-2.0
"""Finds the GPUs of this machine without torch, and says why torch cannot use one of them.

The engine runs on the CPU where torch finds no GPU. If there is a GPU, and only the wrong build of torch is installed,
that costs a studio days of rendering. So the system is asked as well: Linux lists every PCI device, and NVIDIA's driver
installs the program nvidia-smi on every system.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from matanyone_engine.model.device import built_for, device_count

PCI = Path("/sys/bus/pci/devices")
"""Where Linux lists PCI devices."""
_DISPLAY = "0x03"
"""How the PCI class of a graphics or compute card begins."""
_MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_LEAST_BYTES = 4 << 30
"""AMD graphics with less memory of its own is part of a CPU; ROCm does not run on it."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class UnusedGpu:
    """Says why torch cannot use a GPU of this machine, and what to do about it."""

    maker: str
    why: str
    """A sentence for people."""
    mend: tuple[str, ...]
    """The commands to type, one after another; empty where a driver has to be installed."""


def unused_gpus() -> list[UnusedGpu]:
    """Return the makers of this machine's GPUs that the installed torch cannot use, and how to mend that."""
    return [_unused(maker) for maker in sorted(makers()) if not _is_used(maker)]


def makers() -> set[str]:
    """Return who made the GPUs of this machine, as far as the system tells: 'NVIDIA', 'AMD', 'Intel'."""
    found = {maker for device in _pci_devices() if (maker := _maker(device))}
    return found | ({"NVIDIA"} if _nvidia_smi_lists_one() else set())


def _pci_devices() -> list[Path]:
    with suppress(OSError):
        return sorted(PCI.iterdir())
    return []


def _maker(device: Path) -> str | None:
    """Return the maker of a PCI device that torch could compute on; None for any other device."""
    if not _read_text(device / "class").startswith(_DISPLAY):
        return None
    maker = _MAKERS.get(_read_text(device / "vendor"))
    if maker == "AMD":
        memory = _read_text(device / "mem_info_vram_total")
        return None if memory.isdigit() and int(memory) < _LEAST_BYTES else maker
    if maker == "Intel" and device.name.startswith("0000:00:"):
        return None  # it is part of the CPU
    return maker


def _read_text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


def _nvidia_smi_lists_one() -> bool:
    """Return whether NVIDIA's driver lists a GPU: on Windows, under WSL, and in containers that hide PCI devices."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return answer.returncode == 0 and "GPU 0" in answer.stdout
    return False


def _is_used(maker: str) -> bool:
    """Return whether torch can use the GPUs of this maker."""
    if maker == "Intel":
        return device_count("xpu") > 0
    return _is_built_for(maker) and device_count("cuda") > 0


def _is_built_for(maker: str) -> bool:
    if maker == "Intel":
        return built_for("xpu")
    is_rocm = bool(getattr(torch.version, "hip", None))
    return built_for("cuda") and is_rocm == (maker == "AMD")


def _unused(maker: str) -> UnusedGpu:
    if _is_built_for(maker):
        return UnusedGpu(
            maker,
            f"This machine has a GPU of {maker}, but torch {torch.__version__} cannot reach it. Install or update "
            f"{maker}'s driver; in a container, start it with access to the GPU.",
            (),
        )
    return UnusedGpu(
        maker,
        f"This machine has a GPU of {maker}, but the installed torch {torch.__version__} was built without support "
        "for it, so the engine runs on the CPU. Install a torch that fits:",
        _install_torch(),
    )


def _install_torch() -> tuple[str, ...]:
    """Return the commands that install this release of torch into this Python, in the build that fits the GPU."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    release = torch.__version__.partition("+")[0]
    return (
        f"{python} -m pip install uv",
        f"{python} -m uv pip install --python {python} --torch-backend=auto --reinstall-package torch torch=={release}",
    )
