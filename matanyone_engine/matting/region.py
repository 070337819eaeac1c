# SPDX-License-Identifier: Apache-2.0
"""Chooses the window that the network looks at, frame by frame (docs/decisions/DR004-regions.md).

    off       the whole frame
    boxes     what the artist drew: one box for the shot, or keyed ones with straight lines between them
    follow    around the last alpha, checked against the alpha that comes out of it

Rules of this file:
1. Pure: functions of boxes and cells that return a window. shift_window.py moves a session's memory to it.
2. A window that follows the subject keeps its size and place as long as the subject does not come near its sides.
3. An artist's box is used as it is, even if it cuts the subject; the session then gives a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.errors import SettingError
from matanyone_engine.matting.geometry import Box, Geometry, Window
from matanyone_engine.model.dims import STRIDE

SUBJECT = 0.05
"""Alpha from which a pixel counts as the subject's when windows are placed."""
PRESENT = 0.5
"""If the alpha exceeds this nowhere, the subject counts as gone."""
TOUCHING_CELLS = 1
"""Fewest cells between the subject and a side of a window that follows; if there are fewer, the frame is computed
again."""
GUARD_CELLS = 2
"""If fewer cells are left, the window moves before the next frame, which costs less than computing a frame twice."""
MARGIN_CELLS = 4
"""Cells around the subject when a window is placed anew: context, and the distance that the subject may move before the
window does."""
SMALLEST_CELLS = 12
"""Shortest side of a window that follows, in cells; the network was trained on crops of at least twice that."""
_STEP_CELLS = 2
"""The sides of windows that follow are multiples of this many cells, so that their sizes seldom change."""
_WORTH_SHRINKING = 0.5
"""A window is made smaller when a new one would have at most this part of its cells."""

_KEYED = re.compile(r"(?:(?P<frame>-?\d{1,9}):)?(?P<box>\d{1,6}(?:,\d{1,6}){3})")


@dataclass(frozen=True)
class KeyedBox:
    """Holds a box on one plate frame, or without a frame the box for the whole shot."""

    frame: int | None
    box: Box

    def __str__(self) -> str:
        return str(self.box) if self.frame is None else f"{self.frame}:{self.box}"


@dataclass(frozen=True)
class Region:
    """Says which part of the frames of a shot is computed; the default is the whole frame."""

    follows: bool = False
    boxes: tuple[KeyedBox, ...] = ()
    """In the order of their frames."""

    @classmethod
    def parse(cls, text: str | None) -> Region:
        """Read 'off', 'follow', 'x0,y0,x1,y1' or 'FRAME:x0,y0,x1,y1 FRAME:...'. Raises SettingError."""
        if text is None or text == "off":
            return cls()
        if text == "follow":
            return cls(follows=True)
        found = [_KEYED.fullmatch(word) for word in text.split()]
        if not found or not all(found):
            raise _unreadable(text, "it cannot be read")
        boxes = tuple(_keyed(match) for match in found if match)
        if len(boxes) > 1 and any(keyed.frame is None for keyed in boxes):
            raise _unreadable(text, "with several boxes, each needs its frame")
        frames = [keyed.frame or 0 for keyed in boxes]
        if len(set(frames)) != len(frames):
            raise _unreadable(text, "a frame has two boxes")
        if any(k.box.x0 >= k.box.x1 or k.box.y0 >= k.box.y1 for k in boxes):
            raise _unreadable(text, "a box is empty: x1 and y1 must be larger than x0 and y0")
        return cls(boxes=tuple(sorted(boxes, key=lambda keyed: keyed.frame or 0)))

    def __str__(self) -> str:
        return "follow" if self.follows else " ".join(map(str, self.boxes)) or "off"

    @property
    def off(self) -> bool:
        """Returns whether the whole frame is computed."""
        return not self.follows and not self.boxes

    @property
    def moves(self) -> bool:
        """Returns whether the window may change during the shot."""
        return self.follows or len(self.boxes) > 1

    def box(self, frame: int | None) -> Box:
        """Return the artist's box on a plate frame. Between two keyed boxes it is interpolated linearly; before the
        first and after the last it is constant. Raises SettingError if boxes are keyed and no frame number is given.
        """
        if len(self.boxes) == 1:
            return self.boxes[0].box
        if frame is None:
            raise SettingError(
                expected="the plate's frame number, since the region has boxes on several frames",
                came="no frame number",
                action="Pass it: session.advance(plate, frame=1002).",
            )
        before = [keyed for keyed in self.boxes if (keyed.frame or 0) <= frame]
        after = [keyed for keyed in self.boxes if (keyed.frame or 0) >= frame]
        return _between((before or after[:1])[-1], (after or before[-1:])[0], frame)

    def check(self, geometry: Geometry) -> None:
        """Raise SettingError if a box lies outside of the plate."""
        for keyed in self.boxes:
            if min(geometry.window_of(keyed.box).size) < 1:
                raise SettingError(
                    expected=f"a region inside the plate of {geometry.frame}",
                    came=str(keyed),
                    action="Give x0,y0,x1,y1 in plate pixels, counted from the top left.",
                )

    def largest(self, geometry: Geometry) -> Window:
        """Return a window that is at least as large as any that will be computed. A window that follows may grow to the
        whole frame.
        """
        if not self.boxes:
            return geometry.whole
        rows, columns = zip(
            *(geometry.window_of(keyed.box).grown(GUARD_CELLS).size for keyed in self.boxes), strict=True
        )
        return Window(0, 0, max(rows), max(columns)).within(geometry.whole)

    def window(self, geometry: Geometry, frame: int | None, current: Window | None, subject: Window | None) -> Window:
        """Return the window to compute first on a frame. subject: the cells of the mask or of the last alpha; None if
        it is empty.
        """
        if self.boxes:
            asked = geometry.window_of(self.box(frame))
            return asked if len(self.boxes) == 1 else _roomy(current, asked, geometry.whole)
        return followed(current, subject, geometry.whole) if self.follows else geometry.whole

    def after(self, geometry: Geometry, tried: Window, subject: Window | None, *, first: bool) -> Window:
        """Return the computed window if its alpha is accepted, otherwise the window in which to compute the frame
        again.

        A subject that reaches a side may continue beyond it, and one that is gone may be anywhere. The window is placed
        anew around the visible subject. If that was tried already, or if nothing is visible, the whole frame is
        computed.
        """
        clear = subject is not None and not reaches_side(subject, tried, geometry.whole, TOUCHING_CELLS)
        if clear or not self.follows:
            return tried
        if subject is None or not first:
            return geometry.whole
        anew = followed(tried, subject, geometry.whole)
        return geometry.whole if anew == tried else anew


