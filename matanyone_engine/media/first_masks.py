# SPDX-License-Identifier: Apache-2.0
"""Writes first masks as ordinary files, and never over one that an artist has changed.

The header of a mask holds a digest of its pixels. As long as the two agree, nobody has changed the mask, and new
prompts may replace it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from matanyone_engine.errors import BadInput, SettingError
from matanyone_engine.media.headers import PROVENANCE_PREFIX
from matanyone_engine.media.images import FloatImage, PlateHeader, read_header
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.mattes import write_alpha
from matanyone_engine.media.portable_names import check_portable

SUFFIX = ".exr"
_DIGEST = "pixelsSha256"


def write_first_mask(path: Path, mask: FloatImage, header: PlateHeader, about: Mapping[str, str]) -> None:
    """Write a mask (H, W) 0..1 as an alpha of the plate with that header. Raises what write_alpha() raises."""
    write_alpha(path, mask, header, {**about, _DIGEST: _digest(mask)})


def check_replaceable(path: Path) -> None:
    """Raise SettingError unless there is no such file, or a first mask that nobody has changed."""
    if path.suffix.lower() != SUFFIX:
        raise SettingError(
            expected=f"a name ending in {SUFFIX} for the mask", came=str(path), action="Write --out mask.exr."
        )
    check_portable(path)
    if path.exists() and not _is_as_written(path):
        raise SettingError(
            expected="a free file name, or that of a mask that nobody has changed since it was made",
            came=f"{path}, which another program has written or changed",
            action="Choose another name, or move that file away first.",
        )


def _is_as_written(path: Path) -> bool:
    try:
        said = {item.name: item.value for item in read_header(path).attributes}
        return bool(said.get(PROVENANCE_PREFIX + _DIGEST) == _digest(read_alpha(path)))
    except BadInput:
        return False


def _digest(mask: FloatImage) -> str:
    """Return a digest of the pixels as they are stored."""
    return hashlib.sha256(np.ascontiguousarray(mask, dtype=np.float16).tobytes()).hexdigest()
