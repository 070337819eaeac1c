# SPDX-License-Identifier: Apache-2.0
"""Makes a job for each view of a stereo shot, and joins the files of the views; %V in a name stands for the view.

Two views hold the same subject, but no pixel of one is a pixel of the other: nothing is shared between the sessions.
When all are finished, their files can be joined into one a frame.
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
    """Return a job for each view. views: names, or 'all' for all there are; none leaves the choice to the file.

    Raises SettingError: no views to be found, or names that several views would share.
    """
    named = list(dict.fromkeys(views))
    if named == [ALL_VIEWS]:
        named = _every_view(job)
    if len(named) > 1:
        _check_names(job, named)
    return [replace(job, view=view) for view in named] or [job]


def _every_view(job: MatteJob) -> list[str]:
    """By the names of the files where they have %V, else by what the first file says."""
    if has_view(job.plate):
        views = views_on_disk(job.plate)
    else:
        source = open_plate(job.plate, wanted=Selection(part=job.part, layer=job.layer))
        views = read_views(source.paths(source.frames[:1])[0])
    if not views:
        raise SettingError(
            expected=f"views in {job.plate!r}", came="none", action="Leave --view out, or write %V where files differ."
        )
    return views


def _check_names(job: MatteJob, views: Sequence[str]) -> None:
    """What several views write must differ by view."""
    if not has_view(job.out):
        raise SettingError(
            expected="%V in the output name, to stand for the view",
            came=f"{job.out!r} for views {', '.join(views)}",
            action="Write it where the view's name belongs: out/alpha.%V.####.exr.",
        )
    for mask in (job.mask, *(key.file for key in job.keys)):
        if has_view(mask) or not Path(mask).is_file() or read_views(Path(mask)):
            continue
        raise SettingError(
            expected="a mask for each view: %V in its name, or a stereo file",
            came=f"{mask!r} for views {', '.join(views)}",
            action="Draw one on each view: the subject is not at the same place in them.",
        )
    if "%V" not in job.out and len({view[0] for view in views}) < len(views):
        raise SettingError(
            expected="views of different first letters for %v",
            came=", ".join(views),
            action="Write %V, the whole name, instead.",
        )


@dataclass(frozen=True)
class Joining:
    """The files of all views, which are to become one file for each frame."""

    views: tuple[str, ...]
    frames: tuple[int, ...]
    sources: dict[int, dict[str, Path]]
    """Frame -> view -> its file, the first view first."""
    targets: dict[int, Path]


def plan_joining(text: str, out: str, views: Sequence[str] = ()) -> Joining:
    """Find the files of each view and check that they fit each other; only the output folder is made.

    text: 'out/alpha.%V.####.exr'; views: in the order of the parts, none for all there are, left first.
    Raises SettingError, PlateError, FrameRangeError, OutputError.
    """
    if not has_view(text):
        raise SettingError(
            expected="%V in the name of the views' files", came=repr(text), action="Write out/alpha.%V.####.exr."
        )
    named = tuple(dict.fromkeys(views)) or tuple(sorted(views_on_disk(text), key=lambda view: (view != "left", view)))
    if len(named) < 2:
        raise SettingError(
            expected="two views or more", came=", ".join(named) or "none", action="Run the other view first."
        )
    sequences = {view: find_sequence(Path(with_view(text, view))) for view in named}
    frames = sequences[named[0]].frames
    for view, sequence in sequences.items():
        if sequence.frames != frames:
            only = sorted(set(sequence.frames) ^ set(frames))
            raise FrameRangeError(
                expected=f"the same frames of {named[0]} and {view}",
                came=f"{describe_frames(only)} of one of them only",
                action="Finish both views first.",
            )
    pattern = OutputPattern.parse(out)
    if pattern.file_suffix.lower() != ".exr":
        raise SettingError(expected="an .exr, which has parts", came=repr(out), action="Name the output .exr.")
    sources = {frame: {view: each.path(frame) for view, each in sequences.items()} for frame in frames}
    pattern.check_frames(frames)
    padding = sequences[named[0]].padding
    pattern.check_not_plate(frames, padding, [path for each in sources.values() for path in each.values()])
    check_writable(pattern.folder)
    return Joining(named, frames, sources, {frame: pattern.path(frame, padding) for frame in frames})
