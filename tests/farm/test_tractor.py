# SPDX-License-Identifier: Apache-2.0
"""The job file for Pixar's Tractor, read by a real Tcl as Tractor's document describes it. No Tractor runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shots import Shot, files, make_shot

from matanyone_engine.cli.main import main

tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl")
SUBMIT = Path(__file__).resolve().parents[2] / "farm" / "tractor" / "submit.py"

# The operators of the page "Job Scripting Operators" and those of their options that are used: each returns a list of
# what it was given, and an unknown operator or option is an error of Tcl.
OPERATORS = """
proc options {given allowed} {
    if {[llength $given] % 2} { error "an option without a value: $given" }
    foreach {name value} $given { if {$name ni $allowed} { error "unknown option $name" } }
}
proc parts {script} { set all {}; foreach line [commands $script] { lappend all [eval $line] }; return $all }
proc commands {script} {
    set all {}; set open ""
    foreach line [split $script \\n] {
        append open $line \\n
        if {[info complete $open]} { if {![regexp {^[ \\n]*(#|$)} $open]} { lappend all $open }; set open "" }
    }
    if {[string trim $open] ne ""} { error "an open brace: $open" }
    return $all
}
proc of {given name} { if {[dict exists $given $name]} { return [parts [dict get $given $name]] } }
proc Job {args} { options $args {-title -subtasks}; list job [dict get $args -title] [of $args -subtasks] {} }
proc Task {title args} { options $args {-subtasks -cmds}; list task $title [of $args -subtasks] [of $args -cmds] }
proc Instance {title} { list instance $title {} {} }
proc RemoteCmd {launch args} { options $args {-service}; list command $launch [dict get $args -service] {} }
"""


class Tractor:
    """Runs a job file's tasks in the order that the document gives: subtasks first, each task once."""

    def __init__(self, text: str) -> None:
        self.tcl = tkinter.Tcl()
        self.tcl.eval(OPERATORS)
        assert text.startswith("##AlfredToDo 3.0\n")
        (self.job,) = self.words(self.tcl.eval(f"parts {{{text}}}"))

    def words(self, text: object) -> list[str]:
        return list(map(str, self.tcl.splitlist(text)))

    def order(self) -> Iterator[tuple[str, list[str], str]]:
        """Yield title, words of the command, and service."""
        seen: set[str] = set()
        yield from self._inside(self.words(self.job)[2], seen)

    def _inside(self, tasks: str, seen: set[str]) -> Iterator[tuple[str, list[str], str]]:
        for task in self.words(tasks):
            kind, title, inner, commands = self.words(task)
            if kind == "instance":
                assert title in seen, "an instance of a task that is not there"
                continue
            yield from self._inside(inner, seen)
            assert title not in seen
            seen.add(title)
            for command in self.words(commands):
                _, launch, service, _ = self.words(command)
                yield title, self.words(launch), service


def written(plan: Path, folder: Path) -> str:
    command = [sys.executable, str(SUBMIT), str(plan), "--service", "gpu", "--dry-run", str(folder / "a.alf")]
    subprocess.run(command, check=True, timeout=60)
    return (folder / "a.alf").read_text()


def test_a_blade_makes_the_files_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shot: Shot = make_shot(tmp_path, count=6)
    job = tmp_path / "sh010.json"
    assert main(shot.arguments("--mask", f"{shot.mask}@1004", "--save-job", str(job))) == 0
    assert main(["plan", str(job), "--segments", "2"]) == 0
    tasks = list(Tractor(written(tmp_path / "sh010.plan.json", tmp_path)).order())
    assert [title for title, *_ in tasks] == ["segment 1", "segment 2", "merge"]
    for _, (program, *arguments), service in tasks:
        assert (program, service) == ("matanyone-engine", "gpu")
        assert main(arguments) == 0
    assert len(files(shot.out)) == 6
    assert "TR_PROGRESS 100%\n" in capsys.readouterr().out


def test_segments_wait_for_a_scout(tmp_path: Path) -> None:
    plan = tmp_path / "a.plan.json"
    plan.write_text(json.dumps({"scout": {"file": "a.scout.json"}, "segments": [{"file": "1"}, {"file": "2"}]}))
    text = written(plan, tmp_path)
    assert [title for title, *_ in Tractor(text).order()] == ["scout", "segment 1", "segment 2", "merge"]
    assert text.count("Instance {scout}") == 1, "the second segment refers to it"


@pytest.mark.parametrize("name", ["sh 010", "sh; touch PWNED", "it's", "a & b", "sh`touch PWNED`", "--help"])
def test_a_name_is_one_argument(name: str, tmp_path: Path) -> None:
    plan = tmp_path / name / "a.plan.json"
    plan.parent.mkdir()
    plan.write_text(json.dumps({"scout": None, "segments": [{"file": "a.1.json"}]}))
    (_, words, _), _ = Tractor(written(plan, tmp_path)).order()
    assert words == ["matanyone-engine", "run", str(plan), "--report", "tractor", "--segment", "1"]


@pytest.mark.parametrize("name", ["a{b", "a}b", "$(touch x)", "[exec touch x]", "100%", 'say "hi"', "a\\b", "a\nb"])
def test_a_name_that_tcl_or_tractor_would_replace_is_refused(name: str, tmp_path: Path) -> None:
    plan = tmp_path / name / "a.plan.json"
    plan.parent.mkdir()
    plan.write_text(json.dumps({"scout": None, "segments": [{"file": "a.1.json"}]}))
    command = [sys.executable, str(SUBMIT), str(plan), "--dry-run", str(tmp_path / "a.alf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Rename it." in done.stderr
    assert not (tmp_path / "a.alf").exists()
