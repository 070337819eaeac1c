# SPDX-License-Identifier: Apache-2.0
"""Tests the Nuke add-on in a real Nuke. Whoever has a licence runs it: one command, about five minutes.

    NUKE_PATH=/studio/nuke/matanyone nuke -t tests/in_nuke.py

It starts an engine of its own, mattes six frames of this repository's example in every way the node knows, prints a
table of what held, and writes in_nuke_report.json, the file to send back. Nothing of the user's is read or changed.

    --out=FOLDER         where all of it goes (default: a new folder among the temporary ones)
    --plate=P --first=N --last=M --mask=FILE     another scene-linear EXR plate, and a mask of its first frame
    --connection=FILE    an engine that runs already, whose roots hold all of it; it is not killed then

Every option is one word with '=', since Nuke takes bare numbers for a frame range. The exit code is 0 if all held.

Rules of this file:
1. It says to Nuke only what an artist's session or a farm would; Python 3.7.
2. A check's first line is what the table says. What a check cannot do here it skips, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Tuple

import nuke

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(os.path.dirname(HERE), "examples")
REPORT = "in_nuke_report.json"
START_S = 300.0
"""How long an engine may take to start."""
WRITTEN_AT = re.compile(rb"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")
"""The header's DateTime: the second in which a file was written."""
CHECKS: List[Callable[["Shot"], None]] = []


class Skipped(Exception):
    """Says that a check cannot be made here."""


def check(function: Callable[["Shot"], None]) -> Callable[["Shot"], None]:
    """Make a function one line of the table."""
    CHECKS.append(function)
    return function


