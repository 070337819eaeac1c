# SPDX-License-Identifier: Apache-2.0
"""Help is read by people who have never seen the program: commands in groups, every option a plain sentence."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from matanyone_engine.cli.main import COMMANDS, GROUPS, _parser, main

CLI = Path(__file__).resolve().parents[2] / "matanyone_engine" / "cli"
ROOT = CLI.parents[1]
GUIDE = (ROOT / "docs" / "cli.md").read_text()


def parsers_of(command: str) -> list[argparse.ArgumentParser]:
    """The parser of a command, and those of its own commands ('weights list')."""
    subparsers = next(a for a in _parser([command])._actions if isinstance(a, argparse._SubParsersAction))
    found = [subparsers.choices[command]]
    for action in found[0]._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += action.choices.values()
    return found


def test_the_overview_groups_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    titles = [said.index(f"{title}:") for title in GROUPS]
    assert titles == sorted(titles)
    for command, summary in COMMANDS.items():
        assert f"  {command:10}{summary}" in said
        assert (CLI / f"{command}.py").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_in_a_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for parser in parsers_of(command):
        for action in parser._actions:
            if action.help == argparse.SUPPRESS or isinstance(
                action, argparse._HelpAction | argparse._SubParsersAction
            ):
                continue
            name = action.option_strings[0] if action.option_strings else action.dest
            assert action.help, f"{command} {name} has no help"
            assert re.match(r"[A-Z]|commercial |exact ", action.help), f"{command} {name}: {action.help}"
            assert action.help.endswith("."), f"{command} {name}: {action.help}"
            assert not re.search(r"\bDR\d{3}\b", action.help), f"{command} {name} cites a decision record"
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert len(capsys.readouterr().out) > 100


def test_the_guide_names_every_command_and_cites_no_decision_record() -> None:
    assert not [command for command in COMMANDS if not re.search(rf"matanyone-engine {command}\b", GUIDE)]
    assert not re.search(r"\bDR\d{3}\b", GUIDE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_the_guide_is_there(command: str) -> None:
    """What the guide's example lines pass to a command, that command takes."""
    known = {name for parser in parsers_of(command) for action in parser._actions for name in action.option_strings}
    for line in re.findall(rf"matanyone-engine {command} ([^`\n]*)", GUIDE):
        said = set(re.findall(r"(?<![\w-])(--[a-z][\w-]+)", line.split("matanyone-engine")[0]))
        assert said <= known, f"{said - known} in: {line}"


def test_the_links_of_the_guide_lead_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)", GUIDE, re.M)}
    for page, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", GUIDE):
        assert not page or (ROOT / "docs" / page).is_file(), page
        assert page or anchor in headings, anchor


def commands_in(document: Path) -> list[str]:
    """The commands that a document shows, without those that show alternatives or name what may be left out."""
    lines = document.read_text().replace("\\\n", " ").splitlines()
    found = (re.match(r"\s*(matanyone-engine .*)", re.split(r"\s+#", line)[0]) for line in lines)
    return [match[1] for match in found if match and "[" not in match[1] and " | " not in match[1]]


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda it: it.name
)
def test_every_command_of_a_document_can_be_typed(document: Path) -> None:
    for line in commands_in(document):
        words = [re.sub(r"^[NK]$", "2", word) for word in shlex.split(line)[1:]]
        try:
            _parser(words).parse_args(words)
        except SystemExit as stopped:
            if stopped.code:
                pytest.fail(f"{document.name} shows a command that cannot be typed: {line}")


def test_the_guides_have_commands() -> None:
    assert len(commands_in(ROOT / "docs" / "cli.md")) > 10
    assert len(commands_in(ROOT / "docs" / "farm.md")) >= 5


def test_an_argument_that_a_command_does_not_know_is_named_with_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["matte", "plate.####.exr", "--out", "a.####.exr", "--edge-growth", "1"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "matte does not know --edge-growth 1. Is --edge-grow meant?" in said
    assert "matanyone-engine matte --help" in said
