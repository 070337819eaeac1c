# SPDX-License-Identifier: Apache-2.0
"""Writes first masks as ordinary files, and never over one that an artist has mended.

A mask says the digest of its own pixels in its header. As long as they agree nobody has touched it, and new prompts
may replace it; afterwards it is somebody's work.
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
    """Write (H, W) 0..1 as an alpha of the plate with that header. Raises BadResult, OutputError as write_alpha()."""
    write_alpha(path, mask, header, {**about, _DIGEST: _digest(mask)})


def check_replaceable(path: Path) -> None:
    """Raise SettingError unless a first mask may be written there: no such file, or one that nobody has altered."""
    if path.suffix.lower() != SUFFIX:
        raise SettingError(
            expected=f"a name ending in {SUFFIX} for the mask", came=str(path), action="Write --out mask.exr."
        )
    check_portable(path)
    if path.exists() and not _is_as_written(path):
        raise SettingError(
            expected="a free file name, or that of a mask that nobody has changed since it was made",
            came=f"{path}, which was written or changed by something else",
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
