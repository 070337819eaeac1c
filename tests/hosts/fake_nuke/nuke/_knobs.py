# SPDX-License-Identifier: Apache-2.0
"""Defines knob classes, by the names and methods of the public stubs (types-nuke). Wrong values and types raise."""

from __future__ import annotations

import re
from typing import Any

from . import _tcl
from ._session import Refused, main_only, session

STARTLINE, INVISIBLE, DO_NOT_WRITE, NO_ANIMATION, READ_ONLY = 0x1000, 0x400, 0x200, 0x100, 0x10000000
_HASHES = re.compile(r"#+")


class Knob:
    """Holds one value of a node, or of no node yet."""

    default: Any = ""

    def __init__(self, name: str, label: str = "") -> None:
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise Refused(f"no name for a knob: {name!r}")
        self._name, self._label, self._tooltip = name, label, ""
        self._flags = STARTLINE
        self._node: Any = None
        self._value: Any = type(self).default
        self._keys: dict[float, float] = {}
        self._expression = ""

    def Class(self) -> str:
        return type(self).__name__

    @main_only
    def name(self) -> str:
        return self._name

    @main_only
    def label(self) -> str:
        return self._label

    @main_only
    def node(self) -> Any:
        return self._node

    @main_only
    def tooltip(self) -> str:
        return self._tooltip

    @main_only
    def setTooltip(self, tooltip: str) -> None:
        self._tooltip = tooltip

    @main_only
    def setFlag(self, flag: int) -> None:
        self._flags |= flag

    @main_only
    def clearFlag(self, flag: int) -> None:
        self._flags &= ~flag

    @main_only
    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & flag)

    @main_only
    def setVisible(self, visible: bool) -> None:
        self._flags = self._flags & ~INVISIBLE if visible else self._flags | INVISIBLE

    @main_only
    def visible(self) -> bool:
        return not self._flags & INVISIBLE

    @main_only
    def isAnimated(self, channel: int = 0) -> bool:
        return bool(self._keys)

    @main_only
    def hasExpression(self, index: int = 0) -> bool:
        return bool(self._expression)

    @main_only
    def getKeyList(self) -> list[float]:
        return sorted(self._keys)

    @main_only
    def setAnimated(self, channel: int = 0) -> bool:
        self._keys.setdefault(float(session.frame), self._value)
        return True

    @main_only
    def setValueAt(self, val: Any, time: float, index: int = 0, view: Any = None) -> bool:
        if not self._keys:
            raise Refused(f"{self._name} is not animated: setValueAt would be lost")
        self._keys[float(time)] = self._checked(val)
        self._tell()
        return True

    @main_only
    def setExpression(self, expression: str, index: int = 0, view: Any = None) -> bool:
        _tcl.expression(expression, self._node)
        self._expression = expression
        self._tell()
        return True

    def value(self, index: int = 0) -> Any:
        session.need_main(f"{self._name}.value")
        self._alive()
        return self._now(session.frame)

    def setValue(self, val: Any, chan: int = 0) -> bool:
        session.need_main(f"{self._name}.setValue")
        self._alive()
        checked = self._checked(val)
        self._expression = ""
        if checked != self._value:
            self._value = checked
            self._tell()
        return True

    def fromScript(self, script: str) -> None:
        """Take the value as a script says it."""
        session.need_main(f"{self._name}.fromScript")
        expression = re.fullmatch(r"\{\{(.*)\}\}", script)
        if expression is not None:
            self.setExpression(expression[1].strip('"'))
            return
        if script.startswith("{curve"):
            self._read_curve(script)
            return
        self.setValue(self._read(script))

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        if self._keys:
            return "{curve " + " ".join(f"x{time:g} {value:g}" for time, value in sorted(self._keys.items())) + "}"
        return f'{{{{"{self._expression}"}}}}' if self._expression else self._written(self._value)

    def _read_curve(self, script: str) -> None:
        """Read '{curve x1001 0.5 x1002 0.7}': it sets all keys at once, and no other than these."""
        words = script.strip("{}").split()[1:]
        if not isinstance(self, Array_Knob) or self._flags & NO_ANIMATION:
            raise Refused(f"{self._name} takes no curve")
        if len(words) % 2 or not all(re.fullmatch(r"x-?\d+(\.\d+)?", word) for word in words[::2]):
            raise Refused(f"{self._name}: a curve that Nuke would read otherwise: {script[:60]!r}")
        self._keys = {float(time[1:]): self._checked(float(number)) for time, number in zip(words[::2], words[1::2])}
        self._tell()

    # ------------------------------------------------------------------------------------------- for subclasses

    def _checked(self, val: Any) -> Any:
        if not isinstance(val, str):
            raise TypeError(f"{self._name}: expected text, got {val!r}")
        return val

    def _read(self, script: str) -> Any:
        return script

    def _written(self, value: Any) -> str:
        return str(value)

    def _now(self, frame: float) -> Any:
        return self._value

    def _alive(self) -> None:
        if self._node is not None and self._node._gone:
            raise ValueError("A PythonObject is not attached to a node")

    def _tell(self) -> None:
        node = self._node
        if node is None:
            return
        session.changed(f"{node._full_name()}.{self._name}")
        if not self._flags & DO_NOT_WRITE:
            node._root()._modified = True
        if not session.loading:
            session.call_back("knobChanged", node, self)


