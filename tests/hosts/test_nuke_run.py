# SPDX-License-Identifier: Apache-2.0
"""The Nuke node against a real engine with the bundled model, in the strict fake Nuke: what an artist does in a day."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from engines import Engine, running
from nuke_host import FIRST, LAST, SQUARE, Host, alphas, installed, make_mask, make_plate, pixels

from matanyone_engine.cli.main import main
from matanyone_engine.wire.messages import ListSessions

FRAMES = range(FIRST, LAST + 1)
WRITTEN_AT = re.compile(rb"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")
"""The header's DateTime, which every writer of OpenImageIO adds: the only bytes in which two runs may differ."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("nuke")
    with running(folder / "engine", "--root", str(folder), model="mini") as started:
        yield started


@pytest.fixture(scope="module")
def folder(engine: Engine) -> Path:
    return engine.folder.parent


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(installed(tmp_path_factory.mktemp("nuke_path")))


@pytest.fixture(scope="module")
def plate(folder: Path) -> Path:
    return make_plate(folder / "plate")


@pytest.fixture
def host(installation: Host, engine: Engine, folder: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A GUI with a saved script of its own."""
    engine.accident()
    installation.start(gui=True)
    place = folder / re.sub(r"\W", "_", request.node.name)
    place.mkdir()
    installation.save(place)
    yield installation
    engine.accident()


@pytest.fixture
def node(host: Host, engine: Engine, plate: Path) -> Any:
    """On a plate straight from a Read, with a mask drawn on the first frame."""
    read = host.read(plate)
    return host.matanyone(read, host.roto(read, {FIRST: SQUARE}), engine.file)


def by_hand(out: Path, plate: Path, *masks: str, **options: str) -> dict[str, bytes]:
    """What the command line writes without Nuke and without an engine."""
    asked = [word for mask in masks for word in ("--mask", mask)]
    asked += [word for name, value in options.items() for word in (f"--{name}", value)]
    command = [
        "matte",
        str(plate),
        *asked,
        "--warm-up",
        "1",
        "--colorspace",
        "linear",
        "--out",
        str(out),
        "--cache",
        "0",
    ]
    assert main([*command, "--device", "cpu", "--accept-doubt"]) == 0
    return {name: WRITTEN_AT.sub(b"", data) for name, data in alphas(out.parent).items()}


def written(host: Host, node: Any) -> dict[str, bytes]:
    return {name: WRITTEN_AT.sub(b"", data) for name, data in alphas(host.folder(node)).items()}


def test_the_full_range_is_what_the_command_line_writes_byte_for_byte(
    host: Host, node: Any, plate: Path, tmp_path: Path
) -> None:
    undo, modified = list(host.session.undo_steps), host.nuke.root().modified()
    outcome = host.matted(node)
    assert (outcome.state, outcome.written, outcome.exit_code) == ("finished", len(FRAMES), 0), host.session.messages
    mask = host.folder(node) / "alpha_export" / f"mask_subject.{FIRST}.exr"
    assert written(host, node) == by_hand(tmp_path / "alpha.####.exr", plate, f"{mask}@{FIRST}")
    assert [name for name, *_ in host.session.executed] == ["MatAnyone1.WriteMask"], "the plate was not rendered"
    assert host.session.undo_steps == undo
    assert modified
    assert host.session.undo_off == 0
    assert {write: node.node(write)["disable"].value() for write in ("WritePlate", "WriteMask")} == {
        "WritePlate": True,
        "WriteMask": True,
    }
    assert not host.session.messages


def test_the_viewer_shows_the_plate_with_the_matte(host: Host, node: Any) -> None:
    from nuke._pixels import render

    before = render(node, FIRST, "main").planes["rgba.alpha"]
    assert set(np.unique(before)) == {0.0, 1.0}, "a checkerboard where there is no matte yet"
    host.matted(node)
    image = render(node, FIRST + 2, "main")
    assert np.array_equal(image.planes["rgba.alpha"], pixels(host.folder(node) / f"alpha.{FIRST + 2}.exr"))
    assert np.array_equal(image.planes["rgba.red"], render(node.input(0), FIRST + 2, "main").planes["rgba.red"])
    read = node.node("MatteRead")
    assert (read["first"].value(), read["last"].value()) == (FIRST, LAST)


def test_the_current_frame_alone_and_then_the_others(host: Host, node: Any) -> None:
    host.nuke.frame(FIRST + 3)
    outcome = host.matted(node, "matte_frame")
    assert (outcome.state, outcome.written) == ("finished", 1)
    assert list(alphas(host.folder(node))) == [f"alpha.{FIRST + 3}.exr"]
    kept = written(host, node)
    whole = host.matted(node)
    assert (whole.written, whole.unchanged) == (len(FRAMES) - 1, 1)
    assert written(host, node)[f"alpha.{FIRST + 3}.exr"] == kept[f"alpha.{FIRST + 3}.exr"]


def test_running_again_after_a_mask_was_mended_writes_only_its_stretch(host: Host, engine: Engine, plate: Path) -> None:
    read = host.read(plate)
    roto = host.roto(read, {FIRST: SQUARE, FIRST + 1: SQUARE, FIRST + 4: SQUARE})
    node = host.matanyone(read, roto, engine.file)
    assert host.matted(node).written == len(FRAMES)
    time.sleep(1.1)  # a header's time is another one then
    stamps = {path: path.stat().st_mtime_ns for path in host.folder(node).glob("*.exr")}
    for point, (x, y) in zip(next(iter(roto["curves"].rootLayer)), SQUARE, strict=True):
        point.center.keys[FIRST + 4] = (x + 3, y)
    outcome = host.matted(node, "rerun")
    now = {path: path.stat().st_mtime_ns for path in host.folder(node).glob("*.exr")}
    left_alone = sorted(path.name for path in now if now[path] == stamps[path])
    assert left_alone == [f"alpha.{FIRST}.exr", f"alpha.{FIRST + 1}.exr"], "a key reaches to its neighbours only"
    assert (outcome.written, outcome.unchanged) == (len(FRAMES) - 2, 2)


def test_a_plate_that_is_not_on_disk_is_rendered_in_stretches_while_the_engine_begins(
    host: Host, engine: Engine, plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.plan, "FIRST_CHUNK", 2)
    read = host.read(plate)
    graded = host.nuke.nodes.Multiply(inputs=[read], value=0.5)
    node = host.matanyone(graded, host.roto(read, {FIRST + 2: SQUARE}), engine.file)
    modified = host.nuke.root().modified()
    outcome = host.matted(node)
    assert (outcome.state, outcome.exit_code) == ("finished", 0), host.session.messages
    plates = [(first, last) for name, first, last, _ in host.session.executed if name.endswith("WritePlate")]
    assert plates == [(FIRST + 2, FIRST + 3), (FIRST + 4, LAST), (FIRST, FIRST + 1)], "from the key on, then backwards"
    rendered = host.folder(node) / "alpha_export" / "plate.####.exr"
    mask = host.folder(node) / "alpha_export" / f"mask_subject.{FIRST + 2}.exr"
    assert written(host, node) == by_hand(tmp_path / "alpha.####.exr", rendered, f"{mask}@{FIRST + 2}")
    assert host.nuke.root().modified() is modified
    host.press(node, "delete_export")
    assert host.session.messages[-1] == f"MatAnyone: {len(FRAMES) + 1} rendered files deleted."
    assert not rendered.parent.exists()
    assert len(alphas(host.folder(node))) == len(FRAMES)


def test_cancel_stops_the_engine_within_a_frame_and_keeps_what_is_done(host: Host, engine: Engine, node: Any) -> None:
    engine.accident("predict", "sleep", **{"for": 0.1})
    host.press(node, "matte_range")
    run = host.run_of(node)
    host.until(lambda: host.session.tasks and host.session.tasks[-1].progress > 0)
    host.press(node, "cancel")
    host.until(lambda: not run.running())
    assert (run.outcome.state, run.outcome.exit_code) == ("cancelled", 130)
    done = len(alphas(host.folder(node)))
    assert 0 < done < len(FRAMES)
    assert run.outcome.written == done
    with engine.client() as client:
        assert not [each for each in client.call(ListSessions()).sessions if each.phase != "parked"]  # type: ignore[attr-defined]
    engine.accident()
    assert host.matted(node).state == "finished"
    assert len(alphas(host.folder(node))) == len(FRAMES)


def test_cancel_of_the_bar_and_of_the_render(host: Host, engine: Engine, node: Any) -> None:
    engine.accident("predict", "sleep", **{"for": 0.1})
    host.press(node, "matte_range")
    run = host.run_of(node)
    host.until(lambda: host.session.tasks and host.session.tasks[-1].progress > 0)
    host.session.tasks[-1].cancel = True
    host.until(lambda: not run.running())
    assert run.outcome.state == "cancelled"
    host.session.cancel_execute_after = 0
    assert host.matted(node).state == "cancelled"
    assert node.node("WriteMask")["disable"].value()


def test_a_node_that_is_renamed_or_deleted_while_it_runs(host: Host, engine: Engine, node: Any) -> None:
    engine.accident("predict", "sleep", **{"for": 0.05})
    host.press(node, "matte_range")
    run = host.run_of(node)
    node.setName("Hero")
    host.until(lambda: not run.running())
    assert run.outcome.state == "finished"
    assert node["matanyone_record"].value()
    node["use_files"].setValue(False)
    host.press(node, "matte_range")
    run = host.run_of(node)
    host.nuke.delete(node)
    host.until(lambda: not run.running())
    assert run.outcome.state == "cancelled"


def test_a_script_that_is_closed_while_it_runs(host: Host, engine: Engine, node: Any) -> None:
    engine.accident("predict", "sleep", **{"for": 0.8})
    host.press(node, "matte_range")
    run = host.run_of(node)
    host.until(lambda: host.session.tasks and host.session.tasks[-1].progress > 0)
    host.nuke.scriptClear()
    host.until(lambda: not run.running())
    assert run.outcome.state == "cancelled"
    assert not host.session.messages


def test_the_engine_is_killed_and_comes_back(
    host: Host, engine: Engine, node: Any, plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matanyone_nuke.engine.client import job

    monkeypatch.setattr(job, "SILENT_S", 0.5)
    engine.accident("predict", "sleep", **{"for": 0.1})
    host.press(node, "matte_range")
    run = host.run_of(node)
    host.until(lambda: host.session.tasks and host.session.tasks[-1].progress > 20)
    engine.kill()
    back = threading.Thread(target=engine.start)
    back.start()
    host.until(lambda: not run.running())
    back.join()
    assert run.outcome.state == "finished", run.outcome
    mask = host.folder(node) / "alpha_export" / f"mask_subject.{FIRST}.exr"
    assert written(host, node) == by_hand(tmp_path / "alpha.####.exr", plate, f"{mask}@{FIRST}")


def test_stereo_has_a_job_a_view(host: Host, engine: Engine, folder: Path) -> None:
    host.nuke.root().deleteView("main")
    for view in ("left", "right"):
        host.nuke.root().addView(view)
        make_plate(folder / "stereo", view=view)
    host.session.view = "left"
    read = host.read(folder / "stereo" / "plate.%V.####.exr")
    node = host.matanyone(read, host.roto(read, {FIRST: SQUARE}), engine.file)
    host.press(node, "matte_range")
    assert host.run_of(node) is not None, "one view: the current one"
    host.until(lambda: not host.run_of(node).running())
    assert host.run_of(node).outcome.written == len(FRAMES)
    node["matte"].setValue(str(host.folder(node) / "both" / "alpha.%V.####.exr"))
    outcome = host.matted(node)
    assert (outcome.state, outcome.written) == ("finished", 2 * len(FRAMES)), host.session.messages
    both = host.folder(node)
    left, right = (pixels(both / f"alpha.{view}.{LAST}.exr") for view in ("left", "right"))
    assert not np.array_equal(left, right)


def test_offset_and_retimed_plates_keep_the_scripts_frame_numbers(host: Host, engine: Engine, plate: Path) -> None:
    read = host.read(plate)
    later = host.nuke.nodes.TimeOffset(inputs=[read], time_offset=10)
    node = host.matanyone(later, host.roto(later, {FIRST + 10: SQUARE}), engine.file)
    assert host.matted(node).state == "finished", host.session.messages
    assert list(alphas(host.folder(node))) == [f"alpha.{frame + 10}.exr" for frame in FRAMES]
    slow = host.nuke.nodes.Retime(inputs=[read], speed=0.5, filter="none")
    slow["input.first"].setValue(FIRST)
    slow["output.first"].setValue(FIRST)
    other = host.matanyone(slow, host.roto(slow, {FIRST: SQUARE}), engine.file, frames_from="list")
    other["frames"].setValue(f"{FIRST}-{FIRST + 7}")
    assert host.matted(other).state == "finished", host.session.messages
    assert list(alphas(host.folder(other))) == [f"alpha.{frame}.exr" for frame in range(FIRST, FIRST + 8)]
    held = [pixels(host.folder(other) / f"alpha.{frame}.exr") for frame in (FIRST + 2, FIRST + 3)]
    assert np.array_equal(*held), "two script frames of one plate frame"


def test_negative_frames(host: Host, engine: Engine, folder: Path) -> None:
    read = host.read(make_plate(folder / "negative", first=-2, count=4), -2, 1)
    graded = host.nuke.nodes.Multiply(inputs=[host.read(folder / "plate" / "plate.####.exr")], value=1.0)
    moved = host.nuke.nodes.TimeOffset(inputs=[graded], time_offset=-FIRST - 2)
    assert read is not None
    node = host.matanyone(moved, host.roto(moved, {0: SQUARE}), engine.file, frames_from="list", frames="-2-1")
    assert host.matted(node).state == "finished", host.session.messages
    assert list(alphas(host.folder(node))) == ["alpha.-0001.exr", "alpha.-0002.exr", "alpha.0000.exr", "alpha.0001.exr"]


def test_objects_become_layers_and_constraint_masks_hold(host: Host, engine: Engine, plate: Path, folder: Path) -> None:
    for name in ("hero", "dog"):
        host.nuke.Layer(name, [f"{name}.alpha"])
    read = host.read(plate)
    mask = host.roto(read, {FIRST: SQUARE})
    for name in ("hero", "dog"):
        mask = host.nuke.nodes.Copy(inputs=[mask, mask], from0="rgba.alpha", to0=f"{name}.alpha")
    node = host.matanyone(read, mask, engine.file, objects="hero dog")
    nothing = host.read(make_mask(folder / "nothing.exr"))
    node.setInput(3, nothing)
    assert host.matted(node).state == "finished", host.session.messages
    from nuke._pixels import render

    planes = render(node, LAST, "main").planes
    assert {"hero.alpha", "dog.alpha", "rgba.alpha"} <= set(planes)
    assert planes["hero.alpha"].max() > 0
    held = host.matanyone(read, host.roto(read, {FIRST: SQUARE}), engine.file)
    held.setInput(3, nothing)
    assert host.matted(held).state == "finished", host.session.messages
    assert pixels(host.folder(held) / f"alpha.{LAST}.exr")[24, 32] == 0, "the outside mask is 1 there"


def test_every_setting_reaches_the_engine(host: Host, engine: Engine, node: Any) -> None:
    """A knob that does nothing would leave the header's line as it was."""
    changes = {
        "warm_up": 2, "mask_grow": 1, "exposure": 0.5, "region": "follow", "quality": "480", "pin_keys": True,
        "colorspace": "sRGB",
    }  # fmt: skip
    for name, value in changes.items():
        node[name].setValue(value)
    job = host.plan.plan_run(host.node.knobs.settings(node), host.node.look_around(node))
    said = host.jobs.job_of(job, job.chunks[0], None)
    options = said.options
    assert (options.warm_up_passes, options.mask_grow, options.exposure) == (2, 1, 0.5)
    assert (options.region, options.working_size, options.colorspace) == ("follow", 480, "sRGB")
    assert said.pin_keys
    node["region"].setValue("box")
    node["region_box"].setValue([8, 0, 56, 40])
    job = host.plan.plan_run(host.node.knobs.settings(node), host.node.look_around(node))
    assert host.jobs.job_of(job, job.chunks[0], None).options.region == "8,8,56,48", (
        "rows are counted from the top there"
    )
    node["colorspace"].setValue("")
    node["region_box"].setValue([16, 0, 48, 48])
    assert host.matted(node).state == "finished", host.session.messages
    alpha = pixels(host.folder(node) / f"alpha.{LAST}.exr")
    assert alpha[:, 16:48].any()
    assert not alpha[:, :8].any()  # the box covers whole cells of a plate that mini sees enlarged


def test_the_engine_is_asked_who_it_is(host: Host, node: Any) -> None:
    host.press(node, "test_engine")
    host.until(lambda: host.session.messages)
    assert re.match(r"MatAnyone: engine \S+ on cpu, by pyzmq; models: mini", host.session.messages[0])
    assert node["model"].values() == ["mini"]
    host.press(node, "show_record")
    assert "not matted yet" in host.session.messages[-1]


def test_what_the_engine_refuses_is_said_in_its_words(host: Host, node: Any) -> None:
    node["colorspace"].setValue("LogC5")
    outcome = host.matted(node)
    assert (outcome.state, outcome.code, outcome.exit_code) == ("failed", "bad-input", 2)
    assert "LogC5" in host.session.messages[-1]
    assert not alphas(host.folder(node))
    node["colorspace"].setValue("")
    node["engine"].setValue(str(Path(node["engine"].value()).with_name("nobody.json")))
    outcome = host.matted(node)
    assert (outcome.code, outcome.exit_code) == ("unreachable", 9)


def test_an_unsaved_script_is_told_so_and_nothing_is_rendered(
    installation: Host, engine: Engine, plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.start(gui=True)
    read = installation.read(plate)
    node = installation.matanyone(read, installation.roto(read, {FIRST: SQUARE}), engine.file)
    installation.press(node, "matte_range")
    assert "an unsaved script" in installation.session.messages[-1]
    assert not installation.session.executed
    installation.start(gui=False)
    read = installation.read(plate)
    node = installation.matanyone(read, installation.roto(read, {FIRST: SQUARE}), engine.file)
    assert installation.node.matte(node) == 2
    assert "unsaved" in capsys.readouterr().err


def test_a_stale_matte_says_so_also_after_the_script_was_saved_and_loaded(host: Host, node: Any) -> None:
    host.matted(node)
    assert node["matanyone_record"].value().startswith(f"state=finished; frames={FIRST}-{LAST}; written=6")
    host.nuke.scriptSave()
    name = host.nuke.root().name()
    host.nuke.scriptOpen(name)
    again = host.nuke.toNode("MatAnyone1")
    assert not host.nuke.root().modified()
    assert again["matanyone_status"].value() == f"finished: frames {FIRST}-{LAST}, engine 0.1.0"
    again["exposure"].setValue(1.0)
    assert again["matanyone_status"].value().startswith("stale")


def test_convert_leaves_plain_nodes_in_its_place(host: Host, node: Any) -> None:
    from nuke._pixels import render

    after = host.nuke.nodes.NoOp(inputs=[node])
    host.matted(node)
    shown = render(after, LAST, "main").planes["rgba.alpha"]
    host.press(node, "convert")
    assert after.input(0).Class() == "Copy"
    assert after.input(0).input(1).Class() == "Read"
    assert np.array_equal(render(after, LAST, "main").planes["rgba.alpha"], shown)
    assert not [each for each in host.nuke.allNodes() if each.Class() == "Group"]
    assert host.session.undo_steps[-1] == "Convert MatAnyone"


def test_proxy_is_put_back(host: Host, node: Any) -> None:
    host.nuke.root()["proxy"].setValue(True)
    assert host.matted(node).state == "finished", host.session.messages
    assert host.nuke.root()["proxy"].value() is True


def test_a_job_for_the_farm_is_the_run_without_nuke(host: Host, node: Any) -> None:
    host.press(node, "save_job")
    saved = host.folder(node) / "alpha.job.json"
    assert str(saved) in host.session.messages[-1]
    assert not alphas(host.folder(node)), "nothing is matted here"
    assert main(["run", str(saved), "--device", "cpu", "--cache", "0", "--accept-doubt"]) == 0
    by_farm = written(host, node)
    assert len(by_farm) == len(FRAMES)
    for path in host.folder(node).glob("*.exr"):
        path.unlink()
    assert host.matted(node).written == len(FRAMES)
    assert written(host, node) == by_farm


# ------------------------------------------------------------------------ layers, doubts, first masks, corrections


def test_own_colour_core_and_edge_come_out_as_layers(host: Host, engine: Engine, node: Any) -> None:
    from nuke._pixels import render

    node["own_colour"].setValue(True)
    node["core_edge"].setValue(True)
    assert host.matted(node).state == "finished", host.session.messages
    image = render(node, FIRST, "main")
    matte = image.planes["rgba.alpha"]
    assert np.array_equal(image.planes["core.alpha"] + image.planes["edge.alpha"], matte)
    assert image.planes["edge.alpha"].any()
    soft = (matte > 0.2) & (matte < 0.8)
    assert not np.array_equal(image.planes["fg.green"][soft], image.planes["rgba.green"][soft]), "unmixed there"
    file = oiio.ImageBuf(str(host.folder(node) / f"alpha.{FIRST}.exr"))
    stored = dict(zip(file.spec().channelnames, file.get_pixels(oiio.FLOAT).transpose(2, 0, 1), strict=True))
    for layer, channel in (("fg.red", "fg.R"), ("fg.blue", "fg.B"), ("core.alpha", "core.A"), ("edge.alpha", "edge.A")):
        assert np.array_equal(image.planes[layer], stored[channel])
    node["own_colour"].setValue(False)
    assert host.matted(node).state == "finished", host.session.messages
    assert "fg.green" not in render(node, LAST, "main").planes, "what is not asked for any more goes"
    assert "core.alpha" in render(node, LAST, "main").planes


def test_distractors_keep_the_matte_off_them(host: Host, engine: Engine, plate: Path) -> None:
    host.nuke.Layer("double", ["double.alpha"])
    read = host.read(plate)
    mask = host.roto(read, {FIRST: SQUARE})
    other = host.roto(read, {FIRST: [(x - 6, y) for x, y in SQUARE]})
    both = host.nuke.nodes.Copy(inputs=[mask, other], from0="rgba.alpha", to0="double.alpha")
    node = host.matanyone(read, both, engine.file)
    assert host.matted(node).state == "finished", host.session.messages
    # The masks overlap on the key's frame. What becomes of such a small plate's pattern later is up to the network.
    alone = pixels(host.folder(node) / f"alpha.{FIRST}.exr")
    node["distractors"].setValue("double")
    assert host.matted(node).state == "finished", host.session.messages
    kept_off = pixels(host.folder(node) / f"alpha.{FIRST}.exr")
    assert kept_off.sum() < 0.95 * alone.sum()
    assert sorted(each.name for each in host.folder(node).glob("*.exr")) == [f"alpha.{frame}.exr" for frame in FRAMES]


def test_each_run_draws_the_confidence_curve(host: Host, engine: Engine, node: Any) -> None:
    engine.accident("predict", "sleep", **{"for": 0.3})
    host.press(node, "matte_range")
    run = host.run_of(node)
    seen: set[str] = set()

    def ended() -> bool:
        seen.add(node["matanyone_status"].value())
        return not run.running()

    host.until(ended)
    engine.accident()
    assert [line for line in seen if re.match(r"frame \d+: \d of 6 done", line)], seen
    assert "asking for an engine" in seen
    curve = host.node.knobs.confidence_curve(node)
    assert sorted(curve) == list(FRAMES)
    for frame in FRAMES:
        header = oiio.ImageBuf(str(host.folder(node) / f"alpha.{frame}.exr")).spec()
        assert curve[frame] == pytest.approx(float(header.getattribute("matanyone:confidence")), abs=0.001)
    host.node.knobs.draw_confidence(node, dict.fromkeys(FRAMES, 0.0))
    assert host.matted(node).unchanged == len(FRAMES)
    again = host.node.knobs.confidence_curve(node)
    assert again == pytest.approx(curve, abs=0.001), "what was left alone is read from its files"


def test_a_first_mask_from_a_box_and_points_is_shown_at_once_and_matted(
    host: Host, engine: Engine, plate: Path
) -> None:
    from nuke._pixels import render

    read = host.read(plate)
    node = host.matanyone(read, None, engine.file)
    host.press(node, "matte_range")
    assert "make a first mask under Masks" in host.session.messages[-1]
    host.nuke.frame(FIRST + 2)
    node.showControlPanel()
    node["prompt_box"]._drag(12, 6, 52, 42)
    node["point_1_is"].setValue("subject")
    node["point_1"]._drag(32, 24)
    host.press(node, "make_mask")
    run = host.run_of(node)
    host.until(lambda: not run.running())
    assert node["matanyone_status"].value().startswith(f"mask on frame {FIRST + 2}, "), host.session.messages
    file = host.folder(node) / "first_masks" / f"subject.{FIRST + 2}.exr"
    shown = render(node, FIRST + 2, "main").planes["rgba.alpha"]
    assert np.array_equal(shown, pixels(file)), "the viewer has it"
    assert shown[24, 32] > 0.5
    assert not shown[:6].any(), "nothing outside of the box, whose rows Nuke counts from below"
    assert host.matted(node).state == "finished", host.session.messages
    assert node["show"].value() == "matte"
    assert np.array_equal(
        render(node, LAST, "main").planes["rgba.alpha"], pixels(host.folder(node) / f"alpha.{LAST}.exr")
    )
    host.press(node, "remove_mask")
    assert not file.exists()
    host.press(node, "remove_mask")
    assert "expected a first mask on frame" in host.session.messages[-1]


def test_a_first_mask_on_a_plate_that_is_rendered(host: Host, engine: Engine, plate: Path) -> None:
    graded = host.nuke.nodes.Multiply(inputs=[host.read(plate)], value=0.5)
    node = host.matanyone(graded, None, engine.file)
    host.nuke.frame(FIRST)
    node["prompt_box"].setValue([12, 6, 52, 42])
    node["point_1_is"].setValue("subject")
    node["point_1"].setValue([32, 24])
    host.press(node, "make_mask")
    run = host.run_of(node)
    host.until(lambda: not run.running())
    assert [each[:3] for each in host.session.executed] == [("MatAnyone1.WritePlate", FIRST, FIRST)]
    assert node["matanyone_status"].value().startswith("mask on frame"), host.session.messages
    node["engine"].setValue(str(Path(node["engine"].value()).with_name("nobody.json")))
    host.press(node, "make_mask")
    run = host.run_of(node)
    host.until(lambda: not run.running())
    assert node["matanyone_status"].value().startswith("no mask: ")


def test_a_correction_begins_with_the_matte_and_becomes_a_key(host: Host, engine: Engine, node: Any) -> None:
    from nuke._pixels import render

    host.nuke.frame(FIRST + 3)
    host.press(node, "correct_frame")
    assert "Press Matte current frame first" in host.session.messages[-1]
    assert host.matted(node).state == "finished", host.session.messages
    steps = len(host.session.undo_steps)
    host.press(node, "correct_frame")
    assert host.session.undo_steps[steps:] == ["Correct a MatAnyone frame"]
    paint = node.input(4)
    assert paint.Class() == "RotoPaint"
    matte = pixels(host.folder(node) / f"alpha.{FIRST + 3}.exr")
    assert np.array_equal(render(paint, FIRST + 3, "main").planes["rgba.alpha"], matte)
    assert node["corrected"].value() == str(FIRST + 3)
    shape = host.nuke._Shape()
    shape.key(FIRST + 3, [(0.0, 0.0), (12.0, 0.0), (12.0, 12.0), (0.0, 12.0)])
    paint["curves"].rootLayer.append(shape)
    outcome = host.matted(node, "rerun")
    assert outcome.state == "finished", host.session.messages
    mended = pixels(host.folder(node) / f"alpha.{FIRST + 3}.exr")
    assert not np.array_equal(mended, matte), "the frame was computed anew from what was painted"
    host.nuke.frame(FIRST + 5)
    host.press(node, "correct_frame")
    assert node["corrected"].value() == f"{FIRST + 3}, {FIRST + 5}"
    assert node.input(4) is paint
    read = paint.input(0)
    assert (read["first"].value(), read["last"].value()) == (FIRST + 3, FIRST + 5)
    before = pixels(host.folder(node) / "corrections" / f"alpha.{FIRST + 3}.exr")
    assert np.array_equal(before, matte), "the copy stays what the artist began with"


def test_the_node_runs_in_nuke_17_1(installation: Host, engine: Engine, folder: Path, plate: Path) -> None:
    """Where ProgressTask takes nothing but the types it names."""
    installation.start(gui=True, version="17.1v1")
    (folder / "in_17").mkdir()
    installation.save(folder / "in_17")
    with pytest.raises(TypeError):
        installation.nuke.ProgressTask("x").setProgress(0.5)
    read = installation.read(plate)
    node = installation.matanyone(read, installation.roto(read, {FIRST: SQUARE}), engine.file)
    assert installation.matted(node).state == "finished", installation.session.messages
    assert installation.session.tasks[-1].progress == 100
