# SPDX-License-Identifier: Apache-2.0
"""Writes a planned job as a submission file of Royal Render: a job for each segment, and a merge that waits for them.

    python submit.py sh010.plan.json --out sh010_rr     writes sh010_rr/submit.xml and a script for each job
    rrSubmitterconsole sh010_rr/submit.xml              submits it, without a window

Run `matanyone-engine plan sh010.json --segments N` first. Standard library only: it runs in any Python 3.10. The
elements are those of Royal Render's page "rrJob submit xml file"; each job is of its render application Execute, which
runs a script. No Royal Render has read such a file of ours.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

SYSTEMS = {"linux": ".sh", "osx": ".sh", "windows": ".bat"}
MOST_JOBS = 255
"""A job waits for others by numbers from 0 to 255."""


def stages(plan: Path) -> list[tuple[str, list[str], list[int]]]:
    """Return (name, arguments of matanyone-engine, numbers of the jobs that it waits for) of each job, in order."""
    said = json.loads(plan.read_text(encoding="utf-8-sig"))
    path = plan.as_posix()
    jobs = [("scout", ["run", path, "--scout"], [])] if said["scout"] else []
    before = list(range(len(jobs)))
    for number in range(1, len(said["segments"]) + 1):
        jobs.append((f"segment-{number}", ["run", path, "--segment", str(number)], before))
    if len(jobs) > MOST_JOBS:
        raise SystemExit(f"expected at most {MOST_JOBS - 1} segments; got {len(said['segments'])}. Plan fewer.")
    return [*jobs, ("merge", ["merge", path], list(range(len(before), len(jobs))))]


def script(arguments: list[str], done: Path, system: str) -> str:
    """Return the script of a job. It leaves a file behind when all went well, which Royal Render looks for."""
    if system == "windows":
        words = " ".join(f'"{word}"' for word in arguments)
        return f'@echo off\r\nmatanyone-engine {words} || exit /b\r\necho done > "{done}"\r\n'
    return f"#!/bin/sh\nset -e\nmatanyone-engine {shlex.join(arguments)}\necho done > {shlex.quote(str(done))}\n"


def submission(plan: Path, out: Path, system: str, jobs: list[tuple[str, list[str], list[int]]]) -> str:
    """Return the submission file as XML."""
    root = Xml.Element("rrJob_submitFile", syntax_version="6.0")
    Xml.SubElement(root, "DeleteXML").text = "0"
    for number, (name, _, waits) in enumerate(jobs):
        job = Xml.SubElement(root, "Job")
        said = {
            "Software": "Execute",
            "Renderer": "",
            "Version": "1.0",
            "SceneName": str(out / f"{name}{SYSTEMS[system]}"),
            "SceneOS": system,
            "IsActive": "true",
            "SeqStart": "1",
            "SeqEnd": "1",
            "SeqStep": "1",
            "SeqFileOffset": "0",
            "Layer": f"{plan.name.replace('.plan.json', '')} {name}",
            "ImageDir": str(out),
            "ImageFilename": f"{name}.done",
            "ImageExtension": "",
            "ImagePreNumberLetter": "",
            "ImageSingleOutputFile": "true",
            "PreID": str(number),
        }
        for key, text in said.items():
            Xml.SubElement(job, key).text = text
        for waited in waits:
            Xml.SubElement(job, "WaitForPreID").text = str(waited)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def check_name(text: str, system: str) -> str:
    """Return a text that may stand in a submission. Royal Render replaces names between < and >."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise SystemExit(f"expected a name without line breaks and control characters; got {text!r}. Rename it.")
    if "<" in text or ">" in text:
        raise SystemExit(f"expected a name without < and >, which Royal Render replaces; got {text!r}. Rename it.")
    if system == "windows" and re.search(r'[%"^!&|]', text):
        raise SystemExit(
            f'expected a name without % " ^ ! & and |, which a .bat file replaces; got {text!r}. Rename it.'
        )
    return text


def main() -> int:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="on storage that every client sees")
    parser.add_argument("--system", choices=SYSTEMS, default="linux", help="what the clients run; default: linux")
    args = parser.parse_args()
    plan, out = (Path(check_name(str(path.absolute()), args.system)) for path in (args.plan, args.out))
    jobs = stages(plan)
    out.mkdir(parents=True, exist_ok=True)
    for name, arguments, _ in jobs:
        file = out / f"{name}{SYSTEMS[args.system]}"
        # Line ends as they are: a shell does not read those of Windows.
        file.write_bytes(script(arguments, out / f"{name}.done", args.system).encode())
        file.chmod(0o755)
    (out / "submit.xml").write_text(submission(plan, out, args.system, jobs), encoding="utf-8")
    print(out / "submit.xml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
