# SPDX-License-Identifier: Apache-2.0
"""Submits a planned job to OpenCue: one layer whose frames are the segments, and one layer that joins them.

    python submit.py sh010.plan.json --show film --shot sh010 --user ann                   launches (opencue-pycue)
    python submit.py sh010.plan.json --show film --shot sh010 --user ann --dry-run FILE    writes the specification

Run `matanyone-engine plan sh010.json --segments N` first. The specification (cjsl-1.15) is what pyoutline serializes
for a Cuebot; it is written here without pyoutline, so that a dry run needs nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shlex
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

HEADER = """<?xml version="1.0"?>
<!DOCTYPE spec PUBLIC "SPI Cue  Specification Language" "http://localhost:8080/spcue/dtd/cjsl-1.15.dtd">
"""


def specification(plan: Path, show: str, shot: str, user: str, gpus: int) -> str:
    """Return the job as XML."""
    said = json.loads(plan.read_text(encoding="utf-8-sig"))
    path = shlex.quote(plan.as_posix())  # OpenCue hands a command to a shell
    run = f"matanyone-engine run {path}"
    stages = [("scout", f"{run} --scout", 1, gpus)] if said["scout"] else []
    stages += [("matte", f"{run} --segment #IFRAME#", len(said["segments"]), gpus)]
    stages += [("merge", f"matanyone-engine merge {path}", 1, 0)]
    spec = Xml.Element("spec")
    for name, text in (("facility", "local"), ("show", show), ("shot", shot), ("user", user), ("uid", str(_uid()))):
        Xml.SubElement(spec, name).text = text
    job = Xml.SubElement(spec, "job", name=f"{plan.name.replace('.plan.json', '')}_matte")
    for name, text in (("paused", "False"), ("priority", "100"), ("maxretries", "2"), ("autoeat", "False")):
        Xml.SubElement(job, name).text = text
    Xml.SubElement(job, "env")
    layers = Xml.SubElement(job, "layers")
    for name, command, frames, needed in stages:
        _layer(layers, name, command, f"1-{frames}", needed)
    depends = Xml.SubElement(spec, "depends")
    for (before, *_), (after, *_) in itertools.pairwise(stages):
        depend = Xml.SubElement(depends, "depend", type="LAYER_ON_LAYER", anyframe="False")
        own = job.attrib["name"]
        for name, text in (("depjob", own), ("deplayer", after), ("onjob", own), ("onlayer", before)):
            Xml.SubElement(depend, name).text = text
    Xml.indent(spec)
    return HEADER + Xml.tostring(spec, encoding="unicode") + "\n"


def _layer(layers: Xml.Element, name: str, command: str, frames: str, gpus: int) -> None:
    layer = Xml.SubElement(layers, "layer", name=name, type="Render")
    said = [("cmd", command), ("range", frames), ("chunk", "1"), ("cores", "2.0")]
    said += [("memory", "8g"), *([("gpus", str(gpus)), ("gpu_memory", "8g")] if gpus else [])]
    for key, text in said:
        Xml.SubElement(layer, key).text = text
    Xml.SubElement(layer, "env")
    Xml.SubElement(Xml.SubElement(layer, "services"), "service").text = "shell"
    Xml.SubElement(layer, "outputs")


def check_name(text: str) -> str:
    """Return a text that may stand in a specification. XML has no control characters; OpenCue replaces #NAME#."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise SystemExit(f"expected a name without line breaks and control characters; got {text!r}. Rename it.")
    if re.search(r"#\w+#", text):
        raise SystemExit(f"expected a name without #...#, which OpenCue replaces; got {text!r}. Rename it.")
    return text


def _uid() -> int:
    return os.getuid() if hasattr(os, "getuid") else 1000


def main() -> int:
    """Read the command line, then launch the job or write its specification."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    for name in ("--show", "--shot", "--user"):
        parser.add_argument(name, required=True)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--dry-run", type=Path, metavar="FILE")
    args = parser.parse_args()
    plan, *_ = [check_name(str(text)) for text in (args.plan.absolute(), args.show, args.shot, args.user)]
    text = specification(Path(plan), args.show, args.shot, args.user, args.gpus)
    if args.dry_run is not None:
        args.dry_run.write_text(text, encoding="utf-8")
        return 0
    import opencue  # opencue-pycue

    for job in opencue.api.launchSpecAndWait(text):
        print(job.name())
    return 0


if __name__ == "__main__":
    sys.exit(main())
