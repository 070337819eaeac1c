# SPDX-License-Identifier: Apache-2.0
"""Defines nodes, by the names and methods of the public stubs."""

from __future__ import annotations

import math
import re
from typing import Any

from . import _classes
from ._knobs import Knob
from ._session import Refused, evaluates, main_only, session


class Format:
    def __init__(self, width: int, height: int, aspect: float) -> None:
        self._size = width, height, aspect

    def width(self) -> int:
        return self._size[0]

    def height(self) -> int:
        return self._size[1]

    def pixelAspect(self) -> float:
        return self._size[2]


class Node:
    """Holds anything in a script."""

    def __init__(self, kind: str, parent: Any) -> None:
        session.need_main(f"making a {kind}")
        if kind not in _classes.CLASSES:
            raise Refused(f"{kind}: unknown command")
        self._kind, self._parent, self._gone = kind, parent, False
        self._panel_open = False
        self._inputs: list[Any] = []
        self._knobs: dict[str, Any] = {}
        self._user: list[Any] = []
        for knob in _classes.make_knobs(kind).values():
            self._own(knob)
        for name, value in _classes.FRESH.get(kind, {}).items():
            self._knobs[name]._value = value

    def _own(self, knob: Any) -> None:
        knob._node = self
        self._knobs[knob._name] = knob

    def _alive(self) -> None:
        if self._gone:
            raise ValueError("A PythonObject is not attached to a node")

    def _root(self) -> Any:
        return self if self._parent is None else self._parent._root()

    def _full_name(self) -> str:
        mine = str(self._knobs["name"]._value)
        above = self._parent._full_name() if self._parent is not None and self._parent._parent is not None else ""
        return f"{above}.{mine}" if above else mine

    @main_only
    def Class(self) -> str:
        return self._kind

    @main_only
    def name(self) -> str:
        self._alive()
        return str(self._knobs["name"]._value)

    @main_only
    def fullName(self) -> str:
        self._alive()
        return self._full_name()

    @main_only
    def parent(self) -> Any:
        return self._parent

    @main_only
    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        self._alive()
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ValueError(f"{name!r} is no name for a node")
        taken = {node._knobs["name"]._value for node in self._parent._nodes if node is not self}
        base, number = re.sub(r"\d+$", "", name), 1
        if name in taken and not uncollide:
            raise ValueError(f"there is a {name} already")
        while name in taken:
            name, number = f"{base}{number}", number + 1
        self._knobs["name"].setValue(name)

    @main_only
    def knobs(self) -> dict[str, Any]:
        self._alive()
        self._file_type_knobs()
        return dict(self._knobs)

    @main_only
    def knob(self, p: str, follow_link: bool = True) -> Any:
        return self.knobs().get(p)

    def __getitem__(self, name: str) -> Any:
        session.need_main(f"node[{name!r}]")
        self._alive()
        self._file_type_knobs()
        if name not in self._knobs:
            raise NameError(f"knob {name} does not exist")
        return self._knobs[name]

    def _file_type_knobs(self) -> None:
        """Give a Write its format's knobs with its file type."""
        if self._kind == "Write" and self._knobs["file_type"]._value == "exr" and "datatype" not in self._knobs:
            for name, make in _classes.WRITE_EXR.items():
                self._own(make(name))

    @main_only
    def addKnob(self, knob: Knob) -> None:
        self._alive()
        if knob._name in self._knobs:
            raise Refused(f"there is a knob {knob._name} already")
        self._own(knob)
        self._user.append(knob)

    # ------------------------------------------------------------------------------------------ connections

    def _most_inputs(self) -> int:
        return _classes.CLASSES[self._kind].inputs[1]

    @main_only
    def maxInputs(self) -> int:
        return self._most_inputs()

    @main_only
    def inputs(self) -> int:
        return len(self._inputs)

    @main_only
    def input(self, index: int) -> Any:
        self._alive()
        if index < 0:
            raise Refused(f"input {index} of {self._full_name()}")
        return self._inputs[index] if index < len(self._inputs) else None

    @main_only
    def setInput(self, i: int, node: Any) -> bool:
        self._alive()
        if not 0 <= i < self._most_inputs():
            raise Refused(f"{self._full_name()} has {self._most_inputs()} inputs, there is no {i}")
        if node is not None:
            node._alive()
            if node._parent is not self._parent:
                raise Refused(f"{node._full_name()} and {self._full_name()} are in different groups")
            if node is self or self in node._everything_above():
                raise Refused(f"{self._full_name()} would feed itself")
        while len(self._inputs) <= i:
            self._inputs.append(None)
        self._inputs[i] = node
        session.changed(f"input {i} of {self._full_name()}")
        self._root()._modified = True
        return True

    def _everything_above(self) -> list[Any]:
        found: list[Any] = []
        for node in self._inputs:
            if node is not None and node not in found:
                found += [node, *node._everything_above()]
        return found

    @main_only
    def dependent(self, mask: int = 0, forceEvaluate: bool = True) -> list[Any]:
        return [node for node in self._parent._nodes if self in node._inputs]

    @main_only
    def showControlPanel(self, forceFloat: bool = False) -> None:
        session.need_gui("showControlPanel()")
        self._panel_open = True

    @main_only
    def hideControlPanel(self) -> None:
        session.need_gui("hideControlPanel()")
        self._panel_open = False

    @main_only
    def shown(self) -> bool:
        return self._panel_open

    @main_only
    def xpos(self) -> int:
        return int(self._knobs["xpos"]._value)

    @main_only
    def ypos(self) -> int:
        return int(self._knobs["ypos"]._value)

    @main_only
    def setXYpos(self, x: int, y: int) -> None:
        self._knobs["xpos"]._value, self._knobs["ypos"]._value = int(x), int(y)

    @main_only
    def setSelected(self, selected: bool) -> None:
        self._knobs["selected"]._value = bool(selected)

    # ------------------------------------------------------------------------------------------ evaluation

    @evaluates
    def channels(self) -> list[str]:
        from ._images import describe

        return describe(self, session.frame, session.view)[0]

    @evaluates
    def format(self) -> Format:
        from ._images import describe

        return Format(*describe(self, self._any_frame(), session.view)[1])

    @evaluates
    def firstFrame(self) -> int:
        return self._range()[0]

    @evaluates
    def lastFrame(self) -> int:
        return self._range()[1]

    def _any_frame(self) -> int:
        first, last = self._range()
        return min(max(session.frame, first), last)

    def _range(self) -> tuple[int, int]:
        if self._kind == "Read":
            return self._knobs["first"]._value, self._knobs["last"]._value
        fed = next((node for node in self._inputs if node is not None), None)
        if fed is None:
            root = self._root()
            return root._knobs["first_frame"]._value, root._knobs["last_frame"]._value
        first, last = fed._range()
        if self._kind == "TimeOffset":
            offset = self._knobs["time_offset"]._value
            return first + offset, last + offset
        if self._kind == "Retime":
            inside = [frame for frame in range(-100, 3000) if first <= retimed(self, frame) <= last]
            return inside[0], inside[-1]
        return first, last


