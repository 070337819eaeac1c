# SPDX-License-Identifier: Apache-2.0
"""A name means one thing: no two modules of the engine own a type of the same name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import matanyone_engine

PACKAGE = Path(matanyone_engine.__file__).parent

SAID_AND_MEANT = {"Delivery", "EdgeControls", "KeyMask", "ObjectOptions", "Stroke"}
"""Types that the protocol says and that a room means: the same fields under one name, in wire/messages.py and there."""


def types_in(path: Path) -> set[str]:
    """Classes and type aliases that a module owns, private ones without their underscore."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name.lstrip("_"))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if (
                name[0].isupper()
                and not name.isupper()
                and isinstance(node.value, ast.Subscript | ast.Name | ast.BinOp)
            ):
                found.add(name)
    return found


def test_no_two_modules_own_a_type_of_one_name() -> None:
    owners = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in types_in(path):
            owners[name].append(str(path.relative_to(PACKAGE)))
    shared = {name: paths for name, paths in owners.items() if len(paths) > 1 and name not in SAID_AND_MEANT}
    assert not shared, "\n".join(f"{name}: {', '.join(paths)}" for name, paths in sorted(shared.items()))


def test_what_the_protocol_says_is_what_a_room_means() -> None:
    owners = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in types_in(path) & SAID_AND_MEANT:
            owners[name].append(str(path.relative_to(PACKAGE)))
    assert all(len(paths) == 2 and "wire/messages.py" in paths for paths in owners.values()), owners
