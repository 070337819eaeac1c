# SPDX-License-Identifier: Apache-2.0
"""The fake Nuke is no more than Nuke: its names and signatures are those of the public stubs, and it refuses what Nuke
would refuse. And the add-on calls Nuke as the stubs say (mypy)."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nuke_host import FIRST, SQUARE, Host, installed, make_plate

STUBS = [Path(str(file.locate())) for file in importlib.metadata.files("types-nuke") or () if file.suffix == ".pyi"]
OURS = frozenset({"Refused", "session", "annotations"})
"""What drives the fake, and is not of Nuke."""
Nodes = dict[str, Any]


@pytest.fixture(scope="module")
def nuke_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("nuke_path"))


@pytest.fixture
def host(nuke_path: Path) -> Host:
    host = Host(nuke_path)
    host.start(gui=True)
    return host


def stubbed() -> tuple[Nodes, Nodes]:
    """Functions and constants; classes, of all stubs."""
    names: Nodes = {}
    classes: Nodes = {}
    for path in sorted(STUBS, key=lambda path: path.name != "_nuke.pyi"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.ClassDef):
                classes.setdefault(statement.name, statement)
            elif isinstance(statement, ast.FunctionDef):
                names[statement.name] = statement
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                names[statement.target.id] = statement
    return names, classes


def methods(name: str, classes: Nodes) -> Nodes:
    """Of a class of the stubs and its bases."""
    found: Nodes = {}
    for base in [ast.unparse(each) for each in classes[name].bases]:
        found.update(methods(base, classes) if base in classes else {})
    body = classes[name].body
    found.update({each.name: each for each in body if isinstance(each, ast.FunctionDef)})
    found.update({each.target.id: each for each in body if isinstance(each, ast.AnnAssign)})
    return found


def check_signature(mine: Callable[..., Any], theirs: Any, where: str) -> None:
    """Mine takes no parameter that theirs has not, and calls it the same; overloads and *args leave it open."""
    if not isinstance(theirs, ast.FunctionDef) or theirs.args.vararg or theirs.decorator_list:
        return
    allowed = [each.arg for each in theirs.args.args if each.arg != "self"]
    said = [name for name in inspect.signature(mine).parameters if name not in ("self", "cls")]
    assert said == allowed[: len(said)], where


def test_every_name_and_signature_is_of_the_stubs(host: Host) -> None:
    names, classes = stubbed()
    assert len(classes) > 100
    checked = 0
    for name, value in vars(host.nuke).items():
        if name.startswith(("_", "fake_")) or name in OURS or inspect.ismodule(value) or name in ("Any", "Callable"):
            continue
        assert name in names or name in classes, f"nuke.{name} is not in the stubs"
        if inspect.isclass(value):
            known = methods(name, classes)
            for method, function in inspect.getmembers(value, inspect.isroutine):
                if method.startswith("_") or hasattr(Exception, method):
                    continue
                assert method in known, f"{name}.{method} is not in the stubs"
                if method in vars(value):  # what is inherited is looked at there
                    check_signature(function, known[method], f"{name}.{method}")
                checked += 1
        elif inspect.isfunction(value):
            check_signature(value, names[name], name)
            checked += 1
    assert checked > 150


def test_the_addon_calls_nuke_as_the_stubs_say(nuke_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--python-version", "3.10", "--config-file", "", "--follow-imports=silent"]
    command += ["--check-untyped-defs", "--ignore-missing-imports", "matanyone_nuke"]
    exclude = ["--exclude", "matanyone_nuke/(engine|wheels)/"]
    done = subprocess.run([*command, *exclude], cwd=nuke_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (nuke_path / "wrong.py").write_text("import nuke\nnuke.executeInMainTread(print)\nnuke.frame('x')\n")
    done = subprocess.run([*command[:-1], "wrong.py"], cwd=nuke_path, capture_output=True, text=True, check=False)
    assert done.stdout.count(" error: ") == 2


def _loop(nuke: Any, read: Any) -> None:
    one = nuke.nodes.NoOp(inputs=[read])
    one.setInput(0, nuke.nodes.NoOp(inputs=[one]))


def _write_nowhere(nuke: Any, read: Any) -> None:
    write = nuke.nodes.Write(inputs=[read], file_type="exr", raw=True)
    write["file"].setValue("/nowhere/at/all.%04d.exr")
    nuke.execute(write, FIRST, FIRST)


def _hidden_handle(nuke: Any, _: Any) -> None:
    node = nuke.nodes.NoOp()
    point = nuke.XY_Knob("point", "")
    node.addKnob(point)
    node.showControlPanel()
    point._drag(1, 2)
    point.setVisible(False)
    point._drag(1, 2)


def _closed_panel(nuke: Any, _: Any) -> None:
    node = nuke.nodes.NoOp()
    node.addKnob(nuke.BBox_Knob("box", ""))
    node["box"]._drag(1, 2, 3, 4)


REFUSED: dict[str, Callable[[Any, Any], object]] = {
    "an unknown class": lambda nuke, _: nuke.nodes.Grade2(),
    "an unknown knob": lambda _, read: read["fiel"],
    "a knob of another type": lambda _, read: read["first"].setValue("1001"),
    "a choice there is not": lambda _, read: read["on_error"].setValue("blck"),
    "a wrong input": lambda nuke, read: nuke.nodes.NoOp().setInput(1, read),
    "an input of a node without": lambda nuke, read: read.setInput(0, nuke.nodes.NoOp()),
    "a loop": _loop,
    "a channel without its layer": lambda nuke, _: nuke.nodes.Copy()["to0"].setValue("hero.alpha"),
    "an exr knob before the file type": lambda nuke, _: nuke.nodes.Write()["datatype"],
    "a disabled Write": lambda nuke, read: nuke.execute(nuke.nodes.Write(inputs=[read], disable=True), 1, 1),
    "a node that is no Write": lambda nuke, read: nuke.execute(read, 1, 1),
    "a missing folder": _write_nowhere,
    "executeInMainThread from the main thread": lambda nuke, _: nuke.executeInMainThread(print),
    "thisNode outside a callback": lambda nuke, _: nuke.thisNode(),
    "undo enabled twice": lambda nuke, _: nuke.Undo.enable(),
    "a deleted node": lambda nuke, read: (nuke.delete(read), read.name()),
    "a backslash in a path": lambda _, read: read["file"].setValue("P:\\shots\\a.exr"),
    "a handle of a hidden knob": _hidden_handle,
    "a handle while the panel is closed": _closed_panel,
    "a point of three numbers": lambda nuke, _: nuke.XY_Knob("point", "").setValue([1, 2, 3]),
    "a curve of a text": lambda _, read: read["file"].fromScript("{curve x1 2}"),
    "a curve without frames": lambda nuke, _: nuke.Double_Knob("sure", "").fromScript("{curve 1 2 3}"),
    "an expression nobody knows": lambda _, read: read["on_error"].setExpression("frame % 2"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_fake_refuses(host: Host, tmp_path: Path, what: str) -> None:
    read = host.read(make_plate(tmp_path / "plate", count=1))
    with pytest.raises((RuntimeError, NameError, TypeError, ValueError, host.nuke.Refused)):
        REFUSED[what](host.nuke, read)


def test_the_fake_refuses_other_threads_callbacks_that_evaluate_and_guis_under_t(host: Host, tmp_path: Path) -> None:
    read = host.read(make_plate(tmp_path / "plate", count=1))
    said: list[Exception] = []

    def elsewhere() -> None:
        for work in (read.name, lambda: read["first"].setValue(1), host.nuke.root, host.nuke.frame):
            try:
                work()
            except host.nuke.Refused as error:
                said.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(said) == 4
    host.nuke.addKnobChanged(read.channels, nodeClass="Read")
    with pytest.raises(host.nuke.Refused, match="callback"):
        read["first"].setValue(FIRST + 1)
    host.start(gui=False)
    for gui in (lambda: host.nuke.message("x"), lambda: host.nuke.ProgressTask("x"), lambda: host.nuke.menu("Nodes")):
        with pytest.raises(host.nuke.Refused, match="GUI"):
            gui()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Group {\n name G\n}\n", "without end_group"),
        ("NoOp {\n inputs 0\n name A\n}\nend_group\n", "outside a group"),
        ("push $nobody\n", "never set"),
        ("NoOp {\n name A\n}\n", "takes 1 inputs"),
        ('NoOp {\n inputs 0\n name A\n label "[value x]"\n}\n', "bare"),
        ("NoOp {\n inputs 0\n name A\n name B\n}\n", "twice"),
        ("NoOp {\n inputs 0\n name A\n addUserKnob {99 x}\n}\n", "unknown type"),
        ("NoOp {\n inputs 0\n name A\n addUserKnob {1 x q y}\n}\n", "means nothing"),
        ("NoOp {\n inputs 0\n label {a {b}\n", "close"),
        ("NoOp {\n inputs 0\n}\n", "without a name"),
    ],
)
def test_the_reader_of_scripts_is_strict(host: Host, text: str, why: str) -> None:
    with pytest.raises(host.nk.NkError, match=why):
        host.nk.read_script(text)


def test_a_saved_script_says_the_same_when_it_is_loaded_and_saved_again(host: Host, tmp_path: Path) -> None:
    read = host.read(make_plate(tmp_path / "plate", count=1))
    node = host.matanyone(read, host.roto(read, {FIRST: SQUARE}), tmp_path / "engine.json", objects="a b")
    node["region_box"].setValue([1, 2, 3, 4])
    host.save(tmp_path)
    text = (tmp_path / "shot.nk").read_text()
    host.nuke.scriptOpen(str(tmp_path / "shot.nk"))
    host.nuke.scriptSave()
    assert (tmp_path / "shot.nk").read_text() == text


def test_a_value_of_0_is_saved_where_a_new_node_has_another(host: Host, tmp_path: Path) -> None:
    script = tmp_path / "zero.nk"
    script.write_text("MatAnyone {\n inputs 0\n name M\n}\nMultiply {\n inputs 0\n name Off\n}\n")
    host.nuke.scriptOpen(str(script))
    host.nuke.toNode("Off")["value"].setValue(0.0)
    for name, value in (("use_files", False), ("edge_white_clip", 0.0)):
        assert host.nuke.toNode("M")[name].value() != value, "as it comes"
        host.nuke.toNode("M")[name].setValue(value)
    host.nuke.scriptSave()
    host.nuke.scriptOpen(str(script))
    assert host.nuke.toNode("Off")["value"].value() == 0.0
    assert host.nuke.toNode("M")["use_files"].value() is False
    assert host.nuke.toNode("M")["edge_white_clip"].value() == 0.0