def subject_cells(alpha: Tensor, window: Window) -> Window | None:
    """Return the cells that the subject covers in an alpha (1, 1, H, W) of this window; None if the subject is gone."""
    most = F.max_pool2d(alpha, STRIDE)[0, 0]
    if not most.max() > PRESENT:
        return None
    rows, columns = ((most > SUBJECT).any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    return Window(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1).shifted(window.top, window.left)


def is_cut(alpha: Tensor, window: Window, whole: Window) -> bool:
    """Return whether the subject touches a side of the window that is not the frame's own side, so that its matte is
    clipped.
    """
    sides = (
        (window.top > whole.top, alpha[..., 0, :]),
        (window.left > whole.left, alpha[..., 0]),
        (window.bottom < whole.bottom, alpha[..., -1, :]),
        (window.right < whole.right, alpha[..., -1]),
    )
    return any(inner and bool((side > SUBJECT).any()) for inner, side in sides)


def reaches_side(subject: Window, window: Window, whole: Window, cells: int = GUARD_CELLS) -> bool:
    """Return whether fewer than `cells` cells lie between the subject and a side that is not the frame's own side."""
    return not window.holds(subject.grown(cells).within(whole))


def followed(current: Window | None, subject: Window | None, whole: Window) -> Window:
    """Return the window around a subject: the current one if possible, otherwise one of the same size, otherwise a new
    one.
    """
    if subject is None:
        return whole
    fresh = _around(subject, whole)
    if current is None or current.cells * _WORTH_SHRINKING >= fresh.cells:
        return fresh
    if not reaches_side(subject, current, whole):
        return current
    moved = _centred(subject, current.size, whole)
    return fresh if reaches_side(subject, moved, whole) else moved


def _roomy(current: Window | None, asked: Window, whole: Window) -> Window:
    """Return the window of a keyed box: the current one as long as it contains the box and little more, so that it
    seldom moves.
    """
    if current is not None and current.holds(asked) and asked.grown(GUARD_CELLS).holds(current):
        return current
    return asked.grown(GUARD_CELLS // 2).within(whole)


def _around(subject: Window, whole: Window) -> Window:
    """Return a new window: the subject with a margin, its sides rounded up."""
    sides = (side + 2 * MARGIN_CELLS for side in subject.size)
    rows, columns = (max(SMALLEST_CELLS, -(-side // _STEP_CELLS) * _STEP_CELLS) for side in sides)
    return _centred(subject, (rows, columns), whole)


def _centred(subject: Window, size: tuple[int, int], whole: Window) -> Window:
    """Return a window of this size with the subject in its middle, moved into the frame where it would reach beyond
    it."""
    top, bottom = _span(subject.top, subject.bottom, size[0], whole.bottom)
    left, right = _span(subject.left, subject.right, size[1], whole.right)
    return Window(top, left, bottom, right)


def _span(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    length = min(length, limit)
    first = min(max(0, (start + stop - length) // 2), limit - length)
    return first, first + length


def _between(one: KeyedBox, other: KeyedBox, frame: int) -> Box:
    """Return the linear interpolation of two keyed boxes on a frame, rounded outwards."""
    start, stop = one.frame or 0, other.frame or 0
    if start == stop:
        return one.box
    part = (frame - start) / (stop - start)
    a, b = one.box, other.box
    x0, y0 = (int(p + (q - p) * part // 1) for p, q in ((a.x0, b.x0), (a.y0, b.y0)))
    x1, y1 = (-int(-(p + (q - p) * part) // 1) for p, q in ((a.x1, b.x1), (a.y1, b.y1)))
    return Box(x0, y0, x1, y1)


def _keyed(match: re.Match[str]) -> KeyedBox:
    x0, y0, x1, y1 = map(int, match["box"].split(","))
    return KeyedBox(int(match["frame"]) if match["frame"] else None, Box(x0, y0, x1, y1))


def _unreadable(text: str, why: str) -> SettingError:
    return SettingError(
        expected="a region 'off', 'follow', 'x0,y0,x1,y1' or 'FRAME:x0,y0,x1,y1 FRAME:x0,y0,x1,y1'",
        came=f"{text!r}: {why}",
        action="Count in plate pixels from the top left; x1 and y1 lie outside the box.",
    )
