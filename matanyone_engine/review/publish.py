# SPDX-License-Identifier: Apache-2.0
"""Writes the publish file of a run: a JSON file with the facts that a studio's tracker needs (docs/publish.md).

It names no tracker: AYON, ShotGrid and Kitsu call the same facts by other names, and docs/publish.md says by which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.headers import SOFTWARE
from matanyone_engine.review.movie import ReviewMovie, fps_of
from matanyone_engine.review.review import RunFiles
from matanyone_engine.version import __version__

FORMAT = 1


def publish_facts(run: RunFiles, movie: ReviewMovie | None = None) -> dict[str, Any]:
    """Collect the facts of a run as plain values. Paths are absolute, with / on every system. Raises PlateError."""
    frames = sorted(run.files)
    shot, made = run.record.shot, run.record.made
    window = read_facts(run.files[frames[0]][0]).parts[0].display_window
    return {
        "format": FORMAT,
        "software": f"{SOFTWARE} {__version__}",
        "name": run.title,
        "state": run.record.state,
        "frame_start": frames[0],
        "frame_end": frames[-1],
        "missing_frames": sorted(set(range(frames[0], frames[-1] + 1)) - set(frames)),
        "fps": float(fps_of(run)),
        "width": window.width,
        "height": window.height,
        "representations": [_representation(run, frames, place) for place in range(len(run.files[frames[0]]))],
        "review": None if movie is None else _review(movie),
        "plate": {"path": _whole(shot["plate"]), "colorspace": shot.get("colorspace")} if "plate" in shot else None,
        "objects": sorted(shot.get("objects", {})),
        "model": {"name": made.get("model"), "licence": made.get("modelLicence")},
        "lowest_confidence": _lowest(run),
    }


def write_publish_file(path: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts, whole or not at all. Raises OutputError."""
    try:
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            expected=f"that the publish file {str(path)!r} can be written",
            came=error.strerror or str(error),
            action="Choose a folder in which you may write: --publish.",
        ) from error


def _representation(run: RunFiles, frames: list[int], place: int) -> dict[str, Any]:
    """Describe one sequence of files; a run has one, or one for each object."""
    files = [run.files[frame][place] for frame in frames]
    facts = read_facts(files[0])
    layout = facts.provenance.get("layout", "matte")
    colours = facts.parts[0].colour.get("colorInteropID", "data")
    return {
        "name": f"{files[0].suffix[1:]}_{layout}" if place == 0 else f"{files[0].suffix[1:]}_{layout}_{place + 1}",
        "ext": files[0].suffix[1:],
        "path": _whole(files[0].with_name(pattern_of(files[0].name, frames[0]))),
        "folder": _whole(files[0].parent),
        "files": [file.name for file in files],
        "frame_start": frames[0],
        "frame_end": frames[-1],
        "colorspace": colours,
        "channels": list(facts.parts[0].channels),
    }


def pattern_of(name: str, frame: int) -> str:
    """Put %04d in the place of a file's frame number, with as many digits as it has."""
    found = list(re.finditer(rf"(?<!\d)(-?)(0*{abs(frame)})(?!\d)", name))
    if not found:
        return name
    sign, digits = found[-1].group(1), found[-1].group(2)
    padding = len(digits) + len(sign if frame < 0 else "")
    begin = found[-1].start(1) if frame < 0 else found[-1].start(2)
    return f"{name[:begin]}%0{padding}d{name[found[-1].end() :]}"


def _review(movie: ReviewMovie) -> dict[str, Any]:
    return {
        "path": _whole(movie.path),
        "codec": movie.codec,
        "width": movie.resolution.width,
        "height": movie.resolution.height,
        "fps": float(movie.fps),
        "frame_start": movie.first,
        "frame_end": movie.last,
        "colorspace": "srgb_rec709_display",
        "burn_in": ["frame", "confidence"],
    }


def _lowest(run: RunFiles) -> dict[str, Any] | None:
    """Find the frame whose least certain object has the lowest confidence."""
    told = {
        frame: min(each.value for each in said.confidence.values())
        for frame, said in run.lines.items()
        if said.confidence
    }
    if not told:
        return None
    frame = min(told, key=lambda each: told[each])
    return {"frame": frame, "value": round(told[frame], 3)}


def _whole(path: str | Path) -> str:
    return Path(path).absolute().as_posix()
