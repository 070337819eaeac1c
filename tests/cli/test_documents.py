# SPDX-License-Identifier: Apache-2.0
"""Every command that the documents show is one that the command line takes: no option of it is gone or misspelt."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from matanyone_engine.cli.main import _parsed

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.compile(r"^(?: {4,}|(?=matanyone))matanyone-engine ((?:.*\\\n)*.*)", re.MULTILINE)
"""A command on a line of its own, perhaps continued on the next lines."""
STANDS_FOR = re.compile(r"[\[|]|\.\.\.| [NK]$")
"""What a line has that shows all options of a command, and is not to be typed."""


def commands(file: Path) -> list[str]:
    found = (match[1].replace("\\\n", " ") for match in SHOWN.finditer(file.read_text(encoding="utf-8")))
    lines = (re.split(r"\s+#\s", each)[0].strip() for each in found)
    return [line for line in lines if not STANDS_FOR.search(line)]


FILES = [file for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if commands(file)]


def test_the_pages_of_what_an_artist_steers_show_commands() -> None:
    names = {file.stem for file in FILES}
    assert names >= {"edges", "foreground", "guides", "masks", "refine_area", "shapes", "track"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_commands_of_a_page_are_commands(file: Path) -> None:
    for line in commands(file):
        try:
            _parsed(shlex.split(line))
        except SystemExit as refused:
            pytest.fail(f"{file.name}: matanyone-engine {line}: exit code {refused.code}")
