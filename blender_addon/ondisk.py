# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at what runs have left on disk: which alphas are there, what the engine recorded beside them, and whose they
are.

Rules of this file:
1. It asks the disk, so it is for the network thread: a network drive can be slow. No bpy.
2. The engine's records are read and never written (docs/outputs.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import alphas, plan
from .exr import is_whole, layout_of, write_mask

RECORD = ".matanyone.json"
"""How the engine's records of a run end."""
_OWNER = "plate.json"
"""A file in a folder of masks that names the plate that they were drawn on."""


@dataclass(frozen=True)
class Alphas:
    """Names the alphas of one object that are on disk."""

    whole: tuple[int, ...] = ()
    """Their frames, ascending."""
    damaged: tuple[int, ...] = ()
    """Frames whose file is cut short: Blender 5.0.1 crashes when it reads one."""
    other: tuple[int, ...] = ()
    """Frames whose file holds something else: another layout, or not this object."""

    def with_frames(self, frames: Iterable[int]) -> Alphas:
        """Return the same alphas, after further frames have been written."""
        new = set(frames)
        left = (tuple(set(frames) - new) for frames in (self.damaged, self.other))
        return Alphas(tuple(sorted(new | set(self.whole))), *left)


def alphas_of(pattern: str) -> Alphas:
    """Look at every file of a pattern."""
    found = plan.frames_on_disk(pattern)
    whole = tuple(frame for frame in found if is_whole(Path(plan.file_of(pattern, frame))))
    return Alphas(whole, tuple(sorted(set(found) - set(whole))))


def gaps(frames: Iterable[int], wanted: Iterable[int]) -> tuple[int, ...]:
    """Return the frames without an alpha, from the first to the last of those that are wanted or there."""
    have = set(frames)
    every = have | set(wanted)
    return tuple(frame for frame in range(min(every), max(every) + 1) if frame not in have) if every else ()


# ------------------------------------------------------------------------------------------------ records


def records_of(pattern: str) -> list[Path]:
    """Return the engine's records of runs that wrote files of this pattern: of all its frames, and of parts of them."""
    folder, stem = Path(pattern).parent, _stem(pattern)
    part = re.compile(rf"{re.escape(stem)}(\.[^.]+)?{re.escape(RECORD)}")
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if part.fullmatch(path.name))


def _stem(pattern: str) -> str:
    return Path(pattern).name.partition("#")[0].rstrip("._-") or "alphas"


def stamp_of(patterns: Mapping[str, str]) -> str:
    """Return a digest of what the engine recorded beside these alphas, which every run changes; '' without a record."""
    every = [path for pattern in sorted(set(patterns.values())) for path in records_of(pattern)]
    told = hashlib.sha256()
    for path in every:
        told.update(path.name.encode() + path.read_bytes())
    return told.hexdigest()[:16] if every else ""


def result_of(patterns: Mapping[str, str], frames: Iterable[int]) -> str:
    """Return a digest of the result of a run: its records, and which of its frames are still there."""
    wanted = set(frames)
    there = [sorted(wanted & set(plan.frames_on_disk(pattern))) for _, pattern in sorted(patterns.items())]
    return plan.digest([stamp_of(patterns), there])


def sure_of(patterns: Mapping[str, str]) -> dict[int, float]:
    """Return for each frame how far its alphas can be trusted, 0 to 1, as the engine recorded it: the least of all
    objects.
    """
    found: dict[int, float] = {}
    for record in (path for pattern in sorted(set(patterns.values())) for path in records_of(pattern)):
        lines = _json(record).get("frames")
        for frame, line in lines.items() if isinstance(lines, dict) else ():
            values = [each["value"] for each in line.get("confidence", {}).values()]
            if values:
                found[int(frame)] = min(values)
    return found


