# SPDX-License-Identifier: Apache-2.0
"""Lets what the mattes hold beside their alpha come out of the node as layers. Main thread only.

Objects, the subject's own colour, core and edge: the Copies for them are added inside the node once it has been matted.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import nuke

from . import shape
from .wiring import inside


def object_copies(node: Any) -> List[Any]:
    """Return the Copies for layers inside the node, in order."""
    found = (node.node("ObjectCopy%d" % number) for number in range(1, 100))
    return [copy for copy in found if copy is not None]


def shown_layers(node: Any) -> Tuple[str, ...]:
    """Return the channels that come out of the node as layers."""
    channels = [copy["to%d" % slot].value() for copy in object_copies(node) for slot in range(4)]
    return tuple(channel for channel in channels if channel != "none")


def show_layers(node: Any, channels: Tuple[str, ...]) -> None:
    """Let these channels of the mattes come out of the node: a Copy for each four, between MatteCopy and Output."""
    made: Dict[str, List[str]] = {}
    for channel in channels:
        made.setdefault(channel.split(".")[0], []).append(channel)
    for name, its in made.items():
        nuke.Layer(name, its)
    with inside(node):
        for copy in object_copies(node):
            nuke.delete(copy)
        last, read = node.node(shape.MATTE_COPY), node.node(shape.MATTE_READ)
        for number in range(0, len(channels), 4):
            copy = nuke.nodes.Copy()
            copy.setName("ObjectCopy%d" % (number // 4 + 1))
            copy["from0"].setValue("none")
            copy["to0"].setValue("none")
            for slot, channel in enumerate(channels[number : number + 4]):
                copy["from%d" % slot].setValue(channel)
                copy["to%d" % slot].setValue(channel)
            copy.setInput(0, last)
            copy.setInput(1, read)
            last = copy
        node.node("Output1").setInput(0, last)
