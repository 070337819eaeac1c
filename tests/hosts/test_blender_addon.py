# SPDX-License-Identifier: Apache-2.0
"""The extension in real Blenders, from its zip, with a real engine: `make test`, `make test-blender` install them.

The whole way of an artist and the drawing of masks are tested in every Blender that there is, the rest in the first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zmq
from blender_extension import BLENDERS, ROOT
from blender_host import KEY, MASK, MATTE, SMALL, Host, Order, Told, circle, plain, set_up, told_of
from engines import running
from flamenco_manager import Manager
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image
from toy import disc

from matanyone_engine.cli.main import main
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.wire.connection import Connection, write_connection

EXAMPLE = (640, 360)
FRAMES = (1001, 1002, 1003)
PAINTED = disc(HEIGHT, WIDTH).numpy()

pytestmark = pytest.mark.skipif(not BLENDERS, reason="no Blender named: run make test-blender")


def command_line(*arguments: str) -> None:
    """The program in a process of its own, with the threads that the engine has, and nothing from a user's cache."""
    command = [sys.executable, "-m", "matanyone_engine", *arguments, "--cache", "0"]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})


def contour(mask: np.ndarray, every: int = 6) -> list[tuple[float, ...]]:
    """Points around the largest blob of a mask, in pixels, straight handles."""
    found, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(found, key=cv2.contourArea)[:, 0, :]
    return [(float(x) + 0.5, float(y) + 0.5) for x, y in largest[::every]]


# ------------------------------------------------------------------------------------------------ the whole way, once


