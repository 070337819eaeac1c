# SPDX-License-Identifier: Apache-2.0
"""Tests that each type has its own name: no two modules of the engine define types of one name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import matanyone_engine

PACKAGE = Path(matanyone_engine.__file__).parent

IN_PROTOCOL_AND_CODE = {"Delivery", "EdgeControls", "KeyMask", "ObjectOptions", "Stroke"}
"""Types that are defined twice, with the same fields: in wire/messages.py for the protocol, and in one other module."""


def types_in(path: Path) -> set[str]:
    """Return the classes and type aliases that a module defines; of private ones, the name without the underscore."""
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


def test_no_two_modules_define_types_of_one_name() -> None:
    owners = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in types_in(path):
            owners[name].append(str(path.relative_to(PACKAGE)))
    shared = {name: paths for name, paths in owners.items() if len(paths) > 1 and name not in IN_PROTOCOL_AND_CODE}
    assert not shared, "\n".join(f"{name}: {', '.join(paths)}" for name, paths in sorted(shared.items()))


def test_types_of_the_protocol_are_defined_in_exactly_one_other_module() -> None:
    owners = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in types_in(path) & IN_PROTOCOL_AND_CODE:
            owners[name].append(str(path.relative_to(PACKAGE)))
    assert all(len(paths) == 2 and "wire/messages.py" in paths for paths in owners.values()), owners
