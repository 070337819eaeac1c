# SPDX-License-Identifier: Apache-2.0
"""The Nuke add-on's own test, to be run in Nuke by whoever has a licence (docs/nuke.md says where it has been run).

    NUKE_PATH=/studio/nuke/matanyone nuke -t tests/in_nuke.py --plate=PLATE.####.exr --first=1001 --last=1006 \
        --mask=MASK.exr --out=FOLDER [--connection=ENGINE.json]

Six or more frames of a scene-linear EXR plate, a mask of the first of them, and an empty folder. An engine has to run
whose roots hold all three. Every check prints a line; the exit code is 0 if all are ok.

Rule of this file: it says to Nuke only what an artist's session or a farm would; Python 3.7.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, List

import nuke

WRITTEN_AT = re.compile(rb"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")
"""The header's DateTime: the second in which a file was written."""
CHECKS: List[Callable[["Shot"], None]] = []


def check(function: Callable[["Shot"], None]) -> Callable[["Shot"], None]:
    """One line of the report."""
    CHECKS.append(function)
    return function


class Shot:
    """What a check works on: a fresh script in a folder of its own."""

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        self.args, self.first, self.last = args, args.first, args.last
        self.folder = os.path.join(args.out, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        nuke.scriptClear()
        nuke.root()["first_frame"].setValue(self.first)
        nuke.root()["last_frame"].setValue(self.last)

    def save(self) -> None:
        """The script has a name."""
        nuke.scriptSaveAs(self.folder.replace("\\", "/") + "/shot.nk", 1)

    def read(self, file: str, first: int, last: int) -> Any:
        """A Read of these frames."""
        read = nuke.nodes.Read()
        read["file"].setValue(file.replace("\\", "/"))
        for name, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
            read[name].setValue(value)
        return read

    def plate(self) -> Any:
        """The plate's Read."""
        return self.read(self.args.plate, self.first, self.last)

    def mask(self) -> Any:
        """The mask as an alpha."""
        mask = self.read(self.args.mask, 1, 1)
        if "rgba.alpha" in mask.channels():
            return mask
        copy = nuke.nodes.Copy(inputs=[mask, mask])
        copy["from0"].setValue("rgba.red")
        copy["to0"].setValue("rgba.alpha")
        return copy

    def node(self, plate: Any, mask: Any, **knobs: Any) -> Any:
        """A MatAnyone node with the key frame named."""
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
        """The exit code."""
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
        """Of the mattes of these frames."""
        return ["alpha.%04d.exr" % frame for frame in frames]

    def all_frames(self) -> List[int]:
        """Of the plate."""
        return list(range(self.first, self.last + 1))


def expect(what: Any, wanted: Any) -> None:
    """Equal, or the check fails with both."""
    if what != wanted:
        raise AssertionError("expected %r, got %r" % (wanted, what))


@check
def full_range_equals_the_command_line(shot: Shot) -> None:
    shot.save()
    node = shot.node(shot.plate(), shot.mask(), colorspace="linear")
    expect(shot.matte(node), 0)
    mine = shot.mattes(node)
    expect(sorted(mine), shot.names(*shot.all_frames()))
    folder = os.path.dirname(node["matte"].getEvaluatedValue())
    mask = "%s/alpha_export/mask_subject.%04d.exr@%d" % (folder, shot.first, shot.first)
    out = os.path.join(shot.folder, "by_hand", "alpha.####.exr")
    command = engine_python() + ["-m", "matanyone_engine", "matte", shot.args.plate, "--mask", mask, "--out", out]
    command += ["--settle", "1", "--colorspace", "linear", "--endpoint"]
    command += [shot.args.connection] if shot.args.connection else []
    subprocess.check_call(command, stderr=subprocess.DEVNULL)
    for name, data in mine.items():
        with open(os.path.join(os.path.dirname(out), name), "rb") as file:
            expect(WRITTEN_AT.sub(b"", file.read()) == data, True)


@check
def current_frame(shot: Shot) -> None:
    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    expect(shot.matte(node, only=(shot.first + 3,)), 0)
    expect(sorted(shot.mattes(node)), shot.names(shot.first + 3))


@check
def rerun_of_a_stretch_leaves_the_rest_alone(shot: Shot) -> None:
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
    from matanyone_nuke import node as plugin

    shot.save()
    node = shot.node(shot.plate(), shot.mask(), warm_up=400)
    identity = node["matanyone_id"].value()

    def stop() -> None:
        while identity not in plugin.RUNS:
            time.sleep(0.01)
        time.sleep(0.3)
        plugin.RUNS[identity].cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    expect(shot.matte(node), 130)
    thread.join()


@check
def stereo_by_views(shot: Shot) -> None:
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
    shot.save()
    later = nuke.nodes.TimeOffset(inputs=[shot.plate()], time_offset=10)
    node = shot.node(later, shot.mask(), keys=str(shot.first + 10))
    expect(shot.matte(node), 0)
    expect(sorted(shot.mattes(node)), shot.names(*[frame + 10 for frame in shot.all_frames()]))


@check
def a_retimed_plate(shot: Shot) -> None:
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
    expect(shot.matte(shot.node(shot.plate(), shot.mask())), 2)


@check
def no_engine(shot: Shot) -> None:
    shot.save()
    node = shot.node(shot.plate(), shot.mask())
    node["engine"].setValue((shot.folder + "/nobody.json").replace("\\", "/"))
    expect(shot.matte(node), 9)


@check
def what_the_engine_refuses(shot: Shot) -> None:
    shot.save()
    expect(shot.matte(shot.node(shot.plate(), shot.mask(), colorspace="no such space")), 2)


@check
def a_saved_script_and_a_plain_copy(shot: Shot) -> None:
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


def engine_python() -> List[str]:
    """The engine's own, as the installation wrote it."""
    import matanyone_nuke

    with open(os.path.join(os.path.dirname(matanyone_nuke.__file__), "install.json")) as file:
        return list(json.load(file)["engine_python"])


def main() -> int:
    """Run every check, whatever the others do."""
    parser = argparse.ArgumentParser(prog="in_nuke", description=__doc__)
    parser.add_argument("--plate", required=True)
    parser.add_argument("--mask", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--connection", default="")
    args = parser.parse_args([word for word in sys.argv if word.startswith("--")])
    failed = 0
    for function in CHECKS:
        try:
            function(Shot(args, function.__name__))
            print("ok      %s" % function.__name__)
        except Exception:
            failed += 1
            print("FAILED  %s\n%s" % (function.__name__, traceback.format_exc()))
        sys.stdout.flush()
    python = "%d.%d" % sys.version_info[:2]
    print("%d of %d ok: Nuke %s, Python %s" % (len(CHECKS) - failed, len(CHECKS), nuke.NUKE_VERSION_STRING, python))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
