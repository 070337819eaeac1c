# SPDX-License-Identifier: Apache-2.0
"""Writes a planned job as a job file of Pixar's Tractor: the segments run at once, and the merge waits for them.

    python submit.py sh010.plan.json --service gpu --dry-run sh010.alf    writes the job file
    python submit.py sh010.plan.json --service gpu                        hands it to tractor-spool

Run `matanyone-engine plan sh010.json --segments N` first. Standard library only: it runs in any Python 3.10. The
format is the one that Tractor's page "Job Scripting" describes (Alfred's, in Tcl); no Tractor has read such a file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRESS = "--report tractor"


def job_file(plan: Path, service: str) -> str:
    """Return the text of the job file. A task begins when those inside it, its subtasks, are done."""
    said = json.loads(plan.read_text(encoding="utf-8-sig"))
    path = f"{{{plan.as_posix()}}}"
    run = f"matanyone-engine run {path} {PROGRESS}"
    segments: list[str] = []
    for number in range(1, len(said["segments"]) + 1):
        # The scout is written out once, inside the first segment; the others refer to it by its title.
        first = _task("scout", f"{run} --scout", service) if number == 1 else ["Instance {scout}"]
        segments += _task(f"segment {number}", f"{run} --segment {number}", service, first if said["scout"] else [])
    merge = _task("merge", f"matanyone-engine merge {path} {PROGRESS}", service, segments)
    name = plan.name.replace(".plan.json", "")
    return "\n".join(["##AlfredToDo 3.0", f"Job -title {{{name} matte}} -subtasks {{", *_inside(merge), "}", ""])


def _task(title: str, command: str, service: str, before: list[str] | None = None) -> list[str]:
    """Return the lines of a task; `before` are the lines of the tasks that it waits for."""
    waits = (
        [f"Task {{{title}}} -subtasks {{", *_inside(before), "} -cmds {"] if before else [f"Task {{{title}}} -cmds {{"]
    )
    return [*waits, *_inside([f"RemoteCmd {{{command}}} -service {{{service}}}"]), "}"]


def _inside(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def check_name(text: str) -> str:
    """Return a text that may stand in a job file, where braces have a meaning and Tractor replaces what has a %."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise SystemExit(f"expected a name without line breaks and control characters; got {text!r}. Rename it.")
    if re.search(r'[{}\\%$\[\]"]', text):
        raise SystemExit(
            'expected a name without { } \\ % $ [ ] and ", which have a meaning in a job file of Tractor; '
            f"got {text!r}. Rename it."
        )
    return text


def main() -> int:
    """Read the command line, then hand the job over or write its file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--service", default="PixarRender", help="the key of the blades that may run it")
    parser.add_argument("--dry-run", type=Path, metavar="FILE")
    args = parser.parse_args()
    plan = Path(check_name(args.plan.absolute().as_posix()))
    text = job_file(plan, check_name(args.service))
    if args.dry_run is not None:
        args.dry_run.write_text(text, encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "matte.alf"
        file.write_text(text, encoding="utf-8")
        return subprocess.run(["tractor-spool", str(file)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