def retimed(node: Any, frame: float) -> int:
    """Return the input's frame that a Retime shows on a frame."""
    knobs = node._knobs
    if knobs["filter"]._value == "box":
        raise Refused("this fake's Retime does not blend frames: set its filter to none")
    first, begin = knobs["input.first"]._value, knobs["output.first"]._value
    return math.floor(first + (frame - begin) * knobs["speed"]._value)


class Group(Node):
    """Holds a node with nodes inside."""

    def __init__(self, kind: str, parent: Any) -> None:
        super().__init__(kind, parent)
        self._nodes: list[Node] = []

    def _most_inputs(self) -> int:
        return sum(node._kind == "Input" for node in self._nodes)

    @main_only
    def begin(self) -> Group:
        self._alive()
        session.context.append(self)
        return self

    @main_only
    def end(self) -> None:
        if not session.context or session.context[-1] is not self:
            raise Refused(f"end() of {self._full_name()}, which is not the group that was begun")
        session.context.pop()

    def __enter__(self) -> Group:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    @main_only
    def node(self, s: str) -> Any:
        self._alive()
        head, _, rest = s.partition(".")
        found = next((node for node in self._nodes if node._knobs["name"]._value == head), None)
        if rest and found is not None:
            return found.node(rest) if isinstance(found, Group) else None
        return found

    @main_only
    def nodes(self) -> list[Node]:
        return list(self._nodes)


class Root(Group):
    def __init__(self) -> None:
        super().__init__("Root", None)
        self._modified = False
        self._views = ["main"]
        self._knobs["first_frame"]._value, self._knobs["last_frame"]._value = 1, 100
        self._knobs["fps"]._value = 24.0

    def _full_name(self) -> str:
        return str(self._knobs["name"]._value) or "Root"

    @main_only
    def name(self) -> str:
        return self._full_name()

    @main_only
    def modified(self) -> bool:
        return self._modified

    @main_only
    def setModified(self, modified: bool) -> None:
        self._modified = bool(modified)

    @main_only
    def addView(self, name: str, colour: str = "") -> None:
        self._views.append(name)

    @main_only
    def deleteView(self, name: str) -> None:
        self._views.remove(name)
