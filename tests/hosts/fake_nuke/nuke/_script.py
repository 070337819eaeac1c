# SPDX-License-Identifier: Apache-2.0
"""Keeps scripts on disk: saved from the graph, loaded through the strict reader (nk.py)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nk

from . import _classes, _knobs
from ._knobs import DO_NOT_WRITE, INVISIBLE, STARTLINE
from ._nodes import Group, Node
from ._session import Refused, session

_CODES = {kind: code for code, kind in nk.CODES.items()}
_ROOT_KNOBS = ("name", "first_frame", "last_frame", "proxy", "workingSpaceLUT", "floatLut")


def quoted(text: str) -> str:
    """Quote a text as Nuke saves it."""
    if text and all(letter.isalnum() or letter in "._-/#%:" for letter in text):
        return text
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("[", "\\["), ("$", "\\$")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def script_text(root: Any, nodes: list[Node] | None = None) -> str:
    """Return the whole script, or some of its nodes."""
    lines = ["version 14.0 v1\n"]
    if nodes is None:
        lines.append("Root {\n" + "".join(f" {name} {_value(root._knobs[name])}\n" for name in _ROOT_KNOBS) + "}\n")
    layers = sorted(session.layers.items())
    lines += [
        f"add_layer {{{name} {' '.join(channels)}}}\n" for name, channels in layers if name not in ("rgba", "depth")
    ]
    return "".join(lines) + "".join(_node_text(node) for node in _in_order(nodes or root._nodes))


def _in_order(nodes: list[Node]) -> list[Node]:
    """Return the nodes so that each comes after its inputs."""
    done: list[Node] = []

    def visit(node: Node) -> None:
        for source in node._inputs:
            if source is not None and source in nodes and source not in done:
                visit(source)
        if node not in done:
            done.append(node)

    for node in nodes:
        visit(node)
    return done


def _node_text(node: Any) -> str:
    known = list(node._inputs)
    pushed = "".join(f"push ${source._knobs['name']._value}\n" if source else "push 0\n" for source in reversed(known))
    inputs = "" if len(known) == 1 else f" inputs {len(known)}\n"
    user = {knob._name for knob in node._user}
    fresh = _classes.FRESH.get(node._kind, {})
    body = "".join(
        f" {name} {_value(knob)}\n"
        for name, knob in node._knobs.items()
        if _is_saved(knob, name, user, fresh.get(name, type(knob).default))
    )
    is_gizmo = node._kind in session.gizmos
    definitions = "" if is_gizmo else "".join(f" {_user_text(knob)}\n" for knob in node._user)
    # A gizmo's knobs begin with the gizmo's own values, so that one which was set to 0 has to be saved there too.
    values = "".join(
        f" {knob._name} {_value(knob)}\n"
        for knob in node._user
        if (_can_be_saved(knob, knob._name, set()) if is_gizmo else _is_set(knob))
    )
    text = f"{pushed}{node._kind} {{\n{inputs}{body}{definitions}{values}}}\n"
    if isinstance(node, Group) and node._kind == "Group":
        text += "".join(_node_text(inner) for inner in _in_order(node._nodes)) + "end_group\n"
    return text + f"set {node._knobs['name']._value} [stack 0]\n"


def _can_be_saved(knob: Any, name: str, user: set[str]) -> bool:
    if name in user or knob._flags & DO_NOT_WRITE or isinstance(knob, (_knobs.Link_Knob, _knobs.Script_Knob)):
        return False
    return name != "selected" and not isinstance(knob, (_knobs.Tab_Knob, _knobs.Text_Knob, _knobs.Format_Knob))


def _is_saved(knob: Any, name: str, user: set[str], fresh: Any) -> bool:
    """Tell whether a script says a knob's value. fresh: what it is in a new node."""
    if not _can_be_saved(knob, name, user):
        return False
    first = knob._values[0] if isinstance(knob, _knobs.Enumeration_Knob) else fresh
    curves = isinstance(knob, _knobs.CurveKnob)
    return bool(curves or knob._keys or knob._expression or knob._value not in (first, fresh) or name == "name")


def _is_set(knob: Any) -> bool:
    """Tell whether a script says the value of a group's own knob: such knobs begin with their type's default."""
    return _is_saved(knob, knob._name, set(), type(knob).default) and bool(knob._value)


def _value(knob: Any) -> str:
    if knob._expression:
        return f"{{{{{quoted(knob._expression)}}}}}"
    if knob._keys:
        return "{{curve " + " ".join(f"x{time:g} {value:g}" for time, value in sorted(knob._keys.items())) + "}}"
    if isinstance(knob, (_knobs.PlacedKnob, _knobs.CurveKnob)):
        return f"{{{knob.toScript()}}}"
    return quoted(knob._written(knob._value))


