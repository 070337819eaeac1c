# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine batch FOLDER: every shot of a folder, one after another; a bad one costs nobody else (docs/farm.md).

Run again it goes on: what is finished is found finished.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from matanyone_engine.cli.batch_report import Outcome, show_table, write_page
from matanyone_engine.cli.device_options import add_computing
from matanyone_engine.cli.engine_job import add_endpoint, run_on_engine
from matanyone_engine.cli.local_job import Networks, Running, add_cache, run_here
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import Reporter, add_reporting, reporting
from matanyone_engine.errors import EngineError, Interrupted, OutOfMemory, PartlyDone, SettingError
from matanyone_engine.jobs.job_files import absolute, load_job, write_text
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.shot_folder import LIKE, job_of, shots_in
from matanyone_engine.version import __version__
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.jobfile import JobFile, write_job_file

REPORT = "batch_report"
"""Folder of the HTML page and its pictures, beside the shots."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'batch' to the program's parser."""
    parser = subparsers.add_parser(
        "batch", help="matte a folder of shots", description="Matte every shot of a folder; a page says how it went."
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="SHOT/plate/..., SHOT/mask/roto.1001.exr; job files"
    )
    parser.add_argument(
        "--like", type=Path, metavar="JOB", help="a job file whose options, delivery and model all take"
    )
    parser.add_argument(
        "--save-jobs", type=Path, metavar="FOLDER", help="compute nothing: write a job file for each shot"
    )
    parser.add_argument(
        "--submit", metavar="COMMAND", help="with --save-jobs: run it for each file, which {job} stands for"
    )
    add_computing(parser)
    add_cache(parser)
    add_endpoint(parser)
    add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Find the shots, do each, tell. Raises PartlyDone where one failed."""
    console = plain_console()
    shots = _shots(args.folder)
    like = replace(load_job(args.like), label="") if args.like else LIKE
    with reporting(args) as reporter:
        batch = _Batch(args, console, reporter, like, len(shots))
        outcomes = [batch.do(shot) for shot in shots]
        show_table(outcomes)
        if args.save_jobs is None:
            page = write_page(args.folder / REPORT / "index.html", args.folder.absolute().name, outcomes)
            console.print(f"report  {page}")
        _conclude(outcomes)


def _shots(folder: Path) -> list[Path]:
    shots = shots_in(folder) if folder.is_dir() else []
    if not shots:
        raise SettingError(
            expected=f"shots in {folder}: folders with {'plate/'} and {'mask/'}, or job files",
            came="none",
            action="Lay it out as docs/farm.md says.",
        )
    return shots


def _conclude(outcomes: list[Outcome]) -> None:
    failed = [each.name for each in outcomes if each.error is not None]
    if failed:
        raise PartlyDone(
            expected=f"{len(outcomes)} shots",
            came=f"{len(outcomes) - len(failed)}; not {', '.join(failed)}",
            action="Mend what the table says and run the same command again: what is done is kept.",
        )


class _Batch:
    """Does shots one after another, with the networks that it has loaded."""

    def __init__(self, args: argparse.Namespace, console: Console, reporter: Reporter, like: say.Job, of: int) -> None:
        self._args, self._console, self._reporter, self._like, self._of = args, console, reporter, like, of
        self._networks: Networks = {}
        self._number = 0

    def do(self, shot: Path) -> Outcome:
        """One shot; its error is part of what is told. Raises Interrupted alone."""
        self._number += 1
        name = shot.stem if shot.is_file() else shot.name
        self._console.print(f"shot    {name}  ({self._number} of {self._of})")
        self._reporter.begin(name)
        begun = time.monotonic()
        error = _caught(lambda: self._work(shot, name))
        if error is not None:
            self._console.print(f"failed  {name}: expected {error.expected}; got {error.came}. {error.action}")
        self._reporter.end_shot(error)
        picture = self._picture(name)
        return Outcome(
            name,
            self._reporter.written,
            self._reporter.reused,
            tuple(self._reporter.suspicious),
            time.monotonic() - begun,
            error,
            picture if picture.is_file() else None,
        )

    def _work(self, shot: Path, name: str) -> None:
        job = load_job(shot) if shot.is_file() else absolute(job_of(shot, self._like))
        args = self._args
        if args.save_jobs is not None:
            self._save(args.save_jobs / f"{name}.json", job)
        elif args.endpoint is not None:
            run_on_engine(args, job, self._console, self._reporter, resume=None)
        else:
            picture = self._picture(name)
            how = Running(job.model, job.licence, args.device, args.precision, args.cache, picture)
            run_here(how, lambda: [matte_job(job)], self._console, self._reporter, resume=None, networks=self._networks)

    def _save(self, file: Path, job: say.Job) -> None:
        write_text(file, write_job_file(JobFile(job, written_by=f"matanyone-engine {__version__}")))
        self._console.print(f"job     {file}")
        if self._args.submit:
            _submit([part.replace("{job}", str(file)) for part in shlex.split(self._args.submit)])

    def _picture(self, name: str) -> Path:
        return Path(self._args.folder) / REPORT / f"{name}.png"


def _caught(work: Callable[[], None]) -> EngineError | None:
    """What went wrong with one shot; a wish to stop is for all of them."""
    try:
        work()
    except Interrupted:
        raise
    except EngineError as error:
        return error
    except MemoryError:
        return OutOfMemory(
            expected="room in main memory", came="none left", action="Compute smaller: working_size 720."
        )
    return None


def _submit(command: list[str]) -> None:
    """Raises SettingError where the command fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SettingError(
            expected=f"to run {command[0]}", came=error.strerror or str(error), action="Correct --submit."
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SettingError(
            expected=f"{shlex.join(command)} to submit the job",
            came=f"exit code {done.returncode}: {said[-1] if said else 'without a word'}",
            action="See to the queue and run it again.",
        )
