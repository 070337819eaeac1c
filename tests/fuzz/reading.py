# SPDX-License-Identifier: Apache-2.0
"""Reads damaged files with the product's own readers, in a process that may die of it.

A reader may return a value or raise an error of the engine's family. Anything else is a find: another exception, more
memory or time than a file of that size is worth, and other pixels than the whole file's from one that was cut.
"""

from __future__ import annotations

import os
import random
import resource
import time
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np
from damage import cut, flip
from files import FRAMES

from matanyone_engine.errors import EngineError
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import check_ends, read_header, read_plate, read_views
from matanyone_engine.media.masks import read_alpha, read_constraint_mask, read_mask
from matanyone_engine.media.plates import check_plates, open_plate

MOST_BYTES = 8 << 30
MOST_S = 20.0
"""Of processor time, for one file of a few kilobytes."""
_WHOLE: dict[Path, list[np.ndarray | None]] = {}


def prepare() -> None:
    """Bound the memory of this process, and drop what libraries print: it is one line for every damaged file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def damaged(base: Path, number: int) -> bytes:
    """Return the bytes of case `number` of a whole file. Odd numbers cut it."""
    chance = random.Random(f"{base.name} {number}")
    return (cut if number % 2 else flip)(base.read_bytes(), chance)


def read_damaged(base: Path, number: int, at: Path) -> str:
    """Write the case beside `at` and read it; what is wrong with how it was read, or ''."""
    path = at.with_name(f"{number:08d}-{base.name}")
    path.write_bytes(damaged(base, number))
    begun = time.process_time()
    try:
        said = (_movie if base.parent.name == "movies" else _image)(path, base, was_cut=bool(number % 2))
    except Exception:
        said = traceback.format_exc()
    took = time.process_time() - begun
    path.unlink()
    return said or (f"{took:.0f} s of processor time" if took > MOST_S else "")


def _image(path: Path, base: Path, *, was_cut: bool) -> str:
    for look in (read_facts, read_header, read_views, check_ends, read_alpha):
        with suppress(EngineError):
            look(path)
    for read in (read_mask, read_constraint_mask):
        with suppress(EngineError):
            read(path, (32, 24))
    try:
        found = read_plate(path).canvas
    except EngineError:
        return ""
    if found.dtype != np.float32 or found.ndim != 3 or found.shape[2] != 3 or not np.isfinite(found).all():
        return f"a plate of {found.dtype} {found.shape}"
    return _differs(found, _whole_image(base), "the plate") if was_cut else ""


def _whole_image(base: Path) -> np.ndarray | None:
    if base not in _WHOLE:
        try:
            _WHOLE[base] = [read_plate(base).canvas]
        except EngineError:
            _WHOLE[base] = [None]
    return _WHOLE[base][0]


def _movie(path: Path, base: Path, *, was_cut: bool) -> str:
    whole = _whole_movie(base)
    try:
        plate = open_plate(path)
        frames = plate.frames
    except EngineError:
        return ""
    if len(frames) > 100 * FRAMES:
        return f"{len(frames)} frames in {path.stat().st_size} bytes"
    with suppress(EngineError):
        check_plates(open_plate(path), frames)
    for frame in frames:
        try:
            found = plate.read(frame).canvas
        except EngineError:
            continue
        if was_cut:
            said = _differs(found, whole[frame - 1] if frame <= len(whole) else None, f"frame {frame} of {len(frames)}")
            if said:
                return said
    return ""


def _whole_movie(base: Path) -> list[np.ndarray | None]:
    if base not in _WHOLE:
        plate = open_plate(base)
        _WHOLE[base] = [plate.read(frame).canvas for frame in plate.frames]
    return _WHOLE[base]


def _differs(found: np.ndarray, whole: np.ndarray | None, what: str) -> str:
    if whole is None:
        return f"{what} can be read, that of the whole file cannot"
    if found.shape != whole.shape:
        return f"{what} has another size than in the whole file"
    most = float(np.abs(found - whole).max())
    return f"{what} differs by {most:.3g} from the whole file's, without a word" if most > 1e-6 else ""