class OwnEngine:
    """Holds an engine that this test starts, may kill, and ends."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.file = os.path.join(folder, "run", "engine.json").replace("\\", "/")
        os.makedirs(os.path.dirname(self.file), mode=0o700)

    def start(self) -> None:
        """Start it, and wait until it has said where it is."""
        roots = ["--root", os.path.abspath(os.sep)]
        command = engine_python() + ["-m", "matanyone_engine", "serve", "--connection", self.file] + roots
        command += ["--state", os.path.join(self._folder, "state")]
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "NUKE"))}
        plain["MATANYONE_ENGINE_CACHE"] = os.path.join(self._folder, "cache")
        if os.path.exists(self.file):
            os.remove(self.file)
        with open(os.path.join(self._folder, "engine.log"), "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=plain)
        deadline = time.time() + START_S
        while time.time() < deadline:
            if os.path.exists(self.file):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self.kill()
        raise RuntimeError("expected the engine to start; see %s" % os.path.join(self._folder, "engine.log"))

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as a user would."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


class Shot:
    """Holds what a check works on: a fresh script in a folder of its own."""

    engine: Any = None
    """The engine that may be killed; None where somebody else's is used."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        self.args, self.first, self.last = args, args.first, args.last
        self.folder = os.path.join(args.out, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        nuke.scriptClear()
        nuke.root()["first_frame"].setValue(self.first)
        nuke.root()["last_frame"].setValue(self.last)

    def save(self) -> None:
        """Give the script a name."""
        nuke.scriptSaveAs(self.folder.replace("\\", "/") + "/shot.nk", 1)

    def read(self, file: str, first: int, last: int) -> Any:
        """Make a Read of these frames."""
        read = nuke.nodes.Read()
        read["file"].setValue(file.replace("\\", "/"))
        for name, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
            read[name].setValue(value)
        return read

    def plate(self) -> Any:
        """Make the plate's Read."""
        return self.read(self.args.plate, self.first, self.last)

    def mask(self) -> Any:
        """Make the mask as an alpha."""
        mask = self.read(self.args.mask, 1, 1)
        if "rgba.alpha" in mask.channels():
            return mask
        copy = nuke.nodes.Copy(inputs=[mask, mask])
        copy["from0"].setValue("rgba.red")
        copy["to0"].setValue("rgba.alpha")
        return copy

    def node(self, plate: Any, mask: Any, **knobs: Any) -> Any:
        """Make a MatAnyone node with the key frame named."""
        from matanyone_nuke import node

        made = node.create()
        made.setInput(0, plate)
        made.setInput(1, mask)
        given = {"keys_from": "list", "keys": str(self.first), "warm_up": 1, "start_engine": False}
        given.update(engine=self.args.connection.replace("\\", "/"), **knobs)
        for name, value in given.items():
            made[name].setValue(value)
        return made

    def matte(self, node: Any, **more: Any) -> int:
        """Matte, and return the exit code."""
        from matanyone_nuke import node as plugin

        return plugin.matte(node, **more)

    def mattes(self, node: Any) -> Dict[str, bytes]:
        """Name -> bytes but for the second of writing."""
        folder = os.path.dirname(node["matte"].getEvaluatedValue())
        names = sorted(name for name in os.listdir(folder) if name.endswith(".exr")) if os.path.isdir(folder) else []
        found = {}
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                found[name] = WRITTEN_AT.sub(b"", file.read())
        return found

    def names(self, *frames: int) -> List[str]:
        """Return the names of the mattes of these frames."""
        return ["alpha.%04d.exr" % frame for frame in frames]

    def planned(self, node: Any) -> Any:
        """Return what the node would ask of the engine."""
        from matanyone_nuke import jobs, knobs, plan, scene

        made = plan.plan_run(knobs.settings(node), scene.look_around(node))
        return jobs.job_of(made, made.chunks[0], made.views[0])

    def all_frames(self) -> List[int]:
        """Return the frames of the plate."""
        return list(range(self.first, self.last + 1))


def expect(what: Any, wanted: Any) -> None:
    """Let the check fail with both values unless they are equal."""
    if what != wanted:
        raise AssertionError("expected %r, got %r" % (wanted, what))


@check
def what_this_nuke_is_known_to_do(shot: Shot) -> None:
    """Nuke does what is known of it from its documentation only."""
    from matanyone_nuke import knobs, panel, shape

    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    expect([knob.name for knob in panel.KNOBS if knob.name not in node.knobs()], [])
    expect([inner.name for inner in shape.INSIDE if node.node(inner.name) is None], [])
    node["matte"].setValue("/shots/alpha.%V.####.exr")
    expect(node["matte"].getEvaluatedValue(), "/shots/alpha.%V.%04d.exr")
    expect(node["missing"].getLinkedKnob().name(), "on_error")
    expect(node.node("MatteRead")["on_error"].value(), "error")  # under -t, by its expression on $gui
    for number, choice in enumerate(panel.SHOWN):
        node["show"].setValue(choice)
        expect(int(node.node("Shown")["which"].value()), number)
    knobs.draw_confidence(node, {shot.first: 0.25, shot.first + 1: 0.5})
    expect(knobs.confidence_curve(node), {shot.first: 0.25, shot.first + 1: 0.5})
    node["point_1_is"].setValue("subject")
    node["point_1"].setValue([12.5, 7.0])
    expect(knobs.marks(node).points, ((12.5, 7.0, True),))


@check
def keys_of_a_roto(shot: Shot) -> None:
    """The frames on which a roto shape has keys are found."""
    import nuke.rotopaint
    from matanyone_nuke import scene

    roto = nuke.nodes.Roto(inputs=[shot.plate()])
    shape = nuke.rotopaint.Shape(roto["curves"], (10, 10), (60, 10), (60, 60))
    for number in range(3):
        for frame in (shot.first, shot.first + 3):
            shape[number].center.addPositionKey(frame, (10 + 50 * (number > 0), 10 + 50 * (number > 1)))
    roto["curves"].rootLayer.append(shape)
    expect({shot.first, shot.first + 3} <= set(scene.animated_frames(roto)), True)


@check
def full_range_equals_the_command_line(shot: Shot) -> None:
    """The full range is what the command line writes, byte for byte."""
    shot.save()
    node = shot.node(shot.plate(), shot.mask(), colorspace="linear")
    expect(shot.matte(node), 0)
    expect_by_hand(shot, node, [])


def expect_by_hand(shot: Shot, node: Any, more: List[str], masked: bool = True) -> None:
    """The node's mattes are what the command line writes with the same masks. masked: whether there is a mask."""
    mine = shot.mattes(node)
    expect(sorted(mine), shot.names(*shot.all_frames()))
    folder = os.path.dirname(node["matte"].getEvaluatedValue())
    mask = "%s/alpha_export/mask_subject.%04d.exr@%d" % (folder, shot.first, shot.first)
    out = os.path.join(shot.folder, "by_hand", "alpha.####.exr")
    command = engine_python() + ["-m", "matanyone_engine", "matte", shot.args.plate, "--out", out]
    command += ["--mask", mask] if masked else []
    command += ["--warm-up", "1", "--colorspace", "linear", "--accept-doubt", "--endpoint"]
    command += ([shot.args.connection] if shot.args.connection else []) + more
    subprocess.check_call(command, stderr=subprocess.DEVNULL)
    for name, data in mine.items():
        with open(os.path.join(os.path.dirname(out), name), "rb") as file:
            expect(WRITTEN_AT.sub(b"", file.read()) == data, True)


@check
def current_frame(shot: Shot) -> None:
    """The current frame alone can be matted."""
    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    expect(shot.matte(node, only=(shot.first + 3,)), 0)
    expect(sorted(shot.mattes(node)), shot.names(shot.first + 3))


@check
def rerun_of_a_stretch_leaves_the_rest_alone(shot: Shot) -> None:
    """A re-run after a mask was mended leaves the rest alone."""
    shot.save()
    mended = nuke.nodes.Multiply(inputs=[shot.mask()])
    node = shot.node(shot.plate(), mended, keys="%d, %d, %d" % (shot.first, shot.first + 1, shot.first + 4))
    expect(shot.matte(node), 0)
    time.sleep(1.1)  # a header's time is another one then
    nuke.frame(shot.first)
    mended["value"].setAnimated()
    mended["value"].setValueAt(1.0, shot.first)
    mended["value"].setValueAt(1.0, shot.first + 1)
    mended["value"].setValueAt(0.9, shot.first + 4)
    expect(shot.matte(node), 0)
    expect("unchanged=2" in node["matanyone_record"].value(), True)


@check
def a_rendered_plate_and_the_modified_flag(shot: Shot) -> None:
    """A graded plate is rendered at full size, and proxy and Writes are put back."""
    graded = nuke.nodes.Multiply(inputs=[shot.plate()], value=0.5)
    node = shot.node(graded, shot.mask(), colorspace="linear")
    shot.save()
    nuke.root()["proxy"].setValue(True)
    expect(shot.matte(node), 0)
    expect(bool(nuke.root()["proxy"].value()), True)
    nuke.root()["proxy"].setValue(False)
    expect(sorted(shot.mattes(node)), shot.names(*shot.all_frames()))
    expect([node.node(name)["disable"].value() for name in ("WritePlate", "WriteMask")], [True, True])


@check
def stopped_by_somebody(shot: Shot) -> None:
    """A run that is stopped ends with exit code 130."""
    from matanyone_nuke import node as plugin

    shot.save()
    node = shot.node(shot.plate(), shot.mask(), warm_up=100)
    identity = node["matanyone_id"].value()

    def stop() -> None:
        while identity not in plugin.RUNS:
            time.sleep(0.01)
        time.sleep(0.1)
        plugin.RUNS[identity].cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    expect(shot.matte(node), 130)
    thread.join()


@check
def stereo_by_views(shot: Shot) -> None:
    """Both views of a stereo plate are matted."""
    folder = os.path.join(shot.folder, "plates")
    os.makedirs(folder)
    for view in ("main", "left", "right"):  # a new script's own view is looked at too
        for frame in shot.all_frames():
            source = re.sub("#+", "%04d" % frame, shot.args.plate)
            shutil.copy(source, "%s/plate.%s.%04d.exr" % (folder, view, frame))
    for view in ("left", "right"):
        nuke.root().addView(view)
    try:
        shot.save()
        node = shot.node(shot.read(folder + "/plate.%V.####.exr", shot.first, shot.last), shot.mask())
        node["matte"].setValue((shot.folder + "/both/alpha.%V.####.exr").replace("\\", "/"))
        node["views"].setValue("left right")
        expect(shot.matte(node), 0)
        expect(len(shot.mattes(node)), 2 * len(shot.all_frames()))
    finally:
        for view in ("left", "right"):
            nuke.root().deleteView(view)


@check
def offset_frames(shot: Shot) -> None:
    """A plate that is offset in time keeps the script's frame numbers."""
    shot.save()
    later = nuke.nodes.TimeOffset(inputs=[shot.plate()], time_offset=10)
    node = shot.node(later, shot.mask(), keys=str(shot.first + 10))
    expect(shot.matte(node), 0)
    expect(sorted(shot.mattes(node)), shot.names(*[frame + 10 for frame in shot.all_frames()]))


@check
def a_retimed_plate(shot: Shot) -> None:
    """A retimed plate is matted as the viewer shows it."""
    shot.save()
    slow = nuke.nodes.Retime(inputs=[shot.plate()], speed=0.5, filter="none")
    for name in ("input.first", "output.first"):
        slow[name + "_lock"].setValue(True)
        slow[name].setValue(shot.first)
    frames = "%d-%d" % (shot.first, shot.first + 7)
    node = shot.node(slow, shot.mask(), frames_from="list", frames=frames)
    expect(shot.matte(node), 0)
    expect(sorted(shot.mattes(node)), shot.names(*range(shot.first, shot.first + 8)))


@check
def objects_as_layers(shot: Shot) -> None:
    """Two objects come out as two layers."""
    shot.save()
    mask = shot.mask()
    for name in ("hero", "dog"):
        nuke.Layer(name, [name + ".alpha"])
        mask = nuke.nodes.Copy(inputs=[mask, mask])
        mask["from0"].setValue("rgba.alpha")
        mask["to0"].setValue(name + ".alpha")
    node = shot.node(shot.plate(), mask, objects="hero dog")
    expect(shot.matte(node, only=(shot.first, shot.first + 1)), 0)
    nuke.frame(shot.first)
    expect({"hero.alpha", "dog.alpha", "rgba.alpha"} <= set(node.channels()), True)


@check
def an_unsaved_script(shot: Shot) -> None:
    """An unsaved script is refused with exit code 2."""
    expect(shot.matte(shot.node(shot.plate(), shot.mask())), 2)


@check
def no_engine(shot: Shot) -> None:
    """A missing engine ends a run with exit code 9."""
    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    node["engine"].setValue((shot.folder + "/nobody.json").replace("\\", "/"))
    expect(shot.matte(node), 9)


@check
def what_the_engine_refuses(shot: Shot) -> None:
    """What the engine refuses ends a run with exit code 2."""
    shot.save()
    expect(shot.matte(shot.node(shot.plate(), shot.mask(), colorspace="no such space")), 2)


@check
def a_saved_script_and_a_plain_copy(shot: Shot) -> None:
    """A saved script opens again, and the node can be turned into plain nodes."""
    node = shot.node(shot.plate(), shot.mask())
    nuke.nodes.NoOp(inputs=[node], name="After")
    shot.save()
    expect(shot.matte(node, only=(shot.first,)), 0)
    identity, name = node["matanyone_id"].value(), nuke.root().name()
    shot.save()
    nuke.scriptClear()
    nuke.scriptOpen(name)
    node = nuke.toNode("MatAnyone1")
    expect(node["matanyone_id"].value(), identity)
    expect(node["matanyone_status"].value().startswith("finished"), True)
    from matanyone_nuke import node as plugin

    plugin.convert(node)
    expect(nuke.toNode("After").input(0).Class(), "Copy")


@check
def distractors_and_layers(shot: Shot) -> None:
    """Distractors get no matte; own colour, core and edge come out as layers."""
    shot.save()
    nuke.Layer("double", ["double.alpha"])
    mask = nuke.nodes.Copy(inputs=[shot.mask(), shot.mask()])
    mask["from0"].setValue("rgba.alpha")
    mask["to0"].setValue("double.alpha")
    node = shot.node(shot.plate(), mask, distractors="double", own_colour=True, core_edge=True)
    expect([each.name for each in shot.planned(node).objects], ["double"])
    node["distractors"].setValue("")
    expect(shot.matte(node, only=(shot.first, shot.first + 1)), 0)
    nuke.frame(shot.first)
    expect({"fg.red", "fg.green", "fg.blue", "core.alpha", "edge.alpha"} <= set(node.channels()), True)


@check
def guide_inside_outside_and_edges(shot: Shot) -> None:
    """Inside, outside and guide masks and edge controls give what the command line gives, byte for byte."""
    shot.save()
    node = shot.node(shot.plate(), shot.mask(), colorspace="linear", guide_band=4, edge_grow=-1, edge_black_clip=0.1)
    for number, factor in ((2, 1.0), (3, 0.0), (5, 1.0)):  # inside, outside: nothing, guide
        node.setInput(number, nuke.nodes.Multiply(inputs=[shot.mask()], value=factor))
    expect(shot.matte(node), 0)
    exports = os.path.dirname(node["matte"].getEvaluatedValue()) + "/alpha_export/"
    more = ["--guide-band", "4", "--edge-grow=-1", "--black-clip", "0.1"]
    for name in ("inside", "outside", "guide"):
        more += ["--" + name, exports + name + "_subject.%04d.exr"]
    expect_by_hand(shot, node, more)
    files = shot.mattes(node)
    plain = shot.node(shot.plate(), shot.mask(), colorspace="linear")
    expect(shot.matte(plain, only=(shot.first, shot.first + 1)), 0)
    expect([name for name, data in shot.mattes(plain).items() if data == files[name]], [])


@check
def a_guide_in_place_of_a_mask(shot: Shot) -> None:
    """Without a mask, the best frame of the guide is the key frame, as on the command line, byte for byte."""
    shot.save()
    node = shot.node(shot.plate(), None, colorspace="linear", keys_from="mask animation")
    node.setInput(5, shot.mask())
    expect(shot.matte(node), 0)
    guide = os.path.dirname(node["matte"].getEvaluatedValue()) + "/alpha_export/guide_subject.%04d.exr"
    expect_by_hand(shot, node, ["--guide", guide], masked=False)


@check
def a_refined_area(shot: Shot) -> None:
    """The alpha is solved along the plate where the input 'area' shows something, and nowhere else."""
    if subprocess.call(engine_python() + ["-c", "import pymatting"], stderr=subprocess.DEVNULL):
        raise Skipped("the engine has no pymatting: pip install 'matanyone-engine[refine]'")
    shot.save()
    plain, refined = (shot.node(shot.plate(), shot.mask(), colorspace="linear") for _ in range(2))
    refined.setInput(6, shot.mask())
    frames = (shot.first, shot.first + 1)
    for node in (plain, refined):
        expect(shot.matte(node, only=frames), 0)
    said = [[b"matanyone:refine_area" in data for data in shot.mattes(node).values()] for node in (plain, refined)]
    expect(said, [[False, False], [True, True]])


@check
def the_confidence_curve(shot: Shot) -> None:
    """Every matted frame has a confidence, and the doubtful ones are found."""
    from matanyone_nuke import knobs

    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    expect(shot.matte(node), 0)
    curve = knobs.confidence_curve(node)
    expect(sorted(curve), shot.all_frames())
    expect(all(0.0 <= value <= 1.0 for value in curve.values()), True)
    nuke.frame(shot.first)
    knobs.draw_confidence(node, {shot.first + 2: 0.0})
    node["next_doubtful"].execute()
    expect(nuke.frame() in shot.all_frames()[1:] and curve_at(node, nuke.frame()) < 0.5, True)


def curve_at(node: Any, frame: int) -> float:
    """Return the confidence of a frame."""
    return float(node["confidence"].getValueAt(frame))


@check
def a_first_mask(shot: Shot) -> None:
    """A box and a point become a mask, a key frame and a matte, without a roto."""
    shot.save()
    node = shot.node(shot.plate(), None, keys_from="mask animation")
    nuke.frame(shot.first)
    width, height = node.input(0).format().width(), node.input(0).format().height()
    node["prompt_box"].setValue([0.15 * width, 0.05 * height, 0.85 * width, 0.95 * height])
    node["point_1_is"].setValue("subject")
    node["point_1"].setValue([0.5 * width, 0.5 * height])
    node["make_mask"].execute()
    expect(node["matanyone_status"].value().startswith("mask on frame %d" % shot.first), True)
    expect(node["show"].value(), "first masks")
    expect("rgba.alpha" in node.channels(), True)
    expect(shot.matte(node, only=(shot.first, shot.first + 1)), 0)


@check
def a_correction(shot: Shot) -> None:
    """A matte is taken for a correction and becomes a key frame."""
    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    expect(shot.matte(node), 0)
    nuke.frame(shot.first + 3)
    node["correct_frame"].execute()
    expect(node.input(4).Class(), "RotoPaint")
    expect(node["corrected"].value(), str(shot.first + 3))
    expect("rgba.alpha" in node.input(4).channels(), True)
    expect(shot.matte(node), 0)
    expect("unchanged=" in node["matanyone_record"].value(), True)


@check
def overscan(shot: Shot) -> None:
    """A plate with overscan is rendered with it, and its mattes have the display window."""
    shot.save()
    wide = nuke.nodes.AdjBBox(inputs=[shot.plate()])
    wide["numpixels"].setValue(16)
    node = shot.node(wide, shot.mask(), colorspace="linear")
    expect(shot.matte(node, only=(shot.first, shot.first + 1)), 0)
    folder = os.path.dirname(node["matte"].getEvaluatedValue())
    plate = windows_of("%s/alpha_export/plate.%04d.exr" % (folder, shot.first))
    left, top, right, bottom = plate["displayWindow"]
    expect(plate["dataWindow"], (left - 16, top - 16, right + 16, bottom + 16))
    matte = windows_of("%s/alpha.%04d.exr" % (folder, shot.first))
    expect(matte["displayWindow"], plate["displayWindow"])
    expect(matte["dataWindow"], plate["displayWindow"])


@check
def the_engine_is_killed(shot: Shot) -> None:
    """The engine is killed in the middle of a run and started again, and the run ends as if nothing had happened."""
    if shot.engine is None:
        raise Skipped("the engine is somebody else's")
    shot.save()
    node = shot.node(shot.plate(), shot.mask(), warm_up=60)
    folder = os.path.dirname(node["matte"].getEvaluatedValue())

    def kill() -> None:
        from matanyone_nuke import node as plugin

        while node_id not in plugin.RUNS:
            time.sleep(0.01)
        while not os.path.isdir(folder) and node_id in plugin.RUNS:
            time.sleep(0.01)
        time.sleep(0.5)
        shot.engine.kill()
        begun = time.time()
        shot.engine.start()
        took.append(time.time() - begun)

    took: List[float] = []
    node_id = node["matanyone_id"].value()
    thread = threading.Thread(target=kill)
    thread.start()
    code = shot.matte(node)
    thread.join()
    if code == 9 and took and took[0] > 45:
        raise Skipped("the engine took %.0f s to start again; the node waits for it for a minute" % took[0])
    expect(code, 0)
    expect(sorted(shot.mattes(node)), shot.names(*shot.all_frames()))


@check
def a_script_of_version_0_1_0(shot: Shot) -> None:
    """A script with a gizmo that version 0.1.0 saved opens with its values."""
    source = os.path.join(HERE, "hosts", "saved_by_0_1_0", "gizmo.nk")
    with open(source) as file:
        text = file.read().replace("PLATE.####.exr", shot.args.plate.replace("\\", "/"))
    path = os.path.join(shot.folder, "old.nk").replace("\\", "/")
    with open(path, "w") as file:
        file.write(text)
    nuke.scriptOpen(path)
    node = nuke.toNode("MatAnyone1")
    expect((node.Class(), int(node["warm_up"].value())), ("MatAnyone", 4))
    expect(node["keys"].value(), "1001")


def engine_python() -> List[str]:
    """Return the engine's own Python, as the installation wrote it."""
    import matanyone_nuke

    with open(os.path.join(os.path.dirname(matanyone_nuke.__file__), "install.json")) as file:
        return list(json.load(file)["engine_python"])


def windows_of(path: str) -> Dict[str, Tuple[int, int, int, int]]:
    """Return the data and display window in an EXR's header: x0, y0, x1, y1, the last two inside."""
    with open(path, "rb") as file:
        data = file.read(1 << 16)
    found = {}
    for name in ("dataWindow", "displayWindow"):
        at = data.index(name.encode("ascii") + b"\0box2i\0") + len(name) + 7 + 4
        found[name] = struct.unpack("<4i", data[at : at + 16])
    return found


# ------------------------------------------------------------------------------------------------------ the table


def sentence(function: Callable[..., Any]) -> str:
    """Return what the table says of a check."""
    return (function.__doc__ or function.__name__).strip().splitlines()[0]


def carried_out(function: Callable[["Shot"], None], args: argparse.Namespace) -> Dict[str, Any]:
    """Carry out a check and print one line: what held, how long it took, and where it broke."""
    begun = time.time()
    line: Dict[str, Any] = {"check": function.__name__, "says": sentence(function), "result": "ok", "note": ""}
    try:
        function(Shot(args, function.__name__))
    except Skipped as reason:
        line.update(result="skipped", note=str(reason))
    except Exception as error:
        line.update(result="FAILED", note="%s: %s" % (type(error).__name__, error), trace=traceback.format_exc())
    line["seconds"] = round(time.time() - begun, 1)
    return line


def about_this_nuke() -> Dict[str, Any]:
    """Say what somebody needs to know who has not seen the machine; no names of people or shots."""
    import matanyone_nuke

    with open(os.path.join(os.path.dirname(matanyone_nuke.__file__), "install.json")) as file:
        installed = json.load(file)
    return {
        "nuke": nuke.NUKE_VERSION_STRING,
        "python": platform.python_version(),
        "system": platform.platform(),
        "addon": installed["version"],
        "wheels": sorted(installed["wheels"]),
        "gui": bool(nuke.GUI),
    }


def without_names(text: str, args: argparse.Namespace) -> str:
    """Return the text without the folders of this machine and its user."""
    for folder, name in ((args.out, "OUT"), (os.path.dirname(HERE), "REPOSITORY"), (os.path.expanduser("~"), "HOME")):
        for spelled in {folder, folder.replace("\\", "/")}:
            text = text.replace(spelled, name) if len(spelled) > 1 else text
    return text


def report(lines: List[Dict[str, Any]], args: argparse.Namespace) -> str:
    """Write the file to send back; its path."""
    path = os.path.join(args.out, REPORT)
    text = json.dumps({"about": about_this_nuke(), "checks": lines}, indent=1)
    with open(path, "w") as file:
        file.write(without_names(text, args))
    return path


def show(line: Dict[str, Any]) -> None:
    """Print a line of the table."""
    print("%-8s %5.1f s  %s" % (line["result"], line["seconds"], line["says"]))
    if line["note"]:
        print("%18s %s" % ("", line["note"]))
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """Read the options, each with what the repository's example gives."""
    parser = argparse.ArgumentParser(prog="in_nuke", description=__doc__)
    parser.add_argument("--plate", default=os.path.join(EXAMPLES, "plate", "plate.####.exr"))
    parser.add_argument("--mask", default=os.path.join(EXAMPLES, "mask.1001.exr"))
    parser.add_argument("--first", type=int, default=1001)
    parser.add_argument("--last", type=int, default=1006)
    parser.add_argument("--out", default="")
    parser.add_argument("--connection", default="")
    parser.add_argument("--only", default="", help="checks by name, divided by commas")
    args = parser.parse_args([word for word in sys.argv if word.startswith("--")])
    args.out = os.path.abspath(args.out) if args.out else tempfile.mkdtemp(prefix="matanyone_in_nuke_")
    os.makedirs(args.out, exist_ok=True)
    return args


def main() -> int:
    """Make every check, whatever the others do."""
    args = arguments()
    if not args.connection:
        Shot.engine = OwnEngine(os.path.join(args.out, "engine"))
        Shot.engine.start()
        args.connection = Shot.engine.file
    wanted = [each for each in CHECKS if not args.only or each.__name__ in args.only.split(",")]
    lines = []
    try:
        for function in wanted:
            lines.append(carried_out(function, args))
            show(lines[-1])
    finally:
        if Shot.engine is not None:
            Shot.engine.stop()
    counts = {name: sum(line["result"] == name for line in lines) for name in ("ok", "skipped", "FAILED")}
    python = "%d.%d" % sys.version_info[:2]
    print(
        "%d of %d ok, %d skipped: Nuke %s, Python %s"
        % (counts["ok"], len(lines) - counts["skipped"], counts["skipped"], nuke.NUKE_VERSION_STRING, python)
    )
    print("Please send back: %s" % report(lines, args))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
