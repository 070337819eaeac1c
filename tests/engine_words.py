# SPDX-License-Identifier: Apache-2.0
"""Finds the engine's messages about shots, so that tests can check that a host's panel rewords them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import matanyone_engine

OPTION = re.compile(r"(?<![\w-])--[a-z]")
NOT_OF_A_SHOT = {
    "jobs": {"job_files.py", "segments.py", "shape_files.py", "track.py"},
    "media": {"layouts.py", "mattes.py", "high_bit_depth_movies.py"},
}
"""Files whose sentences are about what no panel can ask for."""
NOT_OF_A_PANEL = ("--backend", "--sam2", "--first", "NAME=area", "--out mask.exr", "--view, --part", "--device", "%V")
"""Parts of sentences about what no panel sends."""


def left_in(translate: Callable[[str], str]) -> list[str]:
    """Return the engine's sentences about shots that name an option of the command line after translation."""
    house, said = Path(matanyone_engine.__file__).parent, 0
    left = []
    for room in ("jobs", "media", "matting", "runs"):
        for file in sorted((house / room).glob("*.py")):
            if file.name in NOT_OF_A_SHOT.get(room, ()):
                continue
            found = [text for text in _texts(file) if OPTION.search(text[1:]) and " " in text]
            said += len(found)
            left += [text for text in map(translate, found) if OPTION.search(text)]
    assert said > 20
    return [text for text in left if not any(part in text for part in NOT_OF_A_PANEL)]


def _texts(file: Path) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings, with {} for what is filled in."""
    tree = ast.parse(file.read_text())
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent |= {id(each) for each in node.values}
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value
