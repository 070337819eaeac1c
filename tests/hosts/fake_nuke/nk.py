# SPDX-License-Identifier: Apache-2.0
"""Reads .nk scripts and .gizmo files strictly: what Nuke would stumble over, or quietly take otherwise, is an NkError.

Class {          knobs, one a line: name value          a value is a word, "quoted" or {braced}
 addUserKnob {code name l label t tooltip +FLAG -FLAG M {values} T code-or-target}
}
push $N   push 0   set N [stack 0]   end_group   version V   # comment
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

GROUPS = frozenset({"Group", "Gizmo"})
CODES = {
    1: "String_Knob", 2: "File_Knob", 3: "Int_Knob", 4: "Enumeration_Knob", 6: "Boolean_Knob", 7: "Double_Knob",
    12: "XY_Knob", 15: "BBox_Knob", 20: "Tab_Knob", 22: "PyScript_Knob", 26: "Text_Knob", 41: "Link_Knob",
}  # fmt: skip
FLAGS = frozenset({"STARTLINE", "INVISIBLE", "DO_NOT_WRITE", "DISABLED"})
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORDS = re.compile(r"[A-Za-z_][\w.]*")


class NkError(Exception):
    """Says that a script is not one that Nuke would read as it was meant."""


@dataclass
class UserKnob:
    """Holds one addUserKnob."""

    code: int
    name: str
    label: str = ""
    tooltip: str = ""
    values: list[str] = field(default_factory=list)
    target: str = ""
    flags: list[str] = field(default_factory=list)


@dataclass
class NkNode:
    """Holds one node; a group has its children."""

    kind: str
    line: int
    knobs: dict[str, str] = field(default_factory=dict)
    """Values as a script says them, quotes and escapes undone; braced ones keep what is inside."""
    braced: set[str] = field(default_factory=set)
    user: list[UserKnob] = field(default_factory=list)
    inputs: list[NkNode | None] = field(default_factory=list)
    children: list[NkNode] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.knobs.get("name", "")

    def child(self, name: str) -> NkNode:
        return next(node for node in self.children if node.name == name)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def fail(self, what: str) -> NkError:
        return NkError(f"line {self.line}: {what}")

    def skip(self, blanks: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in blanks:
            self.at += 1

    def end(self) -> bool:
        return self.at >= len(self.text)

    def peek(self) -> str:
        return self.text[self.at] if not self.end() else ""

    def rest_of_line(self) -> str:
        stop = self.text.find("\n", self.at)
        stop = len(self.text) if stop < 0 else stop
        found, self.at = self.text[self.at : stop], stop
        return found

    def word(self) -> tuple[str, bool]:
        """Return the next word, and whether it was braced. It stays on its line unless quoted or braced."""
        first = self.peek()
        if first == '"':
            return self._quoted(), False
        if first == "{":
            return self._braced(), True
        start = self.at
        while not self.end() and self.text[self.at] not in ' \t\n{}"':
            self.at += 1
        if self.at == start:
            raise self.fail(f"expected a value, got {self.text[self.at : self.at + 12]!r}")
        return _ESCAPE.sub(_unescaped, self.text[start : self.at]), False

    def _quoted(self) -> str:
        match = re.compile(r'"((?:[^"\\\[$]|\\.)*)"', re.DOTALL).match(self.text, self.at)
        if match is None:
            raise self.fail("a quoted value that does not end, or has a bare [ or $, which Nuke would execute")
        self.at = match.end()
        return _ESCAPE.sub(_unescaped, match[1])

    def _braced(self) -> str:
        start, depth, quoted = self.at + 1, 0, False
        while not self.end():
            letter = self.text[self.at]
            if letter == "\\":
                self.at += 2
                continue
            quoted = quoted != (letter == '"')
            depth += 0 if quoted else {"{": 1, "}": -1}.get(letter, 0)
            self.at += 1
            if depth == 0 and not quoted:
                return self.text[start : self.at - 1]
        raise self.fail("braces that do not close")


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match[1], match[1])


def words_of(text: str) -> list[str]:
    """Return a braced list as its words."""
    reader, found = _Reader(text), []
    reader.skip(" \t\n")
    while not reader.end():
        found.append(reader.word()[0])
        reader.skip(" \t\n")
    return found


def read_script(text: str) -> list[NkNode]:
    """Return the nodes of a script, groups with theirs. Raises NkError."""
    return _Script(_Reader(text)).nodes("")


class _Script:
    def __init__(self, reader: _Reader) -> None:
        self.reader = reader

    def nodes(self, group: str) -> list[NkNode]:
        """Read statements up to the end, or to end_group inside a group. Each level has a stack of its own."""
        reader, found = self.reader, []
        stack: list[NkNode | None] = []
        named: dict[str, NkNode | None] = {"cut_paste_input": None}
        while True:
            reader.skip(" \t\n")
            if reader.end():
                if group:
                    raise reader.fail(f"{group} without end_group")
                return found
            if reader.peek() == "#":
                reader.rest_of_line()
                continue
            match = _WORDS.match(reader.text, reader.at)
            if match is None:
                raise reader.fail(f"expected a statement, got {reader.rest_of_line()[:20]!r}")
            reader.at = match.end()
            if match[0] == "end_group":
                if not group:
                    raise reader.fail("end_group outside a group")
                return found
            if match[0] in ("set", "push", "version", "add_layer"):
                self._statement(match[0], reader.rest_of_line().strip(), stack, named)
            else:
                found.append(self._node(match[0], stack))

    def _statement(self, word: str, rest: str, stack: list[NkNode | None], named: dict[str, NkNode | None]) -> None:
        if word == "set":
            match = re.fullmatch(r"(\w+) \[stack 0\]", rest)
            if match is None:
                raise self.reader.fail(f"expected set NAME [stack 0], got {rest!r}")
            if match[1] != "cut_paste_input" and not stack:
                raise self.reader.fail("set with nothing on the stack")
            named[match[1]] = stack[-1] if stack else None
        if word == "push":
            if rest == "0":
                stack.append(None)
            elif rest.startswith("$") and rest[1:] in named:
                stack.append(named[rest[1:]])
            else:
                raise self.reader.fail(f"push of {rest!r}, which was never set")

    def _node(self, kind: str, stack: list[NkNode | None]) -> NkNode:
        reader = self.reader
        node = NkNode(kind, reader.line)
        reader.skip(" ")
        if reader.peek() != "{":
            raise reader.fail(f"expected {{ after {kind}")
        reader.at += 1
        self._knobs(node)
        if kind in GROUPS:
            node.children = self.nodes(f"{kind} {node.name}".strip())
        elif "addUserKnob" not in node.knobs and kind != "Root":
            _check_not_empty(node, reader)
        wanted = 0 if kind in ("Root", "Gizmo") else int(node.knobs.pop("inputs", "1"))
        if wanted > len(stack) and kind != "Group":
            raise reader.fail(f"{kind} {node.name} takes {wanted} inputs, the stack has {len(stack)}")
        taken = [stack.pop() if stack else None for _ in range(wanted)]
        node.inputs = taken
        stack.append(node)
        return node

    def _knobs(self, node: NkNode) -> None:
        reader = self.reader
        while True:
            reader.skip(" \t\n")
            if reader.peek() == "}":
                reader.at += 1
                return
            name, _ = reader.word()
            reader.skip(" \t")
            value, braced = reader.word()
            if name == "addUserKnob":
                node.user.append(_user_knob(value, reader))
                continue
            if name in node.knobs:
                raise reader.fail(f"{node.kind}: knob {name} twice")
            node.knobs[name] = value
            if braced:
                node.braced.add(name)


def _check_not_empty(node: NkNode, reader: _Reader) -> None:
    if not node.name:
        raise reader.fail(f"{node.kind} without a name")


def _user_knob(text: str, reader: _Reader) -> UserKnob:
    words = words_of(text)
    if len(words) < 2 or not words[0].isdigit() or int(words[0]) not in CODES:
        raise reader.fail(f"addUserKnob of an unknown type: {words[:2]}")
    knob = UserKnob(int(words[0]), words[1])
    rest = iter(words[2:])
    for word in rest:
        if word[0] in "+-" and word[1:] in FLAGS:
            knob.flags.append(word)
        elif word == "l":
            knob.label = next(rest)
        elif word == "t":
            knob.tooltip = next(rest)
        elif word == "T":
            knob.target = next(rest)
        elif word == "M":
            knob.values = words_of(next(rest))
        else:
            raise reader.fail(f"addUserKnob {knob.name}: {word!r} means nothing")
    return knob
