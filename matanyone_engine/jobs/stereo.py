# SPDX-License-Identifier: Apache-2.0
"""Makes a job for each view of a stereo shot, and joins the files of the views; %V in a name stands for the view.

The subject lies at other pixels in each view, so each view has its own session, which shares nothing with the other.
When both are finished, their files can be joined into one file for each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matanyone_engine.errors import FrameRangeError, SettingError
from matanyone_engine.jobs.job import MatteJob
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.images import read_views
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.sequence import OutputPattern, describe_frames, find_sequence
from matanyone_engine.media.views import has_view, views_on_disk, with_view

ALL_VIEWS = "all"


def jobs_of_views(job: MatteJob, views: Sequence[str]) -> list[MatteJob]:
    """Return a job for each view. views: names, or 'all'; empty takes the file's default view.

    Raises SettingError if no views are found, or if several views would write the same files.
    """
    named = list(dict.fromkeys(views))
    if named == [ALL_VIEWS]:
        named = _every_view(job)
    if len(named) > 1:
        _check_names(job, named)
    return [replace(job, view=view) for view in named] or [job]


def _every_view(job: MatteJob) -> list[str]:
    """Return the views: from the file names if these have %V, otherwise from the first file's header."""
    if has_view(job.plate):
        views = views_on_disk(job.plate)
    else:
        source = open_plate(job.plate, wanted=Selection(part=job.part, layer=job.layer))
        views = read_views(source.paths(source.frames[:1])[0])
    if not views:
        raise SettingError(
            expected=f"a plate with several views, for {job.plate!r}",
            came="none",
            action="Leave --view out, or write %V where the names of the views' files differ.",
        )
    return views


def _check_names(job: MatteJob, views: Sequence[str]) -> None:
    """Raise SettingError if several views would write the same files or share one mask."""
    if not has_view(job.out):
        raise SettingError(
            expected="%V in the output name, where the view's name belongs",
            came=f"{job.out!r} for the views {', '.join(views)}",
            action="Add it, for example out/alpha.%V.####.exr.",
        )
    for mask in (job.mask, *(key.file for key in job.keys)):
        if has_view(mask) or not Path(mask).is_file() or read_views(Path(mask)):
            continue
        raise SettingError(
            expected="a mask for each view: a name with %V, or a stereo file",
            came=f"{mask!r} for the views {', '.join(views)}",
            action="Draw a mask on each view: the subject is not at the same place in both.",
        )
    if "%V" not in job.out and len({view[0] for view in views}) < len(views):
        raise SettingError(
            expected="views whose names begin with different letters, for %v",
            came=", ".join(views),
            action="Write %V instead, which stands for the whole name.",
        )


@dataclass(frozen=True)
class Joining:
    """Lists the files of all views that are joined, and the joined files."""

    views: tuple[str, ...]
    frames: tuple[int, ...]
    sources: dict[int, dict[str, Path]]
    """For each frame, the file of each view in the order of the views."""
    targets: dict[int, Path]


def plan_joining(text: str, out: str, views: Sequence[str] = ()) -> Joining:
    """Find the files of each view and check that they fit together. Only the output folder is created.

    text: 'out/alpha.%V.####.exr'; views: in the order of the parts; empty takes all views, left first. Raises
    SettingError, PlateError, FrameRangeError, OutputError.
    """
    if not has_view(text):
        raise SettingError(
            expected="%V in the file name, where the view's name belongs",
            came=repr(text),
            action="Add it, for example out/alpha.%V.####.exr.",
        )
    named = tuple(dict.fromkeys(views)) or tuple(sorted(views_on_disk(text), key=lambda view: (view != "left", view)))
    if len(named) < 2:
        raise SettingError(
            expected="at least two views to join", came=", ".join(named) or "none", action="Matte the other view first."
        )
    sequences = {view: find_sequence(Path(with_view(text, view))) for view in named}
    frames = sequences[named[0]].frames
    for view, sequence in sequences.items():
        if sequence.frames != frames:
            only = sorted(set(sequence.frames) ^ set(frames))
            raise FrameRangeError(
                expected=f"the same frames in the views {named[0]} and {view}",
                came=f"{describe_frames(only)} in only one of them",
                action="Finish both views first.",
            )
    pattern = OutputPattern.parse(out)
    if pattern.file_suffix.lower() != ".exr":
        raise SettingError(
            expected="an .exr file, which can hold several views",
            came=repr(out),
            action="Give the output a name that ends in .exr.",
        )
    sources = {frame: {view: each.path(frame) for view, each in sequences.items()} for frame in frames}
    pattern.check_portable()
    pattern.check_frames(frames)
    padding = sequences[named[0]].padding
    pattern.check_not_plate(frames, padding, [path for each in sources.values() for path in each.values()])
    check_writable(pattern.folder)
    return Joining(named, frames, sources, {frame: pattern.path(frame, padding) for frame in frames})
