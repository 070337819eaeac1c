# SPDX-License-Identifier: Apache-2.0
"""The node as it is built, shipped, saved, pasted and loaded, with and without the add-on; no engine."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nuke_host import FIRST, SQUARE, Host, installed, make_plate
from shots import write_image

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "nuke_plugin"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(installed(tmp_path_factory.mktemp("nuke_path")))


@pytest.fixture
def host(installation: Host, tmp_path: Path) -> Host:
    installation.start(gui=True)
    installation.save(tmp_path)
    return installation


def group_of(host: Host, file: str) -> Any:
    """The one node of a shipped file, by the strict reader."""
    nodes = host.nk.read_script((PLUGIN / file).read_text())
    assert len(nodes) == 1
    return nodes[0]


def test_the_shipped_files_are_those_that_the_command_writes(host: Host, tmp_path: Path) -> None:
    from matanyone_nuke import script

    for path in script.write_files(tmp_path):
        assert path.read_bytes() == (PLUGIN / path.relative_to(tmp_path)).read_bytes(), (
            "run python -m matanyone_nuke.script nuke_plugin in nuke_plugin/"
        )


@pytest.mark.parametrize("file", ["MatAnyone.gizmo", "ToolSets/MatAnyone.nk"])
def test_a_shipped_file_is_the_built_node(host: Host, file: str) -> None:
    """Class by class, knob by knob, connection by connection; one Output; only knobs that a class has."""
    from nuke import _classes

    saved, built = group_of(host, file), host.node.create()
    inner = {child.name: child for child in saved.children}
    assert sorted(inner) == sorted(node.name() for node in built.nodes())
    assert [child.kind for child in saved.children].count("Output") == 1
    for name, child in inner.items():
        node = built.node(name)
        assert child.kind == node.Class()
        assert set(child.knobs) <= _classes.knob_names(child.kind, child.knobs)
        assert [each and each.name for each in child.inputs] == [each and each.name() for each in _inputs(node)]
    mine = [(knob.Class(), knob.name(), knob.label(), knob.tooltip()) for knob in built._user]
    theirs = [(host.nk.CODES[knob.code], knob.name, knob.label, knob.tooltip) for knob in saved.user]
    assert theirs == mine
    assert {knob.name: knob.values for knob in saved.user if knob.values} == {
        knob.name(): knob.values() for knob in built._user if knob.Class() == "Enumeration_Knob"
    }
    for knob in saved.user:
        flags = built[knob.name]._flags
        assert ("-STARTLINE" in knob.flags) is not bool(flags & host.nuke.STARTLINE)
        assert ("+INVISIBLE" in knob.flags) is bool(flags & host.nuke.INVISIBLE)
        assert ("+DO_NOT_WRITE" in knob.flags) is bool(flags & host.nuke.DO_NOT_WRITE)


def _inputs(node: Any) -> list[Any]:
    return [node.input(number) for number in range(node.inputs())]


def test_every_button_of_a_shipped_file_compiles_on_every_python_of_nuke(host: Host) -> None:
    buttons = [knob for knob in group_of(host, "MatAnyone.gizmo").user if knob.code == 22]
    assert len(buttons) == 13
    for knob in buttons:
        for version in ((3, 7), (3, 9), (3, 10), (3, 11)):
            ast.parse(knob.target, feature_version=version)


def test_every_knob_has_a_tooltip(host: Host) -> None:
    shown = [knob for knob in group_of(host, "MatAnyone.gizmo").user if "+INVISIBLE" not in knob.flags]
    assert not [knob.name for knob in shown if knob.code not in (20, 26) and not knob.tooltip]


def test_a_pasted_toolset_gets_an_id_and_the_buttons_work(host: Host) -> None:
    node = host.nuke.nodePaste(str(PLUGIN / "ToolSets" / "MatAnyone.nk"))
    assert re.fullmatch("[0-9a-f]{12}", node["matanyone_id"].value())
    assert node["matanyone_id"].value() in node.node("MatteRead")["file"].getText()
    host.press(node, "matte_range")
    assert host.session.messages[-1].startswith("MatAnyone: expected something on the input 'plate'; got nothing")


def test_a_script_loads_where_the_addon_is_absent_and_says_so(host: Host, tmp_path: Path) -> None:
    """In a process that has never heard of it: plain nodes, and a sentence from the buttons."""
    host.node.create()
    host.nuke.scriptSave()
    code = (
        "import sys, nuke\n"
        f"nuke.fake_start(GUI); nuke.scriptOpen({str(tmp_path / 'shot.nk')!r})\n"
        "node = nuke.toNode('MatAnyone1')\n"
        "print(sorted({each.Class() for each in node.nodes()}))\n"
        "node['matte_range'].execute()\n"
        "print(nuke.session.messages)\n"
    )
    for gui in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("GUI", gui)],
            env={"PYTHONPATH": str(Path(__file__).parent / "fake_nuke")},
            capture_output=True,
            text=True,
            check=True,
        )
        kinds, messages = done.stdout.splitlines()
        assert kinds == "['Copy', 'Input', 'Output', 'Read', 'Switch', 'Write']"
        assert "not installed here" in (messages if gui == "True" else done.stderr)


def test_a_copy_of_a_node_is_another_node(host: Host, tmp_path: Path) -> None:
    node = host.node.create()
    node["matanyone_record"].setValue("state=finished; frames=1-2; written=2; unchanged=0; engine=1; settings=0")
    node.setSelected(True)
    host.nuke.nodeCopy(str(tmp_path / "clip.nk"))
    copy = host.nuke.nodePaste(str(tmp_path / "clip.nk"))
    assert copy.name() == "MatAnyone2"
    assert copy["matanyone_id"].value() != node["matanyone_id"].value()
    assert copy["matte"].getText() == node["matte"].getText().replace(
        node["matanyone_id"].value(), copy["matanyone_id"].value()
    )
    assert copy.node("MatteRead")["file"].getText() == copy["matte"].getText()
    assert copy["matanyone_record"].value() == "", "nothing was matted for the copy"
    before = node["matanyone_id"].value()
    node.setName("Hero")
    assert node["matanyone_id"].value() == before


def test_making_a_node_is_one_undo_and_loading_one_none(host: Host) -> None:
    steps = len(host.session.undo_steps)
    host.node.create()
    assert host.session.undo_steps[steps:] == ["Create MatAnyone"]
    host.nuke.scriptSave()
    host.nuke.scriptOpen(host.nuke.root().name())
    assert host.session.undo_steps[steps:] == ["Create MatAnyone"]
    assert not host.nuke.root().modified()


def test_the_matte_is_where_the_knob_says(host: Host, tmp_path: Path) -> None:
    node = host.node.create()
    assert node["matte"].getEvaluatedValue().startswith(f"{tmp_path}/matanyone/")
    node["matte"].setValue("/else/where.####.exr")
    assert node.node("MatteRead")["file"].getText() == "/else/where.####.exr"


def test_nothing_stops_nuke_from_starting(tmp_path: Path) -> None:
    """Not even an add-on of which half is missing."""
    broken = installed(tmp_path / "nuke_path")
    shutil.rmtree(broken / "matanyone_nuke" / "engine")
    code = "import nuke\nfor f in ('init.py', 'menu.py'): exec(compile(open({!r} + f).read(), f, 'exec'), {{}})"
    for extra in (str(broken), str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", code.format(str(broken) + "/")],
            env={"PYTHONPATH": f"{Path(__file__).parent / 'fake_nuke'}:{extra}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr.startswith("matanyone: not loaded, since ModuleNotFoundError")


def test_the_menu_makes_a_node(host: Host) -> None:
    command = host.nuke.menu("Nodes")._items["MatAnyone"]._items["MatAnyone"]
    exec(command, {})
    assert host.nuke.toNode("MatAnyone1")


def test_key_frames_are_where_the_mask_was_drawn(host: Host, tmp_path: Path) -> None:
    from matanyone_nuke import scene

    read = host.read(make_plate(tmp_path / "plate", count=1))
    roto = host.roto(read, {FIRST: SQUARE, FIRST + 46: SQUARE})
    moved = host.nuke.nodes.Multiply(inputs=[roto])
    assert scene.animated_frames(moved) == (FIRST, FIRST + 46)
    faded = host.nuke.nodes.Multiply(inputs=[read])
    assert scene.animated_frames(faded) == ()
    host.nuke.frame(7)
    faded["value"].setAnimated()
    faded["value"].setValueAt(1.0, 12)
    assert scene.animated_frames(faded) == (7, 12)
    for frame in range(200):
        faded["value"].setValueAt(1.0, frame)
    with pytest.raises(host.plan.PlanError, match="at most 100 key frames"):
        scene.animated_frames(faded)


def test_only_an_untouched_read_is_read_by_the_engine_itself(host: Host, tmp_path: Path) -> None:
    from matanyone_nuke.scene import plate_files

    read = host.read(make_plate(tmp_path / "plate", count=1))
    found = plate_files(host.nuke.nodes.Dot(inputs=[read]))
    assert found == host.plan.PlateFiles(str(tmp_path / "plate" / "plate.%04d.exr"), FIRST, FIRST + 5, "linear")
    graded = host.nuke.nodes.Multiply(inputs=[read])
    assert plate_files(graded) is None
    graded["disable"].setValue(True)
    assert plate_files(graded) == found
    graded["disable"].setExpression("$gui ? 1 : 0")
    assert plate_files(graded) is None, "off now, on a farm not"
    assert plate_files(host.nuke.nodes.TimeOffset(inputs=[read], time_offset=1)) is None
    read["colorspace"].setValue("SLog3")
    assert plate_files(read).colorspace == "SLog3"
    read["raw"].setValue(True)
    host.nuke.root()["workingSpaceLUT"].setValue("ACES - ACEScg")
    assert plate_files(read).colorspace == "ACES - ACEScg"
    read["frame"].setValue("frame-10")
    assert plate_files(read) is None


# ------------------------------------------------------------------------------------------ what a compositor sees


def test_the_panel_is_the_listing_in_the_documentation(host: Host) -> None:
    from matanyone_nuke import panel

    text = (ROOT / "docs" / "nuke_panel.md").read_text(encoding="utf-8")
    assert text == panel.listing(), "run python -m matanyone_nuke.panel > ../docs/nuke_panel.md in nuke_plugin/"
    node = host.node.create()
    shown = [knob.name() for knob in node._user if not knob._flags & host.nuke.INVISIBLE]
    assert shown[:5] == ["matanyone_tab", "matte_range", "matte_frame", "rerun", "cancel"]
    assert "settle" not in shown


def test_tooltips_are_whole_sentences_in_a_compositors_words() -> None:
    from matanyone_nuke import panel

    for knob in panel.KNOBS:
        if knob.kind == "Tab_Knob" or (knob.kind == "Text_Knob" and knob.name != panel.STATUS):
            continue
        assert re.match(r"[A-Z].{15,}\.$", knob.tooltip), knob
        assert not re.search(r"\b(rival|holdout|seed|bank|cache key|epoch|DR0)", knob.tooltip, re.IGNORECASE), knob


def test_a_point_has_a_handle_in_the_viewer_once_it_is_used(host: Host) -> None:
    node = host.node.create()
    node.showControlPanel()
    with pytest.raises(host.nuke.Refused, match="no handle"):
        node["point_1"]._drag(20, 30)
    node["point_1_is"].setValue("subject")
    node["point_1"]._drag(20, 30)
    node["prompt_box"]._drag(10, 10, 50, 40)
    marks = host.node.knobs.marks(node)
    assert (marks.points, marks.box) == (((20.0, 30.0, True),), (10.0, 10.0, 50.0, 40.0))
    node["point_1_is"].setValue("off")
    assert host.node.knobs.marks(node).points == ()
    assert not node["point_1"].visible()


def test_the_confidence_curve_is_saved_and_loaded(host: Host) -> None:
    node = host.node.create()
    host.node.knobs.draw_confidence(node, {1001: 0.9, 1003: 0.25})
    host.node.knobs.draw_confidence(node, {1002: 0.5})
    host.nuke.scriptSave()
    host.nuke.scriptOpen(host.nuke.root().name())
    node = host.nuke.toNode("MatAnyone1")
    assert host.node.knobs.confidence_curve(node) == {1001: 0.9, 1002: 0.5, 1003: 0.25}
    assert node["confidence"].getValueAt(1003) == 0.25


def test_next_doubtful_frame_goes_through_the_doubtful_ones_and_round(host: Host) -> None:
    node = host.node.create()
    host.press(node, "next_doubtful")
    assert "nothing has been matted yet" in host.session.messages[-1]
    host.node.knobs.draw_confidence(node, {1001: 0.9, 1002: 0.3, 1003: 0.8, 1005: 0.1})
    host.nuke.frame(1001)
    seen = []
    for _ in range(3):
        host.press(node, "next_doubtful")
        seen.append(host.nuke.frame())
    assert seen == [1002, 1005, 1002]
    assert node["matanyone_status"].value() == "frame 1002: confidence 0.30; 2 doubtful frames"
    node["doubt_below"].setValue(0.2)
    matte = Path(node["matte"].getEvaluatedValue() % 1005)
    matte.parent.mkdir(parents=True, exist_ok=True)
    write_image(matte, np.zeros((8, 8, 1), np.float32), ("A",), **{"matanyone:confidenceWhy": "guide"})
    host.press(node, "next_doubtful")
    assert host.nuke.frame() == 1005
    assert node["matanyone_status"].value() == (
        "frame 1005: confidence 0.10; 1 doubtful frames. The guide and the network disagree: one of them is wrong."
    )


# ------------------------------------------------------------------------------------- scripts of earlier versions

SAVED = Path(__file__).parent / "saved_by_0_1_0"


def saved_by_0_1_0(host: Host, tmp_path: Path, file: str) -> Any:
    """The node of a script that version 0.1.0 saved, opened with this one."""
    text = (SAVED / file).read_text()
    plate, engine = make_plate(tmp_path / "plate"), tmp_path / "engine.json"
    (tmp_path / "old.nk").write_text(text.replace("PLATE.####.exr", str(plate)).replace("ENGINE.json", str(engine)))
    host.nuke.scriptOpen(str(tmp_path / "old.nk"))
    return host.nuke.toNode("MatAnyone1")


def test_a_group_saved_by_0_1_0_opens_and_plans_what_it_did(host: Host, tmp_path: Path) -> None:
    node = saved_by_0_1_0(host, tmp_path, "group.nk")
    assert not host.nuke.root().modified()
    assert node["matanyone_status"].value().startswith("finished: frames 1001-1006, engine 0.1.0 (made by an earlier")
    planned = host.plan.plan_run(host.node.knobs.settings(node), host.node.look_around(node))
    said = host.jobs.job_of(planned, planned.chunks[0], None)
    assert (said.options.warm_up_passes, said.options.mask_grow, said.options.working_size) == (4, 2, 720)
    assert (planned.keys, said.options.exposure, said.options.region) == ((FIRST, FIRST + 3), 0.5, "8,8,56,48")
    host.press(node, "make_mask") if "make_mask" in node.knobs() else host.node.press(node, "make_mask")
    assert "Update selected nodes" in host.session.messages[-1]


def test_an_old_group_is_updated_in_its_place(host: Host, tmp_path: Path) -> None:
    node = saved_by_0_1_0(host, tmp_path, "group.nk")
    before, matte = host.node.knobs.settings(node), node["matte"].getText()
    node.setSelected(True)
    steps = len(host.session.undo_steps)
    exec(host.nuke.menu("Nodes")._items["MatAnyone"]._items["Update selected nodes"], {})
    assert host.session.messages[-1] == "MatAnyone: 1 updated, 0 up to date."
    assert host.session.undo_steps[steps:] == ["Update MatAnyone"]
    new = host.nuke.toNode("MatAnyone1")
    assert host.node.knobs.settings(new) == before
    assert (new["matte"].getText(), new["matanyone_id"].value()) == (matte, "0123456789ab")
    assert [new.input(number).name() for number in (0, 1)] == ["Read1", "Roto1"]
    assert host.nuke.toNode("After").input(0) is new
    assert new["matanyone_status"].value() == "finished: frames 1001-1006, engine 0.1.0"
    assert not [each for each in host.nuke.allNodes() if each.Class() == "Group" and each is not new]


def test_a_gizmo_saved_by_0_1_0_opens_with_its_values_under_the_new_names(host: Host, tmp_path: Path) -> None:
    node = saved_by_0_1_0(host, tmp_path, "gizmo.nk")
    assert node.Class() == "MatAnyone"
    assert (node["warm_up"].value(), node["settle"].value()) == (4, -1)
    assert host.node.knobs.settings(node).warm_up == 4
    host.nuke.scriptSave()
    text = (tmp_path / "old.nk").read_text()
    assert " warm_up 4\n" in text
    assert " settle 4\n" not in text
    assert "addUserKnob" not in text