def copied(source: str, copy: str, name: str) -> None:
    """Copy an object's alpha, unless there is nothing to copy or it was copied before. Raises OSError.

    Of a file that holds all objects the object's own alpha is copied. Raises WireError where that has none of it.
    """
    if not copy or Path(copy).exists():
        return
    Path(copy).parent.mkdir(parents=True, exist_ok=True)
    if layout_of(Path(source)) not in plan.HOLDS_ALL:
        shutil.copyfile(source, copy)
        return
    try:
        picture = alphas.read_alpha(Path(source), sys.maxsize, name)
    except alphas.UNREADABLE as error:
        raise plan.refused(f"expected an alpha of {name} in {source}; {error}", "Matte this object first.") from error
    write_mask(Path(copy), (picture.width, picture.height), [row.tobytes() for row in picture.values[::-1]])


def removed(files: Iterable[str]) -> None:
    """Take files off the disk, where they are there. Raises OSError."""
    for file in files:
        Path(file).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ whose they are


def refuse_foreign(patterns: Iterable[str], masks: Path, plate: str) -> None:
    """Raise WireError where alphas or masks of another plate are in the place that a run would write to.

    patterns: of the alphas, without tokens that the engine has yet to fill in. masks: the folder of the masks.
    """
    for pattern in patterns:
        records = records_of(pattern)
        for record in records:
            _refuse(record, *_made_of(record), pattern, plate)
        if not records:
            _refuse_unknown(pattern)
    owner = masks / _OWNER
    said = _json(owner)
    _refuse(owner, str(said.get("plate", "")), str(said.get("beside", "")), str(owner), plate)


def _refuse_unknown(pattern: str) -> None:
    """Refuse files of these names that the engine did not write."""
    file = next((Path(plan.file_of(pattern, frame)) for frame in plan.frames_on_disk(pattern)), None)
    if file is not None and is_whole(file) and not layout_of(file):
        raise plan.refused(
            f"expected a place of its own for this shot, got {file}, which the engine did not write",
            "Choose another Output, or move these files away: nothing of others is written over.",
        )


def claim_masks(masks: Path, plate: str) -> None:
    """Note in a folder of masks which plate they were drawn on. Raises OSError."""
    masks.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"plate": plate, "beside": str(masks / _OWNER)}, ensure_ascii=False)
    if not (masks / _OWNER).exists() or (masks / _OWNER).read_text(encoding="utf-8") != text:
        (masks / _OWNER).write_text(text, encoding="utf-8")


def _made_of(record: Path) -> tuple[str, str]:
    """Return plate and output as the job of a record names them."""
    job = _json(record).get("job")
    return (str(job.get("plate", "")), str(job.get("out", ""))) if isinstance(job, dict) else ("", "")


def _json(path: Path) -> dict[str, object]:
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _refuse(where: Path, plate: str, out: str, our_out: str, our_plate: str) -> None:
    if not plate or _same(plate, our_plate) or _moved_along(plate, out, our_plate, our_out):
        return
    raise plan.refused(
        f"expected a place of its own for this shot, got {where.parent}, which holds the masks or mattes of another "
        f"plate, {plate}",
        "Give the shot another Name, or choose another Output: nothing of the other shot is written over.",
    )


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _moved_along(plate: str, out: str, our_plate: str, our_out: str) -> bool:
    """Return whether plate and output lie to each other as they did, as in a project that was moved or is mounted
    elsewhere.
    """
    return _way(plate, out) == _way(our_plate, our_out) != ""


def _way(plate: str, out: str) -> str:
    """Return the way from the folder of the output to the plate; '' where they have nothing in common but the root of
    the disk.
    """
    plate, folder = _plain(plate), os.path.dirname(_plain(out))  # noqa: PTH120 (perhaps a path of another system)
    try:
        common = os.path.commonpath([plate, folder])
    except ValueError:  # two drives
        return ""
    return "" if len(common) <= len("/") else os.path.relpath(plate, folder)


def _plain(path: str) -> str:
    return os.path.normpath(path.replace("\\", "/"))
