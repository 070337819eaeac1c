# SPDX-License-Identifier: Apache-2.0
"""Fakes Nuke's Python module strictly: what it has behaves as documented, what the real one would refuse raises.

It knows what the MatAnyone node needs and nothing else. Its names and signatures are held against the public stubs
(types-nuke) by tests/hosts/test_nuke_fake.py. It renders for real (_pixels.py). It is not Nuke: docs/nuke.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import _session as _s
from ._curves import Shape as _Shape
from ._knobs import (
    DO_NOT_WRITE,
    INVISIBLE,
    NO_ANIMATION,
    READ_ONLY,
    STARTLINE,
    Array_Knob,
    BBox_Knob,
    Boolean_Knob,
    Channel_Knob,
    Double_Knob,
    Enumeration_Knob,
    EvalString_Knob,
    File_Knob,
    Int_Knob,
    Knob,
    Link_Knob,
    PyScript_Knob,
    String_Knob,
    Tab_Knob,
    Text_Knob,
    XY_Knob,
)
from ._nodes import Format, Group, Node, Root
from ._session import Refused, session

GUI = True
INPUTS, HIDDEN_INPUTS, EXPRESSIONS = 1, 2, 4
NUKE_VERSION_STRING = "14.0v1"
NUKE_VERSION_MAJOR, NUKE_VERSION_MINOR = 14, 0
rawArgs: list[str] = list(sys.argv)

_the_root: Root


class CancelledError(Exception):
    """Says that the artist cancelled a render."""


def fake_start(gui: bool, version: str = "14.0v1") -> None:
    """Start a new Nuke: an empty, unsaved script, no callbacks. It is in this process, so on this thread.

    version: from 17.1 on, ProgressTask is bound by pybind11, which converts nothing that was not asked for.
    """
    global GUI, NUKE_VERSION_STRING, NUKE_VERSION_MAJOR, NUKE_VERSION_MINOR, _the_root  # noqa: PLW0603
    session.__init__(gui)  # type: ignore[misc]
    GUI = gui
    NUKE_VERSION_STRING = version
    NUKE_VERSION_MAJOR, NUKE_VERSION_MINOR = (int(word) for word in version.split("v", maxsplit=1)[0].split("."))
    _the_root = Root()
    _the_root._modified = False


# ---------------------------------------------------------------------------------------------------- the script


def root() -> Root:
    session.need_main("root()")
    return _the_root


def _context() -> Any:
    return session.context[-1] if session.context else _the_root


def toNode(s: str) -> Node | None:
    session.need_main("toNode()")
    return root() if s == "root" else _context().node(s)  # type: ignore[no-any-return]


def allNodes(filter: str | None = None, group: Any = None, recurseGroups: bool = False) -> list[Node]:
    session.need_main("allNodes()")
    found: list[Node] = []
    for node in (group or _context())._nodes:
        found += [node] if filter in (None, node._kind) else []
        if recurseGroups and isinstance(node, Group):
            found += allNodes(filter, node, True)
    return found


def selectedNodes(filter: str | None = None) -> list[Node]:
    return [node for node in allNodes(filter) if node["selected"].value()]


def delete(n: Node) -> None:
    session.need_main("delete()")
    n._alive()
    session.call_back("onDestroy", n)
    for user in n._parent._nodes:
        user._inputs = [None if source is n else source for source in user._inputs]
    n._parent._nodes.remove(n)
    n._gone = True
    session.changed(f"delete {n._kind}")
    _the_root._modified = True


def _made(kind: str, named: dict[str, Any]) -> Node:
    session.need_main(f"making a {kind}")
    node = Group("Group", _context()) if kind == "Group" else Node(kind, _context())
    _context()._nodes.append(node)
    node._knobs["name"]._value = ""
    node.setName(named.pop("name", f"{kind}1"), uncollide=True)
    for number, source in enumerate(named.pop("inputs", ())):
        node.setInput(number, source)
    for name, value in named.items():
        node[name].setValue(value)
    session.changed(f"create {kind}")
    _the_root._modified = True
    session.call_back("onCreate", node)
    return node


def createNode(typ: str, knobs: str = "", inpanel: bool = True) -> Node:
    """Connects to the selected node, as the real one does."""
    if inpanel:
        session.need_gui("createNode with a panel")
    chosen = selectedNodes()
    node = _made(typ, {})
    if chosen and node._most_inputs():
        node.setInput(0, chosen[0])
    return node


class _Nodes:
    def __getattr__(self, kind: str) -> Callable[..., Node]:
        return lambda **named: _made(kind, named)


nodes = _Nodes()


class Layer:
    """Makes a layer known; Channel knobs take its channels from then on."""

    def __init__(self, name: str, channels: list[str] = []) -> None:  # noqa: B006
        session.need_main("Layer()")
        if not all(channel.startswith(name + ".") for channel in channels):
            raise Refused(f"channels of a layer begin with its name: {channels}")
        session.layers.setdefault(name, list(channels))


def views() -> list[str]:
    session.need_main("views()")
    return list(_the_root._views)


def thisView() -> str:
    session.need_main("thisView()")
    return session.view


def frame(f: int | None = None) -> int:
    session.need_main("frame()")
    if f is not None:
        session.frame = int(f)
    return session.frame


def scriptSave(filename: str | None = None) -> bool:
    from . import _script

    session.need_main("scriptSave()")
    if filename is not None:
        _the_root._knobs["name"]._value = filename
    name = _the_root._knobs["name"]._value
    if not name:
        raise RuntimeError("the script has no name")
    with open(name, "w", encoding="utf-8") as file:
        file.write(_script.script_text(_the_root))
    _the_root._modified = False
    return True


def scriptSaveAs(filename: str, overwrite: bool = False) -> None:
    from pathlib import Path

    if Path(filename).exists() and not overwrite:
        raise RuntimeError(f"{filename} is there already")
    scriptSave(filename)


def scriptOpen(filename: str) -> None:
    from . import _script

    scriptClear()
    _script.load(_script.read_file(filename), _the_root)
    _the_root._knobs["name"]._value = filename
    _the_root._modified = False


def scriptClear() -> None:
    global _the_root
    session.need_main("scriptClear()")
    session.call_back("onScriptClose", _the_root)
    for node in list(_the_root._nodes):
        session.call_back("onDestroy", node)
        node._gone = True
    old, _the_root = _the_root, Root()
    _the_root._views = old._views


def nodeCopy(s: str) -> None:
    """Write the selected nodes to a file."""
    from . import _script

    with open(s, "w", encoding="utf-8") as file:
        file.write(_script.script_text(_the_root, selectedNodes()))


def nodePaste(s: str) -> Node | None:
    from . import _script

    made = _script.load(_script.read_file(s), _context())
    return made[-1] if made else None


# ----------------------------------------------------------------------------------------------------- callbacks


def thisNode() -> Node:
    session.need_main("thisNode()")
    if not session.this:
        raise Refused("thisNode() outside a callback or button")
    return session.this[-1][0]  # type: ignore[no-any-return]


def thisKnob() -> Knob:
    session.need_main("thisKnob()")
    if not session.this:
        raise Refused("thisKnob() outside a callback")
    return session.this[-1][1]  # type: ignore[no-any-return]


def addOnCreate(call: Callable[[], Any], args: Any = (), kwargs: Any = {}, nodeClass: str = "*") -> None:  # noqa: B006
    session.callbacks.append(("onCreate", call, nodeClass))


def addOnDestroy(call: Callable[[], Any], args: Any = (), kwargs: Any = {}, nodeClass: str = "*") -> None:  # noqa: B006
    session.callbacks.append(("onDestroy", call, nodeClass))


def addKnobChanged(
    call: Callable[[], Any],
    args: Any = (),
    kwargs: Any = {},  # noqa: B006
    nodeClass: str = "*",
    node: Any = None,
) -> None:
    session.callbacks.append(("knobChanged", call, nodeClass))


def addOnScriptClose(call: Callable[[], Any], args: Any = (), kwargs: Any = {}, nodeClass: str = "Root") -> None:  # noqa: B006
    session.callbacks.append(("onScriptClose", call, nodeClass))


# ------------------------------------------------------------------------------------------------------- threads


def executeInMainThread(call: Callable[..., Any], args: Any = (), kwargs: Any = {}) -> None:  # noqa: B006
    import threading

    if threading.current_thread() is session.main:
        raise Refused("executeInMainThread from the main thread hangs Nuke")
    if not session.gui:
        raise Refused("executeInMainThread never runs under nuke -t")
    if not isinstance(args, tuple):
        raise TypeError(f"args must be a tuple, got {args!r}")
    session.posted.put(lambda: call(*args, **kwargs))


def _take(value: Any, kind: type) -> None:
    """Take arguments as pybind11 does: a value of another type is a TypeError."""
    if (NUKE_VERSION_MAJOR, NUKE_VERSION_MINOR) >= (17, 1) and type(value) is not kind:
        raise TypeError(f"incompatible function arguments: expected {kind.__name__}, got {value!r}")


class ProgressTask:
    """Shows progress; any one thread may use it."""

    def __init__(self, name: str) -> None:
        session.need_gui("ProgressTask")
        _take(name, str)
        self.name, self.progress, self.message, self.cancel = name, 0, "", False
        session.tasks.append(self)

    def setProgress(self, progress: int) -> None:
        _take(progress, int)
        if not isinstance(progress, int) or not 0 <= progress <= 100:
            raise Refused(f"progress is 0 to 100, got {progress!r}")
        self.progress = progress

    def setMessage(self, message: str) -> None:
        _take(message, str)
        self.message = message

    def isCancelled(self) -> bool:
        return self.cancel


# ----------------------------------------------------------------------------------------------------- rendering


def execute(
    nameOrNode: Any,
    start: int,
    end: int,
    incr: int = 1,
    views: list[str] | None = None,
    continueOnError: bool = False,
) -> None:
    """Renders a Write. Raises RuntimeError as Nuke does."""
    from . import _images

    session.need_evaluation("execute()")
    node = toNode(nameOrNode) if isinstance(nameOrNode, str) else nameOrNode
    node._alive()
    if node._kind != "Write":
        raise RuntimeError(f"{node._full_name()} is not executable")
    if node["disable"].value():
        raise RuntimeError(f"{node._full_name()} is disabled")
    if _the_root["proxy"].value():
        raise Refused("this fake renders full size only: proxy is on")
    session.executed.append((node._full_name(), start, end, tuple(views or [session.view])))
    for number in range(start, end + 1, incr):
        for view in views or [session.view]:
            if session.cancel_execute_after is not None:
                if session.cancel_execute_after <= 0:
                    session.cancel_execute_after = None
                    raise RuntimeError("Cancelled")
                session.cancel_execute_after -= 1
            _images.write(node, number, view)


class Undo:
    @classmethod
    def begin(cls, name: str = "") -> None:
        session.need_main("Undo.begin()")
        session.undo_open.append(name)

    @classmethod
    def end(cls) -> None:
        session.undo_steps.append(session.undo_open.pop())

    @classmethod
    def disable(cls) -> None:
        session.need_main("Undo.disable()")
        session.undo_off += 1

    @classmethod
    def enable(cls) -> None:
        if not session.undo_off:
            raise Refused("Undo.enable() without disable()")
        session.undo_off -= 1


# ------------------------------------------------------------------------------------------------------------ GUI


def message(prompt: str) -> None:
    session.need_gui("message()")
    session.need_main("message()")
    session.messages.append(prompt)


def tprint(*args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
    print(*args, sep=sep, end=end, file=file or sys.stderr)


class Menu:
    """Holds a menu of the GUI."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: dict[str, Any] = {}

    def addMenu(self, name: str, icon: str = "") -> Menu:
        return self._items.setdefault(name, Menu(name))  # type: ignore[no-any-return]

    def addCommand(self, name: str, command: str = "", shortcut: str = "", icon: str = "") -> None:
        self._items[name] = command


_menus: dict[str, Menu] = {}


def menu(name: str) -> Menu:
    session.need_gui("menu()")
    if name not in ("Nodes", "Nuke"):
        raise RuntimeError(f"no menu {name}")
    return _menus.setdefault(name, Menu(name))


fake_start(True)