def _user_text(knob: Any) -> str:
    words = [f"addUserKnob {{{_CODES[knob.Class()]} {knob._name} l {quoted(knob._label)}"]
    if knob._tooltip:
        words.append(f"t {quoted(knob._tooltip)}")
    for flag, name, there in ((STARTLINE, "-STARTLINE", False), (INVISIBLE, "+INVISIBLE", True)):
        if bool(knob._flags & flag) is there:
            words.append(name)
    if knob._flags & DO_NOT_WRITE:
        words.append("+DO_NOT_WRITE")
    if isinstance(knob, _knobs.Enumeration_Knob):
        words.append("M {" + " ".join(quoted(value) for value in knob._values) + "}")
    if isinstance(knob, (_knobs.Link_Knob, _knobs.PyScript_Knob)):
        words.append(f"T {quoted(str(knob._value))}")
    return " ".join(words) + "}"


# ------------------------------------------------------------------------------------------------------ loading


def load(text: str, into: Any) -> list[Node]:
    """Make a script's nodes in a group; callbacks run node by node, knobs set. Raises NkError, Refused."""
    made: dict[int, Node] = {}
    fresh = []
    for match in re.finditer(r"^add_layer \{(\w+) ([^{}]*)\}$", text, re.MULTILINE):
        session.layers.setdefault(match[1], match[2].split())
    for saved in nk.read_script(text):
        if saved.kind == "Root":
            session.loading = True
            for name, value in saved.knobs.items():
                into._knobs[name].fromScript(value)
            session.loading = False
        else:
            fresh.append(_make(saved, into, made))
    return fresh


def _make(saved: nk.NkNode, into: Any, made: dict[int, Node]) -> Node:
    session.loading = True
    try:
        node = _empty(saved.kind, into)
        made[id(saved)] = node
        _fill(node, saved)
        for number, source in enumerate(saved.inputs):
            if source is not None:
                node.setInput(number, made[id(source)])
    finally:
        session.loading = False
    session.call_back("onCreate", node)
    return node


def _empty(kind: str, into: Any) -> Node:
    """Make a node of a class of Nuke's, or of a gizmo in the plug-in path, which has its knobs and insides already."""
    gizmo = session.gizmos.get(kind)
    node = Group("Group", into) if kind == "Group" or gizmo else Node(kind, into)
    into._nodes.append(node)
    if gizmo is not None:
        node._kind = kind
        _fill(node, nk.read_script(read_file(gizmo))[0])
    return node


def _fill(node: Any, saved: nk.NkNode) -> None:
    """Fill a node with what a saved one, or a gizmo's file, says: nodes inside, user knobs, values."""
    inside: dict[int, Node] = {}
    for child in saved.children:
        _make(child, node, inside)
    session.loading = True
    for user in saved.user:
        _add_user_knob(node, user)
    kind = "Group" if isinstance(node, Group) else saved.kind
    allowed = _classes.knob_names(kind, saved.knobs) | {knob._name for knob in node._user}
    for name, value in saved.knobs.items():
        if name not in allowed:
            raise Refused(f"{saved.kind}: there is no knob {name}")
        _set(node, name, value, name in saved.braced)


def _set(node: Any, name: str, value: str, braced: bool) -> None:
    knob = node[name]
    if name == "name":
        node.setName(value, uncollide=True)
    elif braced and value.startswith("{curve "):
        words = value.strip("{}").split()[1:]
        knob._keys = {float(time[1:]): float(number) for time, number in zip(words[::2], words[1::2])}
    elif braced and value.startswith("{") and value.endswith("}"):
        knob.setExpression(nk.words_of(value[1:-1])[0])
    else:
        knob.fromScript(value)


def _add_user_knob(node: Any, user: nk.UserKnob) -> None:
    kind = getattr(_knobs, nk.CODES[user.code])
    extra = (user.values,) if kind is _knobs.Enumeration_Knob else ()
    extra = (user.target,) if kind is _knobs.PyScript_Knob else extra
    knob = kind(user.name, user.label, *extra)
    knob.setTooltip(user.tooltip)
    for word in user.flags:
        flag = {"STARTLINE": STARTLINE, "INVISIBLE": INVISIBLE, "DO_NOT_WRITE": DO_NOT_WRITE}[word[1:]]
        knob._flags = knob._flags | flag if word[0] == "+" else knob._flags & ~flag
    node.addKnob(knob)
    if kind is _knobs.Link_Knob:
        knob.setLink(user.target)


def read_file(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
