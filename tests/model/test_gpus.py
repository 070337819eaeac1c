# SPDX-License-Identifier: Apache-2.0
"""A GPU that torch cannot use is found without torch; sysfs and nvidia-smi are faked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from matanyone_engine.model import gpus

DISPLAY, NETWORK = "0x030000", "0x020000"
NVIDIA, AMD, INTEL = "0x10de", "0x1002", "0x8086"


@pytest.fixture
def pci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without PCI devices and without nvidia-smi, and a torch for CPUs alone."""
    folder = tmp_path / "pci"
    folder.mkdir()
    monkeypatch.setattr(gpus, "PCI", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for module in ("gpus", "device"):
        monkeypatch.setattr(f"matanyone_engine.model.{module}.built_for", lambda _kind: False)
        monkeypatch.setattr(f"matanyone_engine.model.{module}.device_count", lambda _kind: 0)
    return folder


def plug(pci: Path, vendor: str, kind: str = DISPLAY, at: str = "0000:01:00.0", memory: int | None = None) -> None:
    device = pci / at
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    if memory is not None:
        (device / "mem_info_vram_total").write_text(f"{memory}\n")


def test_a_machine_without_a_gpu_gets_no_message(pci: Path) -> None:
    plug(pci, NVIDIA, NETWORK)
    plug(pci, INTEL, at="0000:00:02.0")  # part of the CPU
    plug(pci, AMD, at="0000:05:00.0", memory=512 << 20)  # part of a CPU
    assert gpus.unused_gpus() == []
    pci.rename(pci.with_name("gone"))
    assert gpus.unused_gpus() == []


@pytest.mark.parametrize(("vendor", "maker"), [(NVIDIA, "NVIDIA"), (AMD, "AMD"), (INTEL, "Intel")])
def test_a_cpu_build_of_torch_beside_a_gpu_is_reported_with_commands(pci: Path, vendor: str, maker: str) -> None:
    plug(pci, vendor)
    plug(pci, vendor, at="0000:02:00.0")
    (found,) = gpus.unused_gpus()
    assert found.maker == maker
    assert torch.__version__ in found.why
    assert "built without support" in found.why
    install, fetch = found.mend
    release = torch.__version__.partition("+")[0]
    assert install == f"{sys.executable} -m pip install uv"
    assert fetch.endswith(f"--torch-backend=auto --reinstall-package torch torch=={release}")


def test_a_driver_that_is_missing_is_told_from_a_wrong_torch(pci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(pci, NVIDIA)
    monkeypatch.setattr(gpus, "built_for", lambda kind: kind == "cuda")
    monkeypatch.setattr(gpus.torch.version, "hip", None)
    (found,) = gpus.unused_gpus()
    assert "NVIDIA's driver" in found.why
    assert found.mend == ()
    monkeypatch.setattr(gpus, "device_count", lambda _kind: 1)
    assert gpus.unused_gpus() == []


def test_a_cuda_torch_does_not_serve_a_gpu_of_amd(pci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(pci, AMD, memory=16 << 30)
    monkeypatch.setattr(gpus, "built_for", lambda kind: kind == "cuda")
    monkeypatch.setattr(gpus.torch.version, "hip", None)
    assert len(gpus.unused_gpus()[0].mend) == 2
    monkeypatch.setattr(gpus.torch.version, "hip", "7.2")
    assert gpus.unused_gpus()[0].mend == ()


@pytest.mark.parametrize(("answer", "there"), [("echo 'GPU 0: NVIDIA RTX (UUID: x)'", True), ("exit 9", False)])
@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a shell script")
def test_nvidia_smi_is_asked_where_pci_devices_are_hidden(pci: Path, answer: str, there: bool) -> None:
    program = pci.parent / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    assert [each.maker for each in gpus.unused_gpus()] == (["NVIDIA"] if there else [])
