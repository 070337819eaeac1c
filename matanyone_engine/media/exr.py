# SPDX-License-Identifier: Apache-2.0
"""Pixels of EXR files through OpenEXR's own package, which decodes them in less than half of OpenImageIO's time.

Rules of this file:
1. It only reads. Which file, which channels and what its header means is decided elsewhere, by OpenImageIO.
2. It never says what is wrong with a file: no answer means that OpenImageIO is to be asked, which does.

docs/decisions/DR016-second-exr-reader.md has the reasons and the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

Stored = npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.uint16]


def read_planes(path: Path) -> Mapping[str, Stored] | None:
    """Channel name -> (H, W) of the data window, as stored, of a file of one part; None where it cannot be read."""
    return _channels(path, separate=True)


def read_colours(path: Path, names: Sequence[str]) -> npt.NDArray[np.float32] | None:
    """(H, W, 3) float32 of the data window of a file whose channels are R, G, B and perhaps A; None of any other."""
    if sorted(names) not in (["B", "G", "R"], ["A", "B", "G", "R"]):
        return None
    found = _channels(path, separate=False) or {}
    pixels = found.get("RGB", found.get("RGBA"))
    if pixels is None or pixels.ndim != 3 or pixels.dtype not in (np.float16, np.float32):
        return None
    return np.ascontiguousarray(pixels[..., :3].astype(np.float32))


def _channels(path: Path, *, separate: bool) -> dict[str, Any] | None:
    try:
        file = OpenEXR.File(str(path), separate_channels=separate)
        return {name: channel.pixels for name, channel in file.channels().items()} if len(file.parts) == 1 else None
    except Exception:  # the package raises whatever comes: see rule 2
        return None
