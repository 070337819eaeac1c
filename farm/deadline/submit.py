# SPDX-License-Identifier: Apache-2.0
"""Submits a planned job to Deadline 10: the segments are tasks of one CommandLine job, and the merge waits for it.

    python submit.py sh010.plan.json --pool gpu                  submits with deadlinecommand
    python submit.py sh010.plan.json --pool gpu --dry-run DIR    writes the files it would submit

Run `matanyone-engine plan sh010.json --segments N` first. Standard library only: it runs in any Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRESS = "--report deadline"


def stages(plan: Path) -> list[tuple[str, str, int]]:
    """Return (name, arguments of matanyone-engine, number of tasks) of each stage; a stage waits for the one before."""
    said = json.loads(plan.read_text(encoding="utf-8-sig"))
    path = f"{quoted(plan.as_posix())} {PROGRESS}"
    scout = [("scout", f"run {path} --scout", 1)] if said["scout"] else []
    # Memory is sequential: a task is a segment, never a frame.
    matte = ("matte", f"run {path} --segment <STARTFRAME>", len(said["segments"]))
    return [*scout, matte, ("merge", f"merge {path}", 1)]


def quoted(text: str) -> str:
    """Return a text as one argument of a command line that is run without a shell, whatever quotes are in it."""
    return '"' + re.sub(r'(\\*)(")', r"\1\1\\\2", re.sub(r"(\\+)$", r"\1\1", text)) + '"'


def check_name(text: str) -> str:
    """Return a text that may stand in a job file. Deadline reads line by line, and replaces names between < and >."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise SystemExit(f"expected a name without line breaks and control characters; got {text!r}. Rename it.")
    if "<" in text or ">" in text:
        raise SystemExit(f"expected a name without < and >, which Deadline replaces; got {text!r}. Rename it.")
    return text


def job_files(
    plan: Path, stage: tuple[str, str, int], pool: str, priority: int, depends_on: str | None
) -> tuple[str, str]:
    """Return the texts of the job info file and of the plug-in info file of one stage."""
    name, (kind, arguments, tasks) = plan.name.replace(".plan.json", ""), stage
    info = {
        "Plugin": "CommandLine",
        "Name": f"{name} {kind}",
        "BatchName": name,
        "Pool": pool,
        "Priority": str(priority),
        "Frames": f"1-{tasks}" if tasks > 1 else "1",
        "ChunkSize": "1",
        "ConcurrentTasks": "1",
        **({"JobDependencies": depends_on} if depends_on else {}),
    }
    plugin = {"Executable": "matanyone-engine", "Arguments": arguments, "Shell": "default", "ShellExecute": "False"}
    return _as_text(info), _as_text(plugin)


def _as_text(values: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def submit(info: str, plugin: str) -> str:
    """Submit one stage to Deadline and return the id of the job."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "job.info", Path(folder) / "plugin.info"]
        for file, text in zip(files, (info, plugin), strict=True):
            file.write_text(text, encoding="utf-8")
        command = ["deadlinecommand", *map(str, files)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.partition("=")[2] for line in said.splitlines() if line.startswith("JobID=")]
    if not found:
        raise SystemExit(f"Deadline gave no job id:\n{said}")
    return found[0]


def main() -> int:
    """Read the command line, then submit the job or write its files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--pool", default="none")
    parser.add_argument("--priority", type=int, default=50)
    parser.add_argument("--dry-run", type=Path, metavar="DIR")
    args = parser.parse_args()
    plan = Path(check_name(str(args.plan.absolute())))
    check_name(args.pool)
    before: str | None = None
    for stage in stages(plan):
        texts = job_files(plan, stage, args.pool, args.priority, before)
        if args.dry_run is None:
            before = submit(*texts)
            print(stage[0], before)
            continue
        before = f"ID_OF_{stage[0].upper()}"
        args.dry_run.mkdir(parents=True, exist_ok=True)
        for kind, text in zip(("job", "plugin"), texts, strict=True):
            (args.dry_run / f"{stage[0]}.{kind}.info").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
