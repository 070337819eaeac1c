# SPDX-License-Identifier: Apache-2.0
"""What the extension's timer does, with a clock that tests turn; of Blender only what it asks for is stood in.

What Blender itself makes of it is tested in real ones (test_blender_addon.py).
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from blender_extension import NAME, import_extension

SHOT = MagicMock(record="", made="", objects=(), plate="", out="")
SCENE = SimpleNamespace(session_uid=1, name="Scene", matanyone=SHOT)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module, beside a Blender that has one window with one Movie Clip editor, and one scene."""
    bpy = MagicMock()
    bpy.types = SimpleNamespace(AddonPreferences=object)
    bpy.data.scenes = [SCENE]
    bpy.context.scene = SCENE
    region = SimpleNamespace(type="UI", tag_redraw=MagicMock())
    area = SimpleNamespace(type="CLIP_EDITOR", regions=[region])
    bpy.context.window_manager.windows = [SimpleNamespace(screen=SimpleNamespace(areas=[area]))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "bpy", bpy)
        patch.setitem(sys.modules, "bpy.props", bpy.props)
        import_extension(tmp_path_factory.mktemp("extension"))
        module = importlib.import_module(f"{NAME}.session")
        # What Blender shows is tested in a real one; here it is when the panel is drawn again.
        patch.setattr(module.result, "show", MagicMock(return_value=[]))
        yield module
        for module in ("session", "preferences", "result", "scene", "nodes"):
            sys.modules.pop(f"{NAME}.{module}", None)


