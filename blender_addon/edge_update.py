# SPDX-License-Identifier: GPL-3.0-or-later
"""Has the mattes written anew a moment after an edge control was turned, if nothing else has changed.

The engine does it: it keeps the network's own alphas, and applies the controls to them. So this only starts a run, as
Re-run Changed Stretch does, with the frame at the playhead first. If a control is turned while such a run is under way,
that run ends, and the next one begins.

Rules of this file:
1. It never waits: a timer looks, a tenth of a second apart, and only while a control was turned and not yet applied.
2. A run that the artist has started, or cancelled, is left alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import bpy

from . import session
from .engine.wire.errors import WireError

SETTLED_S = 0.4
"""How long no control must have been turned before the mattes are written anew."""
_LOOK_S = 0.1


@dataclass
class _Turned:
    """Holds what this module remembers."""

    home: tuple[int, str, str] | None = None
    """The scene of which a control was turned, as session.identity() names it; None where nothing is to be done."""
    at: float = 0.0
    """When it was turned last."""


here = _Turned()


def turned(of_scene):
    """Note that an edge control of a scene was turned. In background mode nobody waits for it: Re-run does it."""
    shot = of_scene.matanyone
    if bpy.app.background or not shot.edges_at_once or not shot.record:
        return
    here.home, here.at = session.identity(of_scene), time.monotonic()
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_LOOK_S, persistent=True)


def _tick():
    return _LOOK_S if look() else None


def look():
    """Begin or end a run if it is time for it. Return whether there is something left to be done."""
    home = session.found(here.home) if here.home is not None else None
    if home is None:
        here.home = None
        return False
    run = session.active()
    if run is not None and run.edges_only and not run.cancelling:
        session.cancel()
    if run is not None or session.now.clicking or time.monotonic() - here.at < SETTLED_S:
        return True
    here.home = None
    _start(home)
    return False


def _start(home):
    """Write the mattes anew if the edge controls alone have changed, and say why if that cannot be."""
    try:
        if session.edges_alone(home.matanyone) is not None:
            session.start(home)
    except (WireError, OSError, RuntimeError) as error:
        told = session.told(error) if isinstance(error, WireError) else str(error)
        session.now.note = f"the edges could not be changed: {told}"


@bpy.app.handlers.persistent
def _undone(*_):
    """Undo and redo turn controls, too, of which no property tells."""
    of_scene = getattr(bpy.context, "scene", None)
    if of_scene is not None:
        turned(of_scene)


def register():
    bpy.app.handlers.undo_post.append(_undone)
    bpy.app.handlers.redo_post.append(_undone)


def unregister():
    bpy.app.handlers.undo_post.remove(_undone)
    bpy.app.handlers.redo_post.remove(_undone)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    here.home = None
