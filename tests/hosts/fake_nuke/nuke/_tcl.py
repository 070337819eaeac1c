# SPDX-License-Identifier: Apache-2.0
"""The little of TCL and of expressions that the node uses. Anything else raises: it is not known to work."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from ._session import Refused, session


def evaluated(text: str, node: Any) -> str:
    """[value X] and [file dirname X] replaced, from the inside out."""
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


def expression(text: str) -> float:
    """'$gui ? 2 : 0', as Nuke's own expressions have it."""
    match = re.fullmatch(r"\$gui \? (\d+) : (\d+)", text)
    if match is None:
        raise Refused(f"an expression that this fake does not know: {text!r}")
    return float(match[1] if session.gui else match[2])