class Array_Knob(Knob):
    """Holds numbers."""

    default: Any = 0.0

    def _checked(self, val: Any) -> Any:
        if isinstance(val, bool) or not isinstance(val, (int, float)):
            raise TypeError(f"{self._name}: expected a number, got {val!r}")
        return float(val)

    def _read(self, script: str) -> Any:
        return float(script)

    def _now(self, frame: float) -> Any:
        if self._expression:
            return _tcl.expression(self._expression, self._node)
        if not self._keys:
            return self._value
        times = sorted(self._keys)
        before = [time for time in times if time <= frame] or times[:1]
        after = [time for time in times if time >= frame] or times[-1:]
        low, high = before[-1], after[0]
        share = 0.0 if high == low else (frame - low) / (high - low)
        return self._keys[low] * (1 - share) + self._keys[high] * share

    @main_only
    def getValueAt(self, frame: float, index: int = 0, view: Any = None) -> Any:
        self._alive()
        return self._now(frame)


class Double_Knob(Array_Knob):
    pass


class Int_Knob(Array_Knob):
    default = 0

    def _checked(self, val: Any) -> int:
        if isinstance(val, bool) or not isinstance(val, int):
            raise TypeError(f"{self._name}: expected an int, got {val!r}")
        return val

    def _read(self, script: str) -> int:
        return int(script)


class Boolean_Knob(Array_Knob):
    default = False

    def _checked(self, val: Any) -> bool:
        if not isinstance(val, (bool, int)):
            raise TypeError(f"{self._name}: expected a bool, got {val!r}")
        return bool(val)

    def _read(self, script: str) -> bool:
        return {"true": True, "false": False}[script]

    def _written(self, value: Any) -> str:
        return "true" if value else "false"


class Disable_Knob(Boolean_Knob):
    pass


class PlacedKnob(Array_Knob):
    """Holds several numbers that are a place in the picture, with a handle in the viewer."""

    _count = 0

    def _checked(self, val: Any) -> Any:
        if isinstance(val, str) or len(val) != self._count:
            raise TypeError(f"{self._name}: expected {self._count} numbers, got {val!r}")
        return tuple(float(each) for each in val)

    def _read(self, script: str) -> Any:
        return tuple(float(each) for each in script.strip("{}").split())

    def _written(self, value: Any) -> str:
        return " ".join(f"{each:g}" for each in value)

    def value(self, index: int = 0) -> Any:
        return list(super().value())

    def _drag(self, *place: float) -> None:
        """Drag the handle as the artist does in the viewer (for tests). Nuke shows no handle of a hidden knob or a
        closed panel.
        """
        if not session.gui:
            raise Refused("there is no viewer under nuke -t")
        if self._flags & INVISIBLE or self._node is None or not self._node._panel_open:
            raise Refused(f"{self._name} has no handle in the viewer: the knob is hidden, or the panel is closed")
        self.setValue(place)


class BBox_Knob(PlacedKnob):
    default = (0.0, 0.0, 0.0, 0.0)
    _count = 4


class XY_Knob(PlacedKnob):
    default = (0.0, 0.0)
    _count = 2


class WH_Knob(Array_Knob):
    """Holds a size: both ways at once, as one number; two apart are not known here."""


class Unsigned_Knob(Array_Knob):
    pass


