# SPDX-License-Identifier: Apache-2.0
"""Makes jobs from a folder of shots, by the names of its files and folders (docs/farm.md).

    shots/
      sh010/plate/plate.1001.exr ...        one sequence, or one movie
            mask/roto.1001.exr              masks, numbered as the plate: hero.1047.exr is of the object hero
            alpha/                          what is written: sh010.1001.exr ...
      sh020/...
      sh030.json                            or a job file, which needs no such folder

Rule of this file: a wrong shot raises an error that names it; other shots are not affected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from matanyone_engine.errors import MaskError, PlateError
from matanyone_engine.media.layouts import SUBJECT
from matanyone_engine.media.sequence import MOVIE_SUFFIXES, READABLE_SUFFIXES
from matanyone_engine.wire.messages import Job, KeyMask

PLATE, MASK, ALPHA = "plate", "mask", "alpha"
PLAIN_NAMES = frozenset({"mask", "masks", "roto", "matte", "subject", ""})
"""Masks with these names belong to the shot's only object."""

_NUMBERED = re.compile(r"(?P<name>.*?)[._]?(?P<frame>-?\d+)\.[^.]+")
_OF_A_PLAN = re.compile(r"\.(plan|scout|segment\d+)\.json$")
LIKE = Job(nonce="", plate="", mask="", out="")


def shots_in(folder: Path) -> list[Path]:
    """Return the shot folders and job files in a folder, sorted. Files that `plan` made of a job are left out."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    shots = [path for path in found if path.is_dir() and ((path / PLATE).exists() or (path / MASK).exists())]
    jobs = [path for path in found if path.suffix == ".json" and not _OF_A_PLAN.search(path.name)]
    return sorted([*shots, *jobs])


def job_of(shot: Path, like: Job = LIKE) -> Job:
    """Return the job of a shot folder. like: the job whose options, delivery, model and licence it takes.

    Raises PlateError, MaskError.
    """
    masks = list(_masks(shot))
    if not masks:
        raise MaskError(
            expected=f"a mask with the number of a plate frame, such as {shot.name}/{MASK}/roto.1001.exr",
            came="none",
            action="Put it there.",
        )
    suffix = Path(like.out).suffix or ".exr"
    names = {mask.object for mask in masks}
    only = masks[0] if names == {SUBJECT} and len(masks) == 1 else None
    return replace(
        like,
        plate=_plate(shot),
        mask=only.file if only else "",
        mask_frame=only.frames[0] if only else None,
        keys=() if only else tuple(masks),
        out=str(shot / ALPHA / f"{shot.name}.####{suffix}"),
        label=shot.name,
    )


def _plate(shot: Path) -> str:
    """Return the folder of a sequence, or the movie in it."""
    folder = shot / PLATE
    if not folder.is_dir():
        raise PlateError(
            expected=f"a folder {shot.name}/{PLATE} with a sequence or a movie",
            came="no such file",
            action="Put it there.",
        )
    movies = [path for path in folder.iterdir() if path.suffix.lower() in MOVIE_SUFFIXES]
    return str(movies[0] if len(movies) == 1 else folder)


def _masks(shot: Path) -> Iterator[KeyMask]:
    folder = shot / MASK
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.suffix.lower() not in READABLE_SUFFIXES:
            continue
        numbered = _NUMBERED.fullmatch(path.name)
        if numbered is None:
            raise MaskError(
                expected="the plate frame in a mask's name, such as roto.1001.exr",
                came=f"{shot.name}/{MASK}/{path.name}",
                action="Rename it.",
            )
        name = numbered["name"]
        yield KeyMask(str(path), (int(numbered["frame"]),), SUBJECT if name.lower() in PLAIN_NAMES else name)
