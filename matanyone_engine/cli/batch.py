# SPDX-License-Identifier: Apache-2.0
"""Runs every shot of a folder, one after another: `matanyone-engine batch FOLDER` (docs/farm.md).

A shot that fails does not stop the others. A second run computes only what is not finished.
"""

from __future__ import annotations

import argparse
import logging
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
from matanyone_engine.cli.local_job import Networks, RunSettings, add_cache, run_locally
from matanyone_engine.cli.new_file import new_folder
from matanyone_engine.cli.progress import plain_console
from matanyone_engine.cli.reporting import Reporter, add_reporting, reporting
from matanyone_engine.cli.result_options import add_result_options, with_result_options
from matanyone_engine.errors import Defect, Doubtful, EngineError, Interrupted, OutOfMemory, PartlyDone, SettingError
from matanyone_engine.jobs.job_files import absolute, load_job, write_text
from matanyone_engine.jobs.job_message import matte_job
from matanyone_engine.jobs.shot_folder import LIKE, job_of, shots_in
from matanyone_engine.version import __version__
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.jobfile import JobFile, write_job_file

_log = logging.getLogger("matanyone_engine")

REPORT = "batch_report"
"""The folder of the HTML page and its pictures, beside the shots."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add 'batch' to the program's parser."""
    parser = subparsers.add_parser(
        "batch",
        description="Mattes every shot of a folder, and makes a page that says how each one went. A shot that fails "
        "does not stop the others.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="The folder. It holds SHOT/plate/... and SHOT/mask/roto.1001.exr for each shot, or job files.",
    )
    parser.add_argument(
        "--like", type=Path, metavar="JOB", help="A job file whose options, output and model all shots take."
    )
    parser.add_argument(
        "--save-jobs", type=new_folder, metavar="FOLDER", help="Compute nothing, and write a job file for each shot."
    )
    parser.add_argument(
        "--submit",
        metavar="COMMAND",
        help="With --save-jobs: run this command for each job file; {job} stands for the file.",
    )
    add_computing(parser)
    add_cache(parser)
    add_result_options(parser)
    add_endpoint(parser)
    add_reporting(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Find the shots, run each and report. Raises PartlyDone where one failed."""
    console = plain_console()
    shots = _shots(args.folder)
    like = replace(load_job(args.like), label="") if args.like else LIKE
    with reporting(args) as reporter:
        batch = _ShotByShot(args, console, reporter, like, len(shots))
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
            expected=f"shots in {folder}: folders that hold plate/ and mask/, or job files",
            came="a folder without shots",
            action="Lay the folder out as docs/farm.md shows.",
        )
    return shots


def _conclude(outcomes: list[Outcome]) -> None:
    failed = [each.name for each in outcomes if each.state == "failed"]
    doubtful = [each.name for each in outcomes if each.state == "doubt"]
    if failed:
        raise PartlyDone(
            expected=f"all {len(outcomes)} shots finished",
            came=f"{len(failed)} that failed: {', '.join(failed)}",
            action="Mend what the table says and run the same command again. What is finished is kept.",
        )
    if doubtful:
        raise Doubtful(
            expected=f"alphas that can be trusted, of all {len(outcomes)} shots",
            came=f"{len(doubtful)} shots that most likely lost their subject: {', '.join(doubtful)}",
            action="All frames are written. Look at these shots and at their masks, or take them: --accept-doubt.",
        )


class _ShotByShot:
    """Runs shots one after another, and keeps the networks that it has loaded."""

    def __init__(self, args: argparse.Namespace, console: Console, reporter: Reporter, like: say.Job, of: int) -> None:
        self._args, self._console, self._reporter, self._like, self._of = args, console, reporter, like, of
        self._networks: Networks = {}
        self._number = 0

    def do(self, shot: Path) -> Outcome:
        """Run one shot and return its outcome, including an error. Raises nothing but Interrupted."""
        self._number += 1
        name = shot.stem if shot.is_file() else shot.name
        self._console.print(f"shot    {name}  ({self._number} of {self._of})")
        self._reporter.begin(name)
        begun = time.monotonic()
        error = _caught(lambda: self._work(shot, name))
        if error is not None:
            word = "doubt " if isinstance(error, Doubtful) else "failed"
            self._console.print(f"{word}  {name}: expected {error.expected}; got {error.came}. {error.action}")
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
        args = self._args
        job = load_job(shot) if shot.is_file() else absolute(job_of(shot, self._like))
        job = with_result_options(job, args)
        if args.save_jobs is not None:
            self._save(args.save_jobs / f"{name}.json", job)
        elif args.endpoint is not None:
            run_on_engine(args, job, self._console, self._reporter, resume=None)
        else:
            picture = self._picture(name)
            how = RunSettings(job.model, job.licence, args.device, args.precision, args.cache, picture)
            run_locally(
                how, lambda: [matte_job(job)], self._console, self._reporter, resume=None, networks=self._networks
            )

    def _save(self, file: Path, job: say.Job) -> None:
        write_text(file, write_job_file(JobFile(job, written_by=f"matanyone-engine {__version__}")))
        self._console.print(f"job     {file}")
        if self._args.submit:
            _submit([part.replace("{job}", str(file)) for part in shlex.split(self._args.submit)])

    def _picture(self, name: str) -> Path:
        return Path(self._args.folder) / REPORT / f"{name}.png"


def _caught(work: Callable[[], None]) -> EngineError | None:
    """Do the work and return its error, if there was one. Interrupted is raised, since it ends the whole batch."""
    try:
        work()
    except Interrupted:
        raise
    except EngineError as error:
        return error
    except MemoryError:
        return OutOfMemory(
            expected="enough main memory for this shot",
            came="no memory left",
            action="Compute at a smaller size: working_size 720 in its job file.",
        )
    except Exception as error:  # a defect of the engine or of a library in one shot does not stop the others
        _log.exception("A defect, on one shot of the batch")
        return Defect(
            expected="the shot to run to its end",
            came=f"{type(error).__name__}: {error}"[:500],
            action="This is a defect of the engine: report it with the log. The other shots do not suffer from it.",
        )
    return None


def _submit(command: list[str]) -> None:
    """Run the command that hands a job to a queue. Raises SettingError where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SettingError(
            expected=f"a command that can be run: {command[0]}",
            came=error.strerror or str(error),
            action="Correct --submit.",
        ) from error
    if done.returncode:
        printed = (done.stderr or done.stdout).strip().splitlines()
        raise SettingError(
            expected=f"the command {shlex.join(command)} to submit the job",
            came=f"exit code {done.returncode}: {printed[-1] if printed else 'it printed nothing'}",
            action="Find out what the queue refused, and run the same command again.",
        )
