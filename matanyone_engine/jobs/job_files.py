# SPDX-License-Identifier: Apache-2.0
"""Reads and writes job files and segment plans. Its errors name the file."""

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
    """Return the job with absolute paths, which do not depend on the current folder."""
    job = with_paths(job, lambda path: str(Path(path).absolute()))
    return replace(job, model=str(Path(job.model).absolute())) if Path(job.model).is_file() else job


def read_file(path: Path) -> JobFile:
    """Read a job file, with its paths as they are written. Raises SettingError."""
    with _named(path):
        return read_job_file(path.read_text(encoding="utf-8"))


def load_job(path: Path, rules: Path | None = None) -> say.Job:
    """Read the job in a job file, with the paths of this machine. rules: a farm's path mapping file.

    Raises SettingError.
    """
    with _named(path):
        mapping = read_path_rules(rules.read_text(encoding="utf-8")) if rules else ()
        return job_here(read_job_file(path.read_text(encoding="utf-8")), str(path.parent.absolute()), mapping)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn errors of reading the file into SettingErrors that name it."""
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
    """Return the path of the segment plan that belongs to a job file."""
    return job.with_name(f"{job.stem}.plan.json")


def write_plan(job: Path, segments: Sequence[tuple[Path, Segment]], *, has_first_pass: bool) -> None:
    """Write the plan that lists a job's segments; `run` and `merge` read it. Raises OutputError."""
    listed = [
        {"file": file.name, "frames": describe_frames(segment.frames), "steps": segment.moves}
        for file, segment in segments
    ]
    first_pass = job.with_name(f"{job.stem}.scout.json").name if has_first_pass else None
    plan = {"format": PLAN_FORMAT, "version": 1, "job": job.name, "scout": first_pass, "segments": listed}
    write_text(plan_path(job), json.dumps(plan, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class SegmentPlan:
    """Names the job files of a job's segments."""

    segments: tuple[Path, ...]
    first_pass: Path | None
    """The job file of the first pass, which must run before the segments; None without --split."""


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
    """Check that the jobs' files exist, then write a job file for each job; there is one job for each view.

    Yields each written file with the number of frames of its job.

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
    """Write a text file atomically. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError.of(str(path), error) from error