class Enumeration_Knob(Unsigned_Knob):
    def __init__(self, name: str, label: str = "", values: Any = ()) -> None:
        super().__init__(name, label)
        self._values = list(values)
        self._value = self._values[0] if self._values else ""

    @main_only
    def values(self) -> list[str]:
        return list(self._values)

    @main_only
    def setValues(self, values: list[str]) -> None:
        if not all(isinstance(value, str) for value in values):
            raise TypeError(f"{self._name}: expected texts, got {values!r}")
        self._values = list(values)

    def _checked(self, val: Any) -> str:
        if isinstance(val, int) and not isinstance(val, bool) and 0 <= val < len(self._values):
            return self._values[val]
        if val not in self._values:
            raise Refused(f"{self._name}: {val!r} is none of {self._values}")
        return str(val)

    def _read(self, script: str) -> Any:
        return script

    def _now(self, frame: float) -> Any:
        return self._values[int(_tcl.expression(self._expression, self._node))] if self._expression else self._value


class String_Knob(Knob):
    @main_only
    def getText(self, oc: Any = None) -> str:
        """Return the text as typed."""
        self._alive()
        return str(self._value)


class EvalString_Knob(String_Knob):
    @main_only
    def evaluate(self, *frame: Any) -> str:
        return _tcl.evaluated(self._value, self._node)


class Multiline_Eval_String_Knob(EvalString_Knob):
    pass


class File_Knob(EvalString_Knob):
    @main_only
    def getEvaluatedValue(self, oc: Any = None) -> str | None:
        """Return the name with TCL run and frames as %04d; None where there is nothing."""
        self._alive()
        return _HASHES.sub(lambda match: f"%0{len(match[0])}d", _tcl.evaluated(self._value, self._node)) or None

    def _checked(self, val: Any) -> str:
        text = str(super()._checked(val))
        if "\\" in text:
            raise Refused(f"{self._name}: a backslash is an escape in Nuke's paths: {text!r}")
        return text


class Script_Knob(String_Knob):
    def __init__(self, name: str, label: str = "", command: str = "") -> None:
        super().__init__(name, label)
        self._value = command

    @main_only
    def command(self) -> str:
        return str(self._value)

    @main_only
    def execute(self) -> None:
        """Press it."""


class PyScript_Knob(Script_Knob):
    def execute(self) -> None:
        session.need_main(f"{self._name}.execute")
        self._alive()
        session.this.append((self._node, self))
        try:
            import nuke

            exec(compile(self._value, f"<{self._name}>", "exec"), {"nuke": nuke})
        finally:
            session.this.pop()


class PythonKnob(String_Knob):
    pass


class Text_Knob(Knob):
    pass


class Tab_Knob(Knob):
    pass


class ColorChip_Knob(Unsigned_Knob):
    pass


class Format_Knob(Knob):
    pass


class CurveKnob(Knob):
    """Holds the shapes of a Roto."""

    def __init__(self, name: str, label: str = "") -> None:
        super().__init__(name, label)
        from ._curves import Layer

        self.rootLayer = Layer()

    def _read(self, script: str) -> Any:
        return script

    def fromScript(self, script: str) -> None:
        self.rootLayer._load(script)

    def toScript(self, quote: bool = True, context: Any = None) -> str:
        return self.rootLayer._save()


class Channel_Knob(Knob):
    """Holds one channel, of a layer that exists."""

    default = "none"

    def _checked(self, val: Any) -> str:
        known = {name for names in session.layers.values() for name in names} | {"none"}
        if val not in known:
            raise Refused(f"{self._name}: there is no channel {val!r}; make its layer first")
        return str(val)


class ChannelMask_Knob(Channel_Knob):
    default = "none"

    def _checked(self, val: Any) -> str:
        return str(val) if val in ("rgb", "rgba", "all", "alpha") else super()._checked(val)


class Link_Knob(Knob):
    """Shows another knob."""

    @main_only
    def setLink(self, s: str) -> None:
        self._value = s
        self.getLinkedKnob()

    @main_only
    def getLink(self) -> str:
        return str(self._value)

    @main_only
    def getLinkedKnob(self) -> Knob:
        inner, _, name = self._value.partition(".")
        node = self._node.node(inner) if self._node is not None else None
        if node is None:
            raise Refused(f"{self._name} links to {self._value}, which is not there")
        return node[name]  # type: ignore[no-any-return]

    def _now(self, frame: float) -> Any:
        return self.getLinkedKnob().value()
