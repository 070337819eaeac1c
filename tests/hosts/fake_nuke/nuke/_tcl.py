# SPDX-License-Identifier: Apache-2.0
"""Knows the little of TCL and of expressions that the node uses. Anything else raises: it is not known to work."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from ._session import Refused, session


def evaluated(text: str, node: Any) -> str:
    """Replace [value X] and [file dirname X], from the inside out."""
    while "[" in text:
        match = re.search(r"\[([^\[\]]*)\]", text)
        if match is None:
            raise Refused(f"unbalanced [ in {text!r}")
        text = text[: match.start()] + _command(match[1].split(" ", 2), node) + text[match.end() :]
    return text


def _command(words: list[str], node: Any) -> str:
    if words[0] == "value" and len(words) == 2:
        return str(_knob(words[1], node).value())
    if words[:2] == ["file", "dirname"]:
        return posixpath.dirname(words[2] if len(words) > 2 else "") or "."
    raise Refused(f"TCL that this fake does not know: {words}")


def _knob(path: str, node: Any) -> Any:
    from . import root, toNode

    owner, dot, name = path.rpartition(".")
    if not dot:
        return node[name]
    found = root() if owner == "root" else node.parent() if owner == "parent" else toNode(owner)
    if found is None:
        raise Refused(f"TCL names {path}, which is not there")
    return found[name]


def expression(text: str, node: Any = None) -> float:
    """Work out '$gui ? 2 : 0' and 'parent.KNOB', as Nuke's own expressions have them; a choice counts as its number."""
    named = re.fullmatch(r"parent\.(\w+)", text)
    if named is not None:
        return _number_of(named[1], node)
    match = re.fullmatch(r"\$gui \? (\d+) : (\d+)", text)
    if match is None:
        raise Refused(f"an expression that this fake does not know: {text!r}")
    return float(match[1] if session.gui else match[2])


def _number_of(name: str, node: Any) -> float:
    """Return a knob of the group that the node stands in. Knobs are added after what is inside, so it may come
    later.
    """
    knob = node._parent._knobs.get(name) if node is not None and node._parent is not None else None
    if knob is None:
        return 0.0
    value = knob._now(session.frame)
    return float(knob._values.index(value) if hasattr(knob, "_values") else value)
