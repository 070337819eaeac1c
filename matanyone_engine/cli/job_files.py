# SPDX-License-Identifier: Apache-2.0
"""Job files on disk: errors of wire/jobfile.py become ours, and name the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from matanyone_engine import __version__
from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.media.views import with_view
from matanyone_engine.service.job import open_source, outline_matte
from matanyone_engine.service.job_message import matte_job
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.errors import WireError
from matanyone_engine.wire.jobfile import JobFile, job_here, read_job_file, with_paths, write_job_file


def absolute(job: say.Job) -> say.Job:
    """With paths that do not depend on where a command is run."""
    job = with_paths(job, lambda path: str(Path(path).absolute()))
    return replace(job, model=str(Path(job.model).absolute())) if Path(job.model).is_file() else job


def load_job(path: Path) -> say.Job:
    """The job in a file, with paths of this machine. Raises SettingError."""
    try:
        return job_here(read_job_file(path.read_text(encoding="utf-8")), str(path.parent.absolute()))
    except WireError as error:
        expected, _, came = error.message.partition(", got ")
        raise SettingError(
            expected=f"{path}: {expected.removeprefix('expected ')}", came=came, action=error.action
        ) from error
    except (OSError, ValueError) as error:
        raise SettingError(
            expected=f"{path} to be a job file", came=str(error), action="Name a file that matte --save-job wrote."
        ) from error


def save_jobs(path: Path, jobs: Sequence[say.Job], console: Console) -> None:
    """Write a file for each (the views of a shot), once the files that the jobs name were found.

    Raises PlateError, MaskError, FrameRangeError, SettingError, OutputError.
    """
    for job in jobs:
        asked = matte_job(job)
        outline = outline_matte(asked, open_source(asked))
        target = Path(with_view(str(path), job.view)) if len(jobs) > 1 else path
        _check_own_name(target, path, jobs)
        _write(target, JobFile(job, written_by=f"matanyone-engine {__version__}"))
        console.print(f"job     {target}  {len(outline.frames)} frames")


def _check_own_name(target: Path, path: Path, jobs: Sequence[say.Job]) -> None:
    if len(jobs) > 1 and target == path:
        raise SettingError(
            expected=f"%V in the job file's name, for {len(jobs)} views", came=str(path), action="Write shot.%V.json."
        )


def _write(path: Path, file: JobFile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(write_job_file(file), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            expected=f"to write {path}", came=error.strerror or str(error), action="Choose another place."
        ) from error
