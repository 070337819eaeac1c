# SPDX-License-Identifier: Apache-2.0
"""Measures how much faster than float32 a device computes in half precision, once for each machine and torch release.

A CPU may have instructions for bfloat16 and still be slower with them, so this is measured. The network's arithmetic
is matrix products and convolutions: one of each is timed in both precisions, for about a tenth of a second.

Rules of this file:
1. A stored measurement is used again. If it were measured for each run, a busy machine might give another answer the
   next time, and a stopped run cannot be continued in another precision (run_identity.py).
2. So where a measurement cannot be stored, none is made, and the caller trusts what the device reports.
3. If two processes measure at the same time, both use the measurement that was stored first.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from platformdirs import PlatformDirs

from matanyone_engine.model.licences import APP

WORTH = 1.05
"""The least gain for which half precision is used by itself: below it, either way is within 5 % of the other."""
_BUDGET_S = 0.1
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 50
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class HalfSpeed:
    """Holds the milliseconds of a matrix product and of a convolution, in float32 and in half precision."""

    device: str
    """The device's name, as its maker gives it."""
    torch: str
    half: str
    """'bfloat16' or 'float16'."""
    product_ms: tuple[float, float]
    """(float32, half)."""
    convolution_ms: tuple[float, float]
    """(float32, half)."""

    @property
    def gain(self) -> float:
        """Returns how many times as fast as float32 the half precision is; below 1 it is slower."""
        exact, half = (sum(times) for times in zip(self.product_ms, self.convolution_ms, strict=True))
        return exact / half

    @property
    def worthwhile(self) -> bool:
        """Returns whether half precision is enough faster to be used by itself."""
        return self.gain >= WORTH


def half_speed(device: torch.device, half: torch.dtype) -> HalfSpeed | None:
    """Return the stored measurement of this device with this torch, or measure and store it.

    Returns None where it cannot be stored in the user's cache folder.
    """
    path = _folder() / f"{_digest(device, half)}.json"
    found = _read(path)
    if found is None and _can_write(path.parent):
        found = _kept(path, measure(device, half))
    return found


def measure(device: torch.device, half: torch.dtype) -> HalfSpeed:
    """Time a matrix product and a convolution in float32 and in half precision; the shortest times count."""
    ways = {
        (work, kind): _work(work, device, kind) for work in ("product", "convolution") for kind in (torch.float32, half)
    }
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for run in ways.values():
            run()  # the first call is slower: libraries choose their algorithms
        begun, rounds = time.perf_counter(), 0
        while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() - begun < _BUDGET_S):
            for way, run in ways.items():  # in turns, so that other work on the machine slows all of them alike
                best[way] = min(best[way], _seconds(run, device))
            rounds += 1
    product, convolution = (
        (1e3 * best[work, torch.float32], 1e3 * best[work, half]) for work in ("product", "convolution")
    )
    return HalfSpeed(_name(device), torch.__version__, _word(half), product, convolution)


def _work(work: str, device: torch.device, kind: torch.dtype) -> Callable[[], torch.Tensor]:
    """Return a function that computes about a tenth of a GFLOP: so short that other programs seldom interrupt it."""
    if work == "product":
        one, other = (torch.full((384, 384), 0.5, device=device, dtype=kind) for _ in range(2))
        return lambda: one @ other
    image = torch.full((1, 64, 40, 40), 0.5, device=device, dtype=kind)
    weight = torch.full((64, 64, 3, 3), 0.5, device=device, dtype=kind)
    return lambda: F.conv2d(image, weight, padding=1)


def _seconds(run: Callable[[], torch.Tensor], device: torch.device) -> float:
    _wait_for(device)
    begun = time.perf_counter()
    run()
    _wait_for(device)
    return time.perf_counter() - begun


def _wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work. A CPU works synchronously."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


# ------------------------------------------------------------------------------------------ storing the measurement


def _folder() -> Path:
    return Path(PlatformDirs(APP, appauthor=False).user_cache_path) / "half-speed"


def _digest(device: torch.device, half: torch.dtype) -> str:
    """Return the file name of a measurement. The device is part of it, since several machines may share a home."""
    about = (_name(device), platform.machine(), torch.__version__, _word(half))
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def _name(device: torch.device) -> str:
    """Return what the maker calls this device."""
    if device.type in ("cuda", "xpu"):
        return str(getattr(torch, device.type).get_device_name(device))
    if device.type == "cpu":
        with suppress(OSError):
            for line in _CPUINFO.read_text().splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or device.type


def _word(half: torch.dtype) -> str:
    return str(half).removeprefix("torch.")


def _read(path: Path) -> HalfSpeed | None:
    """Return a stored measurement; None where there is none that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        if not path.is_file():  # reading a named pipe would block
            return None
        stored = json.loads(path.read_text())
        times = _pair(stored["product_ms"]), _pair(stored["convolution_ms"])
        return HalfSpeed(str(stored["device"]), str(stored["torch"]), str(stored["half"]), *times)
    return None


def _pair(times: object) -> tuple[float, float]:
    """Return two times in milliseconds. Raises ValueError for anything else."""
    if isinstance(times, list) and len(times) == 2 and all(isinstance(each, float) and each > 0 for each in times):
        return times[0], times[1]
    raise ValueError(f"two times were expected, not {times!r}")


def _can_write(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    return False


def _kept(path: Path, measured: HalfSpeed) -> HalfSpeed | None:
    """Store a measurement and return it, or the one that another process has stored meanwhile; None on a full disk."""
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_text(json.dumps(asdict(measured), indent=2))
        if _read(path) is None:
            path.unlink(missing_ok=True)  # damaged
        with suppress(FileExistsError):
            os.link(temporary, path)
    except OSError:  # no hard links here, or no room
        with suppress(OSError):
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return _read(path)