@pytest.fixture
def clock(session: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds, to be turned; the module has forgotten all."""
    at = [100.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: at[0]))
    bridge = session.Bridge(target=None)
    vars(session.now).update({**vars(session._Now()), "bridge": bridge, "ready": True})
    yield at
    vars(session.now).update(vars(session._Now()))


def redraws(session: Any, clock: list[float], seconds: float) -> list[float]:
    """When the panel was asked to be drawn again, ticks being a tenth of a second apart."""
    asked = []
    region = session.bpy.context.window_manager.windows[0].screen.areas[0].regions[0]
    for _ in range(round(seconds * 10)):
        clock[0] += 0.1
        region.tag_redraw.reset_mock()
        session.pump()
        asked += [clock[0]] * region.tag_redraw.called
    return asked


def landing(session: Any) -> Callable[[Any], None]:
    """A run of ten frames, and what lets an event of it come."""
    session.now.run = session.Run((1, "", "Scene"), "x", MagicMock(), "", None)
    session.now.run.patterns = {"subject": "/a.####.exr"}
    return session.now.bridge._outbox.put


def test_the_panel_tells_of_each_frame_however_slow_they_are(session: Any, clock: list[float]) -> None:
    """Each is shown as it lands, which puts the panel off, but does not leave it out."""
    put = landing(session)
    for number in range(10):
        put(session.Landed(1001 + number, number + 1, 10, None))
        asked = redraws(session, clock, 3.0)
        assert session.now.run.shown > clock[0] - 3.0
        assert len(asked) == 1, number
        assert 0.5 < asked[0] - session.now.run.shown < 1.0


def test_what_comes_soon_after_a_redraw_is_told_later(session: Any, clock: list[float]) -> None:
    put = landing(session)
    put(session.Told("drawing 1 mask"))
    assert len(redraws(session, clock, 0.3)) == 1
    put(session.Told("looking for the engine"))
    assert len(redraws(session, clock, 20.0)) == 1


def test_the_client_is_imported_on_the_network_thread_before_anything_is_pressed(
    session: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, when a panel is on the screen: imported at the first Matte, it held Blender up for a tenth of a second."""
    threads: list[str] = []
    monkeypatch.setattr(session, "preload", lambda: threads.append(threading.current_thread().name))
    monkeypatch.setattr(session, "bridge", lambda: session.now.bridge)
    session.now.ready = False
    session._tick()
    assert not session.now.bridge.waiting, "no panel is on the screen"
    session.now.drawn = clock[0]
    for _ in range(2):
        session._tick()
        deadline = time.monotonic() + 60
        while session.now.bridge.waiting and time.monotonic() < deadline:
            session.pump()
            clock[0] += 0.01  # pump() stops after so many seconds of this clock
    assert threads == ["matanyone"]


def test_a_full_disk_does_not_end_the_timer(session: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks that are to be looked at are written to disk first; what fails is said, once, and time goes on."""
    plan, now = session.plan, session.now
    record = plan.Record("s", "m", "", {"walks": {"1": "a"}}, (("walks", 1),))
    monkeypatch.setattr(SCENE.matanyone, "record", record.text())
    session.bpy.data.masks = {"walks": object()}
    for fault in (OSError("No space left on device"), RuntimeError("Cannot write"), PermissionError("read-only")):
        monkeypatch.setattr(session.scene, "look_at_movements", MagicMock(side_effect=fault))
        now.doubted[1], now.drawn, now.note = record, clock[0], ""
        now.looked.clear()
        now.plates[1] = (clock[0], "")
        assert session._tick() == session.IDLE_S
        assert str(fault) in now.note
        assert len(redraws(session, clock, 1.0)) == 1


def test_a_mask_that_could_not_be_looked_at_is_said(
    session: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = session.plan.Record("s", "m", "", {"walks": {"1": "a"}}, (("walks", 1),))
    monkeypatch.setattr(SCENE.matanyone, "record", record.text())
    session.bpy.data.masks = {"walks": object()}
    monkeypatch.setattr(session.scene, "look_at_movements", MagicMock(return_value=MagicMock()))
    monkeypatch.setattr(
        session,
        "bridge",
        lambda: SimpleNamespace(call=lambda *_, **__: 7, check_leave=None, control_of_a_call=MagicMock()),
    )
    session.now.doubted[1] = record
    session.look_at_masks()
    session.now.bridge._outbox.put(session.Failed(7, "output", "No space left on device", "Make room."))
    redraws(session, clock, 1.0)
    assert "No space left on device. Make room." in session.now.note
    assert 1 not in session.now.moving


def test_an_answer_that_blender_cannot_take_does_not_end_the_timer(session: Any, clock: list[float]) -> None:
    session.now.calls[3] = MagicMock(side_effect=RuntimeError("Error: Cannot read '/m.exr'"))
    session.now.bridge._outbox.put(session.Answered(3, "mask"))
    assert len(redraws(session, clock, 1.0)) == 1
    assert session.now.note == "Blender could not take the answer: Error: Cannot read '/m.exr'. Try again."
    assert session.now.failure.call == 3


def ended(session: Any, outcome: str, landed: tuple[int, ...] = (), **over: Any) -> str:
    """What is said of a run that ended so."""
    run = session.Run((1, "", "Scene"), "x", MagicMock(), "", {})
    run.landed, run.over = set(landed), session.Over(outcome, **over)
    return str(session.status(run))


def test_frames_that_are_left_out_are_said(session: Any) -> None:
    for outcome in ("finished", "cancelled"):
        said = ended(session, outcome, frames=(1001, 1002), other_layout=7)
        assert "7 older ones of another layout are not shown" in said
        assert "layout" not in ended(session, outcome, frames=(1001,))


def test_a_run_is_counted_in_frames(session: Any) -> None:
    """A shot with two keys is followed to from both: more steps than frames."""
    run = session.Run((1, "", "Scene"), "x", MagicMock(), "", {})
    run.landed, run.frames, run.done, run.of = {1001, 1002}, 24, 15, 43
    assert session.status(run) == "2 of 24 frames"


def test_new_and_old_mattes_are_counted_apart(session: Any) -> None:
    frames = tuple(range(1001, 1025))
    assert ended(session, "cancelled", (1001, 1002), frames=frames) == "cancelled: 2 mattes made, 22 older ones kept"
    assert ended(session, "finished", written=22, missing=(1007, 1008)).endswith("no alpha on 1007-1008: it is 0 there")
