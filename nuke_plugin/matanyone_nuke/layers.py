# SPDX-License-Identifier: Apache-2.0
"""Objects as layers of the node: what is added inside it once it has been matted with objects. Main thread only."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, List, Tuple

import nuke

from . import shape


def object_copies(node: Any) -> List[Any]:
    """The Copies for objects inside the node, in order."""
    found = (node.node("ObjectCopy%d" % number) for number in range(1, 100))
    return [copy for copy in found if copy is not None]


def show_objects(node: Any, objects: Tuple[str, ...]) -> None:
    """Each object's layer comes out of the node: a Copy for each four, between MatteCopy and Output."""
    for name in objects:
        nuke.Layer(name, [name + ".alpha"])
    with inside(node):
        for copy in object_copies(node):
            nuke.delete(copy)
        last, read = node.node(shape.MATTE_COPY), node.node(shape.MATTE_READ)
        for number in range(0, len(objects), 4):
            copy = nuke.nodes.Copy()
            copy.setName("ObjectCopy%d" % (number // 4 + 1))
            copy["from0"].setValue("none")
            copy["to0"].setValue("none")
            for slot, name in enumerate(objects[number : number + 4]):
                copy["from%d" % slot].setValue(name + ".alpha")
                copy["to%d" % slot].setValue(name + ".alpha")
            copy.setInput(0, last)
            copy.setInput(1, read)
            last = copy
        node.node("Output1").setInput(0, last)


@contextlib.contextmanager
def inside(group: Any) -> Iterator[None]:
    """New nodes go into this group."""
    group.begin()
    try:
        yield
    finally:
        group.end()
