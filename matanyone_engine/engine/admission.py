# SPDX-License-Identifier: Apache-2.0
"""Estimates how much device memory a session needs, and how much the engine can give to all sessions."""

from __future__ import annotations

import logging

import psutil
import torch

from matanyone_engine.engine.memory_limits import left_by_limits
from matanyone_engine.matting.geometry import Geometry
from matanyone_engine.matting.memory_policy import MemoryPolicy
from matanyone_engine.matting.options import SessionOptions
from matanyone_engine.matting.prepared_plate import encodes_ahead
from matanyone_engine.matting.region import Region
from matanyone_engine.matting.shot import Shot
from matanyone_engine.model.dims import STRIDE, Dims
from matanyone_engine.sizes import Resolution

_log = logging.getLogger("matanyone_engine")

_FLOAT = 4
_LAYERS_AT_ONCE = 7
"""Feature maps of one frame that are in memory at the same time, in units of the widest map at strides 1 to 4. 4.5 to
6.8 were measured on a CPU with mini and the published dims, from 480x270 to 1080p."""
_PLATES = 40
"""Bytes for each plate pixel: a few float32 copies of the plate and its alpha while they are read and written."""


def shot_bytes(dims: Dims, plate: Resolution, options: SessionOptions, region: Region, shot: Shot) -> int:
    """Estimate the peak memory, in bytes, of a shot's sessions: one per subject, with the most other keys that a pass
    remembers."""
    most = {subject.name: 0 for subject in shot.subjects}
    for each in shot.passes:
        most[each.seed.subject] = max(most[each.seed.subject], len(shot.pins(each)))
    return sum(session_bytes(dims, plate, options, region, other_keys=keys) for keys in most.values())


def session_bytes(
    dims: Dims, plate: Resolution, options: SessionOptions, region: Region, *, other_keys: int = 0
) -> int:
    """Estimate the peak memory, in bytes, of one session without the weights. other_keys: frames that it remembers
    besides those of its own working memory. A region that follows the subject is counted as the whole frame, since it
    may grow to that.
    """
    geometry = Geometry.of(plate.size, options.working_size, dims.core_size)
    cells = region.largest(geometry).cells
    height, width = geometry.working
    stored = (MemoryPolicy().bank_frames + other_keys) * cells * (dims.key_dim + 1 + dims.value_dim)
    carried = cells * (dims.sensory_dim + dims.pixel_dim + dims.value_dim)
    _, _, quarter, half, full = dims.decoder_dims
    at_half = half + dims.feature_dims[3] + dims.trunk_width
    layers = cells * STRIDE**2 * (full + at_half / 4 + (quarter + dims.feature_dims[2]) / 16) * _LAYERS_AT_ONCE
    seen = height * width * 3 * (1 + region.moves)
    return int((stored + carried + layers + seen) * _FLOAT) + plate.width * plate.height * _PLATES


def ahead_bytes(
    dims: Dims, plate: Resolution, options: SessionOptions, region: Region, waiting: int, device: torch.device
) -> int:
    """Estimate the memory, in bytes, of encoded plates that wait for their turn. waiting: their number."""
    geometry = Geometry.of(plate.size, options.working_size, dims.core_size)
    if not (region.off and encodes_ahead(device, geometry)):
        return 0
    skip8, skip4, skip2, *_ = dims.decoder_dims
    skips = STRIDE**2 * (skip8 / 64 + skip4 / 16 + skip2 / 4)
    cell = skips + STRIDE**2 * 3 + dims.pixel_dim + 2 * dims.key_dim + 1
    return int(waiting * geometry.whole.cells * cell * _FLOAT)


def promised_bytes(device: torch.device, wanted: int | None) -> int:
    """Return the bytes that all sessions may take together: `wanted`, but at most four fifths of the free memory."""
    most = free_bytes(device) * 4 // 5
    if wanted is not None and wanted > most:
        _log.warning("%.1f GB were asked for; only %.1f GB can be promised of what is left.", wanted / 1e9, most / 1e9)
    return most if wanted is None else min(wanted, most)


def free_bytes(device: torch.device) -> int:
    """Return the device's free memory in bytes; for main memory, what the machine, its container and ulimit leave this
    process."""
    if device.type in ("cuda", "xpu"):
        return int(getattr(torch, device.type).mem_get_info(device)[0])
    return max(0, min([int(psutil.virtual_memory().available), *left_by_limits()]))


def resident_bytes() -> int:
    """Return the main memory that this process uses, in bytes."""
    return int(psutil.Process().memory_info().rss)
