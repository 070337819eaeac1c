# SPDX-License-Identifier: Apache-2.0
"""Finds and changes connections in the node graph. Main thread only."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, List, Tuple

import nuke


@contextlib.contextmanager
def inside(group: Any) -> Iterator[None]:
    """Put new nodes into this group."""
    group.begin()
    try:
        yield
    finally:
        group.end()


def users_of(node: Any) -> List[Tuple[Any, int]]:
    """Return (node, input) of everything that this one is connected to."""
    found = []
    for user in node.dependent(nuke.INPUTS | nuke.HIDDEN_INPUTS):
        found += [(user, number) for number in range(user.inputs()) if user.input(number) == node]
    return found


def take_place(old: Any, new: Any) -> None:
    """Connect a node as another one is, above and below, and put it where that one stands."""
    for number in range(old.inputs()):
        if old.input(number) is not None:
            new.setInput(number, old.input(number))
    for user, number in users_of(old):
        user.setInput(number, new)
    new.setXYpos(old.xpos(), old.ypos())
