# SPDX-License-Identifier: Apache-2.0
"""Reads and writes job files and plans of segments. Errors name the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.jobs.job import open_source, outline_matte
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.segments import Segment
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.media.views import with_view
from matanyone_engine.version import __version__
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import WireError
from matanyone_engine.wire.jobfile import JobFile, job_here, read_job_file, read_path_rules, with_paths, write_job_file

PLAN_FORMAT = "matanyone-plan"


def absolute(job: say.Job) -> say.Job:
    """Return a job with absolute paths, which do not depend on where a command is run."""
    job = with_paths(job, lambda path: str(Path(path).absolute()))
    return replace(job, model=str(Path(job.model).absolute())) if Path(job.model).is_file() else job


def read_file(path: Path) -> JobFile:
    """Return what a job file says, with paths as they are written. Raises SettingError."""
    with _named(path):
        return read_job_file(path.read_text(encoding="utf-8"))


def load_job(path: Path, rules: Path | None = None) -> say.Job:
    """Return the job in a file, with paths of this machine; rules: a farm's path mapping. Raises SettingError."""
    with _named(path):
        mapping = read_path_rules(rules.read_text(encoding="utf-8")) if rules else ()
        return job_here(read_job_file(path.read_text(encoding="utf-8")), str(path.parent.absolute()), mapping)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Raise errors of the file under its name and in our family."""
    try:
        yield
    except WireError as error:
        expected, _, came = error.message.partition(", got ")
        raise SettingError(
            expected=f"{path}: {expected.removeprefix('expected ')}", came=came, action=error.action
        ) from error
    except (OSError, ValueError) as error:
        raise SettingError(
            expected=f"{path} to be a job file",
            came=str(error),
            action="Name a file that `matanyone-engine matte --save-job` wrote.",
        ) from error


def plan_path(job: Path) -> Path:
    """Return the name of the plan of a job file."""
    return job.with_name(f"{job.stem}.plan.json")


def write_plan(job: Path, segments: Sequence[tuple[Path, Segment]], *, scouted: bool) -> None:
    """Write which job files a job was split into; `run` and `merge` read it. Raises OutputError."""
    said = [
        {"file": file.name, "frames": describe_frames(segment.frames), "steps": segment.moves}
        for file, segment in segments
    ]
    scout = job.with_name(f"{job.stem}.scout.json").name if scouted else None
    plan = {"format": PLAN_FORMAT, "version": 1, "job": job.name, "scout": scout, "segments": said}
    write_text(plan_path(job), json.dumps(plan, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class SegmentPlan:
    """Names the job files that a job was split into."""

    segments: tuple[Path, ...]
    scout: Path | None
    """To be run before the segments."""


def read_plan(path: Path) -> SegmentPlan:
    """Return a plan that write_plan() wrote. Raises SettingError."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8-sig"))
        if (plan["format"], plan["version"]) != (PLAN_FORMAT, 1):
            raise ValueError(f"format {plan['format']!r:.60}, version {plan['version']!r:.60}")
        segments = tuple(path.parent / str(segment["file"]) for segment in plan["segments"])
        return SegmentPlan(segments, path.parent / str(plan["scout"]) if plan["scout"] else None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingError(
            expected=f"{path} to be a plan of segments",
            came=f"{type(error).__name__}: {error}",
            action="Name the .plan.json file that `matanyone-engine plan` wrote.",
        ) from error


def save_jobs(path: Path, jobs: Sequence[say.Job]) -> Iterator[tuple[Path, int]]:
    """Write a job file for each job (one a view of a shot), once the files that the jobs name were found.

    Yields each file that was written, and how many frames its job has.

    Raises PlateError, MaskError, FrameRangeError, SettingError, OutputError.
    """
    for job in jobs:
        asked = matte_job(job)
        outline = outline_matte(asked, open_source(asked))
        target = Path(with_view(str(path), job.view)) if len(jobs) > 1 else path
        _check_own_name(target, path, jobs)
        write_text(target, write_job_file(JobFile(job, written_by=f"matanyone-engine {__version__}")))
        yield target, len(outline.frames)


def _check_own_name(target: Path, path: Path, jobs: Sequence[say.Job]) -> None:
    if len(jobs) > 1 and target == path:
        raise SettingError(
            expected=f"%V in the job file's name, for {len(jobs)} views",
            came=str(path),
            action="Write %V where the name of the view belongs, for example shot.%V.json.",
        )


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError.of(str(path), error) from error