@pytest.fixture(scope="module")
def artist(each_host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An artist mattes the example with mini, renders, edits, runs again, and takes the extension off."""
    folder = tmp_path_factory.mktemp("artist")
    drawn = contour(read_image(ROOT / "examples/mask.1001.exr")[..., 0])
    plate = str(ROOT / "examples/plate/plate.1001.exr")
    with running(folder / "engine", "--root", "/", model="mini") as engine:
        told = each_host.does(
            folder,
            ("preferences", {"connection": str(engine.file)}),
            ("scene", {}),
            ("plate", {"file": plate, "starts": 1}),
            ("mask", {"points": drawn, "size": EXAMPLE}),
            ("key", {"frame": 1001, "mask": "roto"}),
            ("setting", {"settle_passes": 2, "use_range": True, "first": FRAMES[0], "last": FRAMES[-1]}),
            ("setting", {"out": str(folder / "mattes/{shot}/v{version:03d}/{shot}.####.exr")}),
            ("models_menu", {}),
            ("run", {"operator": "matanyone.engine", "what": "TEST"}),
            ("models_menu", {}),
            ("run", {"operator": "matanyone.matte"}),
            ("datablocks", {}),
            ("stale", {}),
            ("render", {"frame": 3, "file": str(folder / "comp.exr"), "size": EXAMPLE}),
            ("move", {"mask": "roto", "by": 0.01}),
            ("stale", {}),
            ("save", {"file": str(folder / "shot.blend")}),
            ("disable", {}),
            ("scene", {"blend": str(folder / "shot.blend")}),
            ("render", {"frame": 3, "file": str(folder / "without.exr"), "size": EXAMPLE}),
            ("uninstall", {}),
        )  # fmt: skip
    assert not [line for line in told if not line["ok"]], told
    steps = ["preferences", "scene", "plate", "mask", "key", "range", "out", "menu before", "test", "menu", "matte"]
    steps += ["datablocks", "stale"]
    steps += ["render", "move", "stale after", "save", "disable", "open", "render without", "uninstall"]
    return folder, dict(zip(steps, told, strict=True))


@pytest.fixture(scope="module")
def by_hand(artist: tuple[Path, dict[str, Any]]) -> Path:
    """The same run from the command line, with the mask that Blender drew: plates times alpha, and alpha."""
    folder, _ = artist
    mask = folder / "mattes/masks/plate/subject.1001.exr"
    command = ["matte", str(ROOT / "examples/plate/plate.####.exr"), "--mask", f"{mask}@1001", "--settle", "2"]
    command += ["--colorspace", "Linear Rec.709", "--frames", f"{FRAMES[0]}-{FRAMES[-1]}", "--working-size", "1080"]
    command += ["--device", "cpu", "--layout", "premult"]
    command_line(*command, "--out", str(folder / "cli/premult.####.exr"))
    return folder / "cli"


def test_every_blender_takes_the_zip(each_host: Host) -> None:
    command = [sys.executable, str(each_host.blender.extension_tool), "validate", str(each_host.zip_file)]
    assert subprocess.run(command, check=False).returncode == 0


def test_the_engine_says_how_it_is(artist: tuple[Path, dict[str, Any]]) -> None:
    assert "models: mini" in artist[1]["test"]["test"]


def test_the_list_of_models_is_the_engines(artist: tuple[Path, dict[str, Any]]) -> None:
    """Before it has answered, the list offers to ask it."""
    before, after = artist[1]["menu before"]["offered"], artist[1]["menu"]["offered"]
    mini = ["matanyone.model", "mini (Apache-2.0: free for paid work)", "CHECKMARK"]
    assert before[0] == after[0] == mini
    assert [name for name, *_ in before] == ["matanyone.model", "matanyone.engine", "matanyone.model_file"]
    assert "matanyone.engine" not in [name for name, *_ in after]


def test_alphas_are_those_of_the_command_line(artist: tuple[Path, dict[str, Any]], by_hand: Path) -> None:
    folder, told = artist
    assert (told["matte"]["outcome"], told["matte"]["frames"]) == ("finished", list(FRAMES))
    for frame in FRAMES:
        ours = read_image(folder / f"mattes/plate/v001/plate.{frame}.exr")
        alpha = read_image(by_hand / f"premult.{frame}.exr")[..., 3:]
        assert alpha.std() > 0.05
        assert np.array_equal(ours, alpha.repeat(4, axis=-1))


def test_alphas_are_near_the_true_ones(artist: tuple[Path, dict[str, Any]]) -> None:
    errors = []
    for frame in FRAMES:
        ours = read_image(artist[0] / f"mattes/plate/v001/plate.{frame}.exr")[..., 3]
        truth = read_image(ROOT / f"examples/truth/alpha.{frame}.exr")[..., -1]
        errors.append(float(np.abs(ours - truth).mean()))
    print("mean absolute error by frame", [round(error, 5) for error in errors])
    assert max(errors) < 0.02


def test_the_compositor_makes_what_the_command_line_makes(artist: tuple[Path, dict[str, Any]], by_hand: Path) -> None:
    folder, told = artist
    assert told["datablocks"]["groups"] == ["MatAnyone: plate"]
    assert "MatAnyone: plate" in told["datablocks"]["images"]
    composite, expected = read_image(folder / "comp.exr"), read_image(by_hand / "premult.1003.exr")
    assert expected[..., :3].max() > 0.05
    assert np.abs(composite - expected).max() <= 2**-10 * max(1.0, float(expected.max()))


def test_the_file_opens_and_renders_without_the_add_on(artist: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = artist
    assert np.array_equal(read_image(folder / "without.exr"), read_image(folder / "comp.exr"))


def test_a_matte_says_when_it_is_out_of_date(artist: tuple[Path, dict[str, Any]]) -> None:
    assert artist[1]["stale"]["stale"] == []
    assert artist[1]["stale after"]["stale"] == ["a mask"]


def test_nothing_is_left_behind(artist: tuple[Path, dict[str, Any]]) -> None:
    folder, told = artist
    for step in ("disable", "uninstall"):
        assert told[step]["types"] == []
        assert told[step]["operators"] == []
        assert told[step]["threads"] == []
        assert not told[step]["scene"]
    assert told["uninstall"]["files"] == []
    written = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    ours = {"mattes", "comp.exr", "without.exr", "shot.blend"}
    assert written - {"user", "engine", "cli", "orders.json", "blender.log"} == ours


# ------------------------------------------------------------------------------------------------ masks


def coverage(radius: float, feather: float, grid: int = 16) -> np.ndarray:
    """How much of each pixel a disc covers, with a linear ramp outside of it: averaged over grid x grid points."""
    at = (np.arange(WIDTH * grid) + 0.5) / grid, (np.arange(HEIGHT * grid) + 0.5) / grid
    away = np.hypot(at[0][None, :] - WIDTH / 2, at[1][:, None] - HEIGHT / 2) - radius
    value = np.clip(1 - away / feather, 0, 1) if feather else (away < 0).astype(np.float64)
    return value.reshape(HEIGHT, grid, WIDTH, grid).mean(axis=(1, 3))


@pytest.fixture(scope="module")
def drawn_masks(each_host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Soft and hard masks that Save Job File writes without an engine, then masks that move, with one."""
    root = tmp_path_factory.mktemp("masks")
    shot, centre = make_shot(root / "shot", count=4), (WIDTH / 2, HEIGHT / 2)
    with running(root / "engine", "--root", str(root)) as engine:
        told = each_host.does(
            root / "blender",
            *set_up(shot, root / "mattes"),
            ("mask", {"points": circle(centre, 12.3), "size": SMALL, "name": "hard"}),
            ("mask", {"points": circle(centre, 12.3), "size": SMALL, "name": "soft", "feather": 5.0}),
            ("painted", {"values": PAINTED.tolist(), "size": SMALL}),
            ("key", {"frame": 1001, "mask": "hard"}),
            ("key", {"frame": 1003, "mask": "soft"}),
            ("key", {"frame": 1004, "image": "painted"}),
            ("run", {"operator": "matanyone.save_job", "filepath": str(root / "job.json")}),
            ("found_in_another_file", {}),
            ("preferences", {"connection": str(engine.file)}),  # until now it has none
            *moving_masks(make_shot(root / "moves", count=6), root / "moving"),
        )  # fmt: skip
    assert not [line for line in told if not line["ok"]], told
    return root, told


def test_masks_are_soft_and_where_they_were_drawn(drawn_masks: tuple[Path, list[dict[str, Any]]]) -> None:
    """Save Job File writes them as Matte does, and needs no engine."""
    root, told = drawn_masks
    assert not next(line for line in told if line["order"] == "found_in_another_file")["found"]
    masks, painted = root / "mattes/masks/plate", PAINTED
    hard, soft, image = (read_image(masks / f"subject.{frame}.exr")[..., 0] for frame in (1001, 1003, 1004))
    assert np.array_equal(image, painted.astype(np.float32))
    errors = {}
    for name, drawn, feather in (("hard", hard, 0.0), ("soft", soft, 5.0)):
        error = np.abs(drawn - coverage(12.3, feather))
        edge = error[(coverage(12.3, feather) > 0) & (coverage(12.3, feather) < 1)]
        errors[name] = (float(error.max()), float(edge.mean()))
    print("mask against an analytic circle: name -> (largest, mean on the edge)", errors)
    assert errors["hard"][0] < 0.06
    assert errors["hard"][1] < 0.03
    assert errors["soft"][0] < 0.002


def moving_masks(shot: Shot, out: Path) -> list[Order]:
    """Draw a mask that is animated and one that hangs on a track, use each on two frames, and edit them."""
    x, y = WIDTH / 2, HEIGHT / 2
    return [
        *set_up(shot, out),
        ("setting", {"out": str(out / "{object}/{object}.####.exr")}),
        ("mask", {"points": circle((x - 10, y), 8), "size": SMALL, "name": "walks"}),
        ("animate", {"mask": "walks", "frame": 1001, "by": 0.0}),
        ("animate", {"mask": "walks", "frame": 1005, "by": 20 / WIDTH}),
        ("mask", {"points": circle((x, y), 8), "size": SMALL, "name": "hangs"}),
        ("track", {"mask": "hangs", "places": {1: (0.5, 0.5), 5: (0.5 + 10 / WIDTH, 0.5)}}),
        ("key", {"frame": 1001, "mask": "walks"}), ("key", {"frame": 1003, "mask": "walks"}),
        ("key", {"frame": 1001, "mask": "hangs", "object": 1}),
        ("key", {"frame": 1005, "mask": "hangs", "object": 1}),
        ("name_objects", {"names": ["one", "two"]}),
        MATTE,
        *(step for frame in (1001, 1002, 1005, 1006) for step in (("at", {"frame": frame}), ("stale", {}))),
        ("animate", {"mask": "walks", "frame": 1006, "by": 0.1}), ("stale", {}),
        ("animate", {"mask": "walks", "frame": 1003, "by": 0.1}), ("glance", {}),
        ("at", {"frame": 1006}), ("glance", {}), ("at", {"frame": 1003}), ("stale", {}),
        ("at", {"frame": 1006}), ("stale", {}),
        MATTE, ("stale", {}),
        ("track_again", {"frame": 3, "place": (0.4, 0.4)}), ("stale", {}),
        ("track_again", {"frame": 5, "place": (0.4, 0.4)}), ("stale", {}),
        ("save", {"file": str(out / "shot.blend")}),
        ("scene", {"blend": str(out / "shot.blend")}), ("stale", {}),
    ]  # fmt: skip


def test_masks_move_and_a_change_of_their_movement_is_seen(drawn_masks: tuple[Path, list[dict[str, Any]]]) -> None:
    """One that is animated and one that hangs on a track, each used on two frames."""
    (root, told), x = drawn_masks, WIDTH / 2
    masks, centres = root / "moving/masks/plate", {}
    for name, frame in (("one", 1001), ("one", 1003), ("two", 1001), ("two", 1005)):
        drawn = read_image(masks / f"{name}.{frame}.exr")[..., 0]
        centres[name, frame] = float((drawn.sum(axis=0) * (np.arange(WIDTH) + 0.5)).sum() / drawn.sum())
    print("centres of the masks", {key: round(value, 3) for key, value in centres.items()})
    edited = x + 0.1 * WIDTH  # half of the way from x - 10 to x + 10, and what was added at last
    expected = {("one", 1001): x - 10, ("one", 1003): edited, ("two", 1001): x, ("two", 1005): x + 10}
    assert all(abs(centres[key] - expected[key]) < 0.01 for key in expected)
    nothing, changed = [[], False, []], ["a mask"]
    assert [line["at once"] for line in told if line["order"] == "glance"] == [changed] * 2
    assert [[line["at once"], line["asked"], line["stale"]] for line in told if line["order"] == "stale"] == [
        *[nothing] * 4,  # wherever the playhead is
        [[], True, []],  # moved on a frame on which it is not used: the second Blender says so
        [changed, True, changed],
        [changed, False, changed],  # and the playhead is elsewhere
        nothing,
        nothing,  # the track, likewise
        [changed, False, changed],
        [changed, True, changed],  # in a file just opened it is asked once
    ]


# ------------------------------------------------------------------------------------------------ what files hold


def near_half(seen: np.ndarray, expected: np.ndarray) -> bool:
    """Whether pictures agree to the precision of half floats."""
    return bool(np.abs(seen - expected).max() <= 2**-10 * max(1.0, float(np.abs(expected).max())))


def composite(root: Path, frame: int, alpha: np.ndarray) -> np.ndarray:
    """What the group is to give: the plate times alpha (H, W), and the alpha."""
    plate = read_image(root / f"shot/plate.{frame}.exr")
    return np.concatenate([plate * alpha[..., None], alpha[..., None]], axis=-1)


@pytest.fixture(scope="module")
def laid_out(each_host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """One shot in each layout, and what the compositor makes of it: own colour, alphas, two objects in one file."""
    root = tmp_path_factory.mktemp("laid_out")
    shot = make_shot(root / "shot", count=2)

    def render(frame: int, name: str) -> Order:
        return ("render", {"frame": frame, "file": str(root / f"{name}.exr"), "size": SMALL})

    def setting(**values: Any) -> Order:
        return ("setting", {**values, **({"out": str(root / values["out"])} if "out" in values else {})})

    this_frame: Order = ("run", {"operator": "matanyone.matte_frame"})
    with running(root / "engine", "--root", str(root)) as engine:
        steps = [
            *plain(("preferences", {"connection": str(engine.file)}), *set_up(shot, root / "mattes"), MASK, KEY),
            *plain(setting(foreground=True)),
            ("own", MATTE),
            *plain(render(1002, "own"), ("save", {"file": str(root / "shot.blend")})),
            *plain(setting(foreground=False, out="alphas/{shot}.####.exr")),
            ("alphas", MATTE),
            *plain(render(1002, "plate")),
            # One frame in the subject's own colour, beside alphas only: 1001 would come out white.
            *plain(setting(foreground=True), ("at", {"frame": 1002})),
            ("one own", this_frame),
            *plain(render(1001, "other"), setting(foreground=False, files="layers"), ("at", {"frame": 1002})),
            ("one of layers", this_frame),
            *plain(render(1001, "no_layer"), render(1002, "a_layer")),
            # Two objects that overlap.
            *plain(("mask", {"points": circle((40.0, 24.0), 10), "size": SMALL, "name": "dog"})),
            *plain(("key", {"frame": 1001, "mask": "dog", "object": 1}), ("name_objects", {"names": ["hero", "dog"]})),
        ]
        for files in ("layers", "cryptomatte", "matte"):
            out = f"{files}/{{shot}}{'_{object}' if files == 'matte' else ''}.####.exr"
            steps += [*plain(setting(files=files, out=out)), (files, MATTE), (f"{files} there", ("datablocks", {}))]
            for name in ("", " dog"):  # the group of the first object keeps the name from before there were two
                steps += [(f"{files}{name} group", ("compose", {"group": f"MatAnyone: plate{name}"}))]
                steps += [(f"{files}{name}", render(1002, f"{files}{name}"))]
        steps += plain(("disable", {}), ("scene", {"blend": str(root / "shot.blend")}), render(1002, "without"))
        told = told_of(each_host, root / "blender", steps)
    return root, told


def test_the_group_gives_the_subjects_own_colour_where_asked(laid_out: tuple[Path, Told]) -> None:
    """And the plate's again, once that is asked; the file opens without the add-on."""
    root, told = laid_out
    assert [told[run]["frames"] for run in ("own", "alphas", "one own")] == [[1001, 1002], [1001, 1002], [1002]]
    older, shown = read_image(root / "alphas/plate.1001.exr"), read_image(root / "other.exr")
    assert np.array_equal(older[..., 0], older[..., 3])
    assert np.abs(shown[..., :3] - older[..., :3] * older[..., 3:]).max() > 0.1
    written, plate = read_image(root / "mattes/plate.1002.exr"), read_image(root / "shot/plate.1002.exr")
    own, alpha = written[..., :3], written[..., 3:]
    soft = (alpha > 0.05) & (alpha < 0.95)
    assert np.abs(own - plate)[soft[..., 0]].max() > 0.01  # else nothing would be tested
    for name in ("own", "without"):
        assert near_half(read_image(root / f"{name}.exr"), np.concatenate([own * alpha, alpha], axis=-1)), name
    assert near_half(read_image(root / "plate.exr"), composite(root, 1002, alpha[..., 0]))


def test_each_object_shows_its_own_alpha_whatever_the_files_hold(laid_out: tuple[Path, Told], each_host: Host) -> None:
    """Of layers and of a Cryptomatte each object's group picks the object; one image is enough for all of them.

    Before version 5, Blender allows no Cryptomatte node in a group: there one group shows all objects together.
    """
    root, told = laid_out
    alphas = {name: read_image(root / f"matte/plate_{name}.1002.exr")[..., 3] for name in ("hero", "dog")}
    total = np.maximum(alphas["hero"] + alphas["dog"], 1)
    assert total.max() > 1.05, "they overlap, else a Cryptomatte would not scale them"
    expected = dict.fromkeys(("matte", "layers"), alphas["hero"])
    expected |= {f"{files} dog": alphas["dog"] for files in ("matte", "layers")}
    if each_host.blender.version.startswith("4"):
        expected["cryptomatte"] = np.minimum(alphas["hero"] + alphas["dog"], 1)
    else:
        expected |= {"cryptomatte": alphas["hero"] / total, "cryptomatte dog": alphas["dog"] / total}
    for name, alpha in expected.items():
        assert told[name]["ok"], told[name]
        assert near_half(read_image(root / f"{name}.exr"), composite(root, 1002, alpha)), name
    assert told["layers group"]["image"] == told["layers dog group"]["image"] == "MatAnyone: plate"
    assert {"Combined", "Alpha", "dog", "hero"} <= set(told["layers dog group"]["sockets"])
    assert told["matte group"]["sockets"] == ["Image", "Alpha"]
    assert told["matte group"]["image"] != told["matte dog group"]["image"]


def test_the_asset_of_a_node_group_has_a_picture(laid_out: tuple[Path, Told]) -> None:
    _, told = laid_out
    picture = cv2.imread(str(ROOT / "blender_addon/asset.bmp"))[-1, 0, ::-1] / 255
    width, height, corner = told["layers dog group"]["preview"]
    assert (width, height) == (128, 128)
    assert corner == pytest.approx([*picture, 1.0], abs=1e-3)


def test_a_frame_without_the_layer_shows_nothing(laid_out: tuple[Path, Told]) -> None:
    """One frame was made as layers beside one that holds colour: that one is left out, and the panel says so."""
    root, told = laid_out
    assert told["one of layers"]["frames"] == [1002]
    assert "1 older ones of another layout are not shown" in told["one of layers"]["said"]
    assert read_image(root / "no_layer.exr")[..., 3].max() == 0
    alpha = read_image(root / "alphas/plate.1002.exr")[..., 3]
    assert alpha.std() > 0.05
    assert near_half(read_image(root / "a_layer.exr"), composite(root, 1002, alpha))


# ------------------------------------------------------------------------------------------------ what goes wrong


@contextmanager
def foreign_engine(folder: Path) -> Iterator[Path]:
    """Something that speaks version 2 of the protocol; its connection file."""
    context: zmq.Context[Any] = zmq.Context()
    sockets = [context.socket(zmq.ROUTER) for _ in range(2)]
    data, control = (f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}" for socket in sockets)
    file, over = folder / "foreign.json", threading.Event()
    write_connection(file, Connection(data, control, "t", "e", os.getpid(), "9.0"))

    def answer() -> None:
        while not over.is_set():
            for socket in sockets:
                if socket.poll(10):
                    socket.send_multipart([socket.recv_multipart()[0], b"", b"MAE1\x02\x00", b"{}"])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield file
    finally:
        over.set()
        thread.join()
        context.destroy(linger=0)


def keys(folder: Path) -> tuple[Path, Path]:
    """Keys of an engine, and those of a client that it does not know."""
    for name in ("known", "strange"):
        assert main(["keys", "new", str(folder / name)]) == 0
        assert main(["keys", "add", str(folder / name), "artist"]) == 0
    return folder / "known", next((folder / "strange").rglob("artist.key_secret"))


def test_what_goes_wrong_is_said_and_blender_stays_usable(host: Host, tmp_path: Path) -> None:
    shot, holed = make_shot(tmp_path / "shot", count=4), make_shot(tmp_path / "holed", count=4)
    (holed.folder / "plate.1003.exr").unlink()
    mattes, good = tmp_path / "mattes", set_up(shot, tmp_path / "mattes")
    ready = [*good, MASK, KEY]
    engine_keys, strange = keys(tmp_path)
    with (
        running(tmp_path / "engine", "--root", str(tmp_path)) as engine,
        running(tmp_path / "locked", "--root", str(tmp_path), "--keys", str(engine_keys)) as locked,
        foreign_engine(tmp_path) as foreign,
    ):
        told = host.does(
            tmp_path / "blender",
            *ready,
            ("preferences", {"connection": str(tmp_path / "none.json")}), MATTE,
            ("preferences", {"program": str(tmp_path / "python")}), MATTE,
            ("preferences", {"program": "", "connection": str(foreign)}), MATTE,
            ("preferences", {"engine": "REMOTE", "connection": str(locked.file)}), MATTE,
            ("preferences", {"client_key": str(strange)}), MATTE,
            ("preferences", {"engine": "LOCAL", "connection": str(engine.file)}),
            *set_up(holed, tmp_path / "of_another_plate"), MASK, KEY, MATTE,
            *good, MATTE,
            *good, MASK, ("key", {"frame": 1044, "mask": "roto"}), MATTE,
            *ready, ("setting", {"out": str(shot.mask / "under_a_file/{shot}.####.exr")}), MATTE,
            *set_up(shot, mattes, space="Non-Color"), MASK, KEY, MATTE,
            ("setting", {"color": "NAME", "color_name": "Nonsense Log"}), MATTE,
            *ready, ("painted", {"values": [[0.0, 1.0]] * 2, "size": (2, 2)}),
            ("key", {"frame": 1002, "image": "painted"}), MATTE,
            *ready, ("at", {"frame": 44}), ("run", {"operator": "matanyone.matte_frame"}),
            *ready, ("setting", {"model": "nobody"}), MATTE,
            *ready, ("area_at", {"frame": 2000}), MATTE,
            *ready, ("work_folder", {"blocked": True}), MATTE,
            ("work_folder", {"blocked": False}), MATTE,
        )  # fmt: skip
    ended = [line for line in told if line["order"] == "run"]
    print("\n".join(line.get("error", line.get("outcome", "")) for line in ended))
    said = [
        "expected the connection file of an engine", "which is no file", "protocol 1.x; the other side speaks 2.0",
        "expected this client's keys", "the engine does not know this client's key", "1003",
        "expected a mask on at least one frame", "1044", "Not a directory",
        "expected the plate's colour space", "Nonsense Log",
        "expected a mask image of the plate's size, 64x48, got 2x2", "expected a frame of the plate, 1001 to 1004",
        "expected a model that this engine has (toy), got 'nobody'",
        "expected painted areas on frames of the plate, 1001 to 1004, got one of subject on 2000",
        "expected to write masks into the extension's user folder",
    ]  # fmt: skip
    for line, words in zip(ended, said, strict=False):
        assert not line["ok"], words
        assert words in line["error"]
    assert ended[-1].get("outcome") == "finished", ended[-1]
    assert len(ended) == len(said) + 1
    others = [line for line in told if line["order"] != "run"]
    assert all(line["ok"] for line in others), others


def test_an_engine_that_is_killed_is_started_again_and_the_shot_goes_on(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The add-on starts the engine itself; it is killed when the first alphas are there."""
    shot = make_shot(tmp_path / "shot", count=16)
    connection = tmp_path / "run" / "engine.json"
    monkeypatch.setenv("MATANYONE_CONNECTION", str(connection))
    monkeypatch.setenv("MATANYONE_ENGINE_CACHE", str(tmp_path / "cache"))
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (tmp_path / "mattes/plate.1003.exr").exists():
            time.sleep(0.01)
        killed.append(find_engine(connection).pid)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    told = host.does(
        tmp_path / "blender",
        ("preferences", {"program": sys.executable}),
        *set_up(shot, tmp_path / "mattes"), ("setting", {"model": "mini", "working_size": 0}), MASK, KEY, MATTE,
        ("run", {"operator": "matanyone.engine", "what": "STOP"}),
    )  # fmt: skip
    killer.join()
    assert (told[-2].get("outcome"), told[-2].get("frames")) == ("finished", list(range(1001, 1017))), told
    assert "on disk" in told[-1]["test"]
    mask = tmp_path / "mattes/masks/plate/subject.1001.exr"
    command = [
        "matte",
        shot.plate,
        "--mask",
        f"{mask}@1001",
        "--accept-doubt",
        "--settle",
        "1",
        "--colorspace",
        "Linear Rec.709",
    ]
    command_line(*command, "--device", "cpu", "--out", str(tmp_path / "cli/a.####.exr"))
    for frame in range(1001, 1017):
        ours = read_image(tmp_path / f"mattes/plate.{frame}.exr")
        assert np.array_equal(ours, read_image(tmp_path / f"cli/a.{frame}.exr")), frame


def test_several_objects_a_fixed_mask_and_one_frame(host: Host, tmp_path: Path) -> None:
    """Two objects get a matte each; a mask that is mended re-runs the stretch it can reach, and no more."""
    shot = make_shot(tmp_path / "shot", count=6)
    (tmp_path / "deep").mkdir()
    with running(tmp_path / "engine", "--root", str(tmp_path)) as engine:
        told = host.does(
            tmp_path / "blender",
            ("preferences", {"connection": str(engine.file)}),
            *set_up(shot, tmp_path / "mattes", image=True),
            ("setting", {"out": str(tmp_path / "mattes/{object}/{shot}_{object}.####.exr")}),
            MASK,
            ("mask", {"points": circle((40.0, 20.0), 8), "size": SMALL, "name": "dog"}),
            ("mask", {"points": circle((WIDTH / 2, HEIGHT / 2), 11), "size": SMALL, "name": "fix"}),
            KEY,
            ("key", {"frame": 1001, "mask": "dog", "object": 1}),
            ("name_objects", {"names": ["hero", "dog"]}),
            ("at", {"frame": 1002}),
            ("run", {"operator": "matanyone.matte_frame"}),
            MATTE,
            ("datablocks", {}),
            ("key", {"frame": 1004, "mask": "fix"}),
            ("key", {"frame": 1006, "mask": "fix"}),
            ("stale", {}),
            ("run", {"operator": "matanyone.rerun"}),
            ("move", {"mask": "fix", "by": 0.02}),
            ("found_after", {"file": str(tmp_path / "deep" / "saved.blend")}),  # from now on its paths are relative
            ("run", {"operator": "matanyone.rerun"}),
        )  # fmt: skip
    assert not [line for line in told if not line["ok"]]
    runs = [line for line in told if line["order"] == "run"]
    assert [run["outcome"] for run in runs] == ["finished"] * 4
    assert (runs[0]["frames"], runs[1]["frames"]) == ([1002], list(range(1001, 1007)))
    groups = next(line["groups"] for line in told if line["order"] == "datablocks")
    assert groups == ["MatAnyone: plate dog", "MatAnyone: plate hero"]
    assert [line["stale"] for line in told if line["order"] == "stale"] == [["the settings", "a mask"]]
    assert next(line["found"] for line in told if line["order"] == "found_after")
    assert (tmp_path / "mattes/dog/plate_dog.1006.exr").is_file()
    print("written, unchanged by run", [(run["written"], run["unchanged"]) for run in runs])
    assert runs[3]["unchanged"] > 0


def test_a_mask_by_box_and_a_job_for_the_farm(host: Host, tmp_path: Path, manager: Manager) -> None:
    """The engine draws the first mask; the job file gives the alphas that Matte gives; a click corrects an alpha."""
    drawn = read_image(ROOT / "examples/mask.1001.exr")[..., 0] > 0.5
    rows, columns = np.nonzero(drawn.any(axis=1))[0], np.nonzero(drawn.any(axis=0))[0]
    box = [columns[0] / 640, 1 - rows[-1] / 360, columns[-1] / 640, 1 - rows[0] / 360]
    click = int(columns.mean()), int(rows[0] + 0.8 * (rows[-1] - rows[0]))
    with running(tmp_path / "engine", "--root", "/", model="mini") as engine:
        told = host.does(
            tmp_path / "blender",
            ("preferences", {"connection": str(engine.file), "flamenco": manager.address}),
            ("scene", {}),
            ("plate", {"file": str(ROOT / "examples/plate/plate.1001.exr"), "starts": 1001}),
            ("setting", {"out": str(tmp_path / "mattes/{shot}.####.exr"), "settle_passes": 1, "working_size": 180}),
            ("setting", {"use_range": True, "first": 1001, "last": 1002}),
            ("at", {"frame": 1001}),
            ("run", {"operator": "matanyone.point", "box": [float(value) for value in box]}),
            ("run", {"operator": "matanyone.key_to_spline"}),
            ("run", {"operator": "matanyone.submit", "segments": 2}),
            ("run", {"operator": "matanyone.save_job", "filepath": str(tmp_path / "job.json")}),
            MATTE,
            ("at", {"frame": 1002}),
            ("run", {"operator": "matanyone.point", "other": [click[0] / 640, 1 - click[1] / 360], "correct": True}),
            ("clicked", {"frame": 1002}),
            ("copy", {"file": str(tmp_path / "mattes/plate.1002.exr"), "to": str(tmp_path / "before.exr")}),
            ("run", {"operator": "matanyone.rerun"}),
            ("at", {"frame": 1003}),
            ("run", {"operator": "matanyone.point", "other": [0.5, 0.5], "correct": True}),
        )  # fmt: skip
    _check_correction(tmp_path, told[-7:], click)
    told = told[:-7]
    assert not [line for line in told if not line["ok"]]
    mask = read_image(tmp_path / "mattes/masks/plate/subject.1001.exr")[..., 0] > 0.5
    overlap = float((mask & drawn).sum() / (mask | drawn).sum())
    print("overlap of the mask by box with the artist's", round(overlap, 3), told[-3]["test"])
    assert overlap > 0.5
    clicked = read_image(tmp_path / "mattes/masks/plate/subject.1001.pointed1.exr")[..., 3] > 0.5
    assert (mask & clicked).sum() / (mask | clicked).sum() > 0.95, "the spline is the picture"
    (submitted,) = manager.taken
    assert submitted["settings"]["segments"] == 2
    handed, job = (
        json.loads(Path(file).read_text()) for file in (submitted["settings"]["job_file"], tmp_path / "job.json")
    )
    assert {**handed["job"], "nonce": ""} == {**job["job"], "nonce": ""}
    assert job["job"]["plate"].endswith("plate.####.exr")
    job["job"]["out"] = str(tmp_path / "farm/{shot}.####.exr")
    (tmp_path / "job.json").write_text(json.dumps(job))
    command_line("run", str(tmp_path / "job.json"), "--device", "cpu")
    for frame, ours in ((1001, "mattes/plate.1001.exr"), (1002, "before.exr")):
        assert np.array_equal(read_image(tmp_path / ours), read_image(tmp_path / f"farm/plate.{frame}.exr"))


def _check_correction(folder: Path, told: list[dict[str, Any]], click: tuple[int, int]) -> None:
    """A click beside the subject cuts from the alpha of frame 1002, makes it a key, and the run follows it."""
    *done, refused = told
    assert not [line for line in done if not line["ok"]]
    kept = next(line for line in done if line["order"] == "clicked")
    assert kept["source"] == "IMAGE"
    assert kept["pointing"]["other"] == [pytest.approx([click[0] / 640, 1 - click[1] / 360], abs=1e-6)]
    before, start = read_image(folder / "before.exr")[..., 3], read_image(Path(kept["pointing"]["start"]))[..., 3]
    assert np.array_equal(before, start), "the alpha that is corrected is kept: clicks can be taken up again"
    mask = read_image(Path(kept["file"]))[..., 3]
    rows, columns = np.mgrid[:360, :640]
    far = np.hypot(columns - click[0], rows - click[1]) > 0.3 * 360
    assert before[click[1], click[0]] > 0.9
    assert mask[click[1], click[0]] < 0.1
    assert np.array_equal(mask[far], before[far])
    run = done[-2]
    assert (run["outcome"], run["written"], run["unchanged"]) == ("finished", 1, 1), "the stretch of the key, no more"
    assert not refused["ok"]
    assert "expected a frame that has an alpha" in refused["error"]
