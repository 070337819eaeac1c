# SPDX-License-Identifier: Apache-2.0
"""Docstrings open with a sentence that has a verb: 'Return the plate's frames.', not 'The plate's frames.'."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("matanyone_engine", "blender_addon", "nuke_plugin", "benchmarks", "examples", "farm", "tests")

NOT_A_VERB = re.compile(
    "an?|the|of|to|what|whatever|whether|which|where|when|why|how|who|whose|all|both|every|each|some|none|more|less|as|"
    "at|by|for|from|in|inside|into|on|or|out|over|through|under|up|with|within|without"
)
"""Words that open a phrase. A docstring that begins with one, or with a bracket, an arrow or a name and a colon, says
what something is; it does not say what it does."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documents(node: ast.AST) -> Iterator[tuple[str, Documented, str]]:
    """Yield name, node and docstring of all that has one, outside of functions."""
    if isinstance(node, Documented) and (text := ast.get_docstring(node)):
        yield getattr(node, "name", "the file"), node, text
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            yield from documents(inner)


def opens_without_verb(text: str) -> bool:
    """Return whether a docstring opens with a phrase instead of a sentence."""
    words = text.split()
    first = words[0]
    return (
        not first[0].isalpha() or first.endswith(":") or bool(NOT_A_VERB.fullmatch(first.lower())) or "->" in words[:4]
    )


def may_open_with_a_noun(path: Path, node: Documented) -> bool:
    """Return whether a docstring may name its subject first.

    An error's is what has happened, a check's in Nuke what is to hold, and __init__ tells what a class is built from.
    """
    if path.name == "in_nuke.py":
        return True
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base).endswith(("Error", "Exception", "Input", "Cancelled")) for base in node.bases)
    return isinstance(node, ast.Module) or getattr(node, "name", "") == "__init__"


def test_docstrings_open_with_a_sentence() -> None:
    phrases = [
        f"{path.relative_to(ROOT)}: {name}: {text.splitlines()[0]}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.startswith("test_")
        for name, node, text in documents(ast.parse(path.read_text(encoding="utf-8")))
        if not may_open_with_a_noun(path, node) and opens_without_verb(text)
    ]
    assert not phrases, "say what it does, with a verb first:\n" + "\n".join(phrases)


def test_a_phrase_is_told_from_a_sentence() -> None:
    for phrase in (
        "Of a key, settled on.",
        "The plate's frames.",
        "(H, W) 0..1.",
        "Object -> its files.",
        "path: of it",
    ):
        assert opens_without_verb(phrase)
    for sentence in ("Return the plate's frames.", "Holds a key.", "Decide one frame. Raises IllegalMove."):
        assert not opens_without_verb(sentence)
