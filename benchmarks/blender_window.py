# SPDX-License-Identifier: Apache-2.0
"""Tests the Blender extension in a window: how long the UI freezes, what a mouse and keys do, and what is on the
screen.

    python benchmarks/blender_window.py times --frames 24          # in a small window: software draws it here
    python benchmarks/blender_window.py hands                      # box and clicks, ESC, windows closed, undo, quitting
    python benchmarks/blender_window.py tour --out dist/window     # the ten steps: make blender-window
    python benchmarks/blender_window.py fresh                      # from the zip to the first matte: clicks, seconds

The bpy module has no window, so this needs a Blender of 4.2 or later, xvfb, xdotool, imagemagick. Debian has 4.3.2 in
trixie and 5.2.2 in sid; on an older Debian, as root, with 3 GB:

    apt-get install debootstrap xvfb
    debootstrap trixie /opt/trixie http://deb.debian.org/debian
    chroot /opt/trixie apt-get install blender python3-numpy xdotool imagemagick
    for each in /dev /proc /tmp /work; do mkdir -p /opt/trixie$each; mount --bind $each /opt/trixie$each; done
    python benchmarks/blender_window.py --blender "chroot /opt/trixie blender" times

The zip is built, and installed into an empty user folder. `times` prints the time between two ticks of a timer: while
nothing happens, with the redrawing of a run but no run, and while a matte runs; and how long the add-on's code took.
`fresh` starts with an empty user folder, counts a second for each click, and runs entries of menus as operators.
`tour` checks its pictures (blender_screens.py), and fails where one is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import blender_screens
import cv2
import numpy as np
import OpenImageIO as oiio

from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.launcher import ensure_engine, find_engine
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.plates import open_plate
from matanyone_engine.wire.messages import Status

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "plate"
INSIDE = ROOT / "benchmarks" / "blender_window_inside.py"
MOST_S = 1500
SIZE = {"times": (640, 480), "hands": (1280, 800), "tour": (1280, 800), "fresh": (1280, 800)}
EXAMPLE, HD = (640, 360), (1280, 720)
PALM = (0.39, 0.43)
"""Where the raised hand is on frame 1006 of the example, 0..1 from the top left: a correction cuts it off."""
CLICK_MS = 300
"""The longest time, in milliseconds, until a click shows its mask on a plate of 720 lines."""


def main() -> None:
    """Build the extension, start an engine and a Blender, and report the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=sorted(SIZE))
    parser.add_argument("--blender", default="", help="how to call it; else one that is found here")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="where pictures go")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--only", default="", help="of hands or tour: parts by their names, such as animated")
    parser.add_argument("--program", default=sys.executable, help="of fresh: the engine's, as Blender finds it")
    parser.add_argument("--size", default="", help="of the window, such as 1280x800")
    parser.add_argument(
        "--realtime",
        default="",
        metavar="CORE",
        help="as root: give the window alone real-time priority on this core, so that other work does not count",
    )
    args = parser.parse_args()
    args.blender = args.blender or find_blender()
    refuse_missing(args.blender)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, str(ROOT / "blender_addon/build.py"), "--out", str(folder)], check=True)
        engine = 0 if args.what == "fresh" else _engine(folder)  # the add-on starts it then
        try:
            told = _blender(args, folder)
            if args.what == "hands" and not args.only:
                told |= _afterwards(folder)
        finally:
            if engine:
                os.kill(engine, signal.SIGTERM)
        for picture in sorted(folder.glob("blender_*.png")) if args.what in ("tour", "fresh") else ():
            _small(picture, args.out / picture.name)
        wrong = {}
        if args.what == "tour" and not args.only:
            told["seen"] = blender_screens.seen(folder, told)
            wrong = {name: why for name, why in told["seen"].items() if why} | _refuted(told, args.frames)
    print(json.dumps(told, indent=1))
    if wrong:
        sys.exit("\n".join(f"not so: {name}: {why}" for name, why in wrong.items()))


def find_blender() -> str:
    """Return how to call a Blender that has a window: one on the path, or in a Debian beside this one (/opt/NAME)."""
    if shutil.which("blender"):
        return "blender"
    found = sorted(Path("/opt").glob("*/usr/bin/blender"))
    return f"chroot {found[0].parents[2]} blender" if found else ""


def refuse_missing(blender: str) -> None:
    """Raise SystemExit where something is not here that a window needs, and say what it is."""
    missing = (
        [] if blender else ["a Blender with a window (the bpy module has none): apt-get install blender, or --blender"]
    )
    tools = {"xvfb-run": "xvfb", "xdotool": "xdotool", "import": "imagemagick", "convert": "imagemagick"}
    missing += [f"{tool}: apt-get install {package}" for tool, package in tools.items() if not shutil.which(tool)]
    if missing:
        sys.exit("\n".join(("This needs what is not here:", *(f"  {each}" for each in missing), __doc__)))


def _refuted(told: dict[str, Any], frames: int) -> dict[str, str]:
    """Return what a tour has shown to be otherwise than docs/blender.md says, with the picture to look at."""
    x, y = (round(part * side) for part, side in zip(PALM, HD, strict=True))
    slow = [each for each in told["click to mask, ms"] if each > CLICK_MS]  # the box comes before them
    said = {
        "Blender ends as it should": told["exit code"] == 0,
        "Match Scene takes the plate's size and first frame": told["matched"] == [*HD, 1],
        "Test says what answers": told["test"].startswith("engine"),
        "the clicked mask became a key, without the click that Z took back": told["clicked"] == [1001, "IMAGE", 2],
        f"each click shows its mask within {CLICK_MS} ms": not slow,
        "the matte is finished": told["outcome"] == "finished",
        "strokes became the area of their frame, without the one that Z took back": told["area"]
        == [[1000 + frames // 2, [[False, True], [True, True]]]],
        "turning an edge control wrote the mattes anew, and resetting it did so again": told["edges"]
        == ["finished", "finished"],
        "Enter made a correction key": told["corrected"] == [[1001, "MASK"], [1000 + frames, "IMAGE"]],
        "a click took the hand out of the matte": read_alpha(Path(told["correction"]))[y, x] < 0.1,
        "the changed stretch was run again": told["corrected said"].startswith("finished"),
        "nothing of ours goes on in another file": told["file opened while clicking"] == [True, False, None],
    }
    return {name: "see above" for name, right in said.items() if not right}


def _engine(folder: Path) -> int:
    """Start an engine as the add-on does, with a single thread, so that what is measured is not a fight over cores.
    Returns its process.
    """
    os.environ.update(OMP_NUM_THREADS="1", MATANYONE_ENGINE_CACHE=str(folder / "cache"))
    command = [sys.executable, "-m", "matanyone_engine", "serve", "--device", "cpu", "--root", "/"]
    return ensure_engine(folder / "run" / "engine.json", [*command, f"--state={folder / 'state'}"], 900.0).pid


def _blender(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    width, height = map(int, args.size.split("x")) if args.size else SIZE[args.what]
    first = ["chrt", "--rr", "1", "taskset", "--cpu-list", args.realtime] if args.realtime else []
    command = [*first, "timeout", str(MOST_S), "xvfb-run", "-a", "-s", f"-screen 0 {width}x{height}x24"]
    command += [*shlex.split(args.blender), "--factory-startup", "--window-geometry", "0", "0", str(width), str(height)]
    orders = {"folder": str(folder), "root": str(ROOT), "frames": args.frames, "points": _outline(), "what": args.what}
    orders["plate"] = str(_plate(folder, args.frames) if args.what == "tour" else EXAMPLES / "plate.1001.exr")
    orders |= {"palm": list(PALM), "only": args.only.split(",") if args.only else [], "program": args.program}
    orders["background"] = ["chrt", "--other", "0"] if args.realtime else []  # of what Blender itself starts
    orders["zip"] = str(next(folder.glob("matanyone-*.zip")))
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")}
    environment |= {"LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "1"}
    log, told = folder / "blender.log", folder / "told.json"
    with log.open("wb") as said:
        arguments = [*command, "--python", str(INSIDE), "--", json.dumps(orders)]
        ended = subprocess.run(arguments, env=environment, stdout=said, stderr=said, check=False)
    if not told.exists():
        for picture in folder.glob("gave_up.png"):
            shutil.copy(picture, tempfile.gettempdir())
        sys.exit(log.read_text()[-4000:])
    return {**json.loads(told.read_text()), "exit code": ended.returncode}


def _plate(folder: Path, frames: int) -> Path:
    """Write the example's first frames at 720 lines; the first one's file."""
    (folder / "plate").mkdir()
    source = open_plate(str(EXAMPLES / "plate.####.exr"))
    for frame in range(1001, 1001 + frames):
        large = cv2.resize(source.read(frame).rgb, HD, interpolation=cv2.INTER_CUBIC)
        image = oiio.ImageBuf(oiio.ImageSpec(*HD, 3, oiio.HALF))
        image.set_pixels(oiio.ROI.All, np.maximum(large, 0))
        if not image.write(str(folder / "plate" / f"plate.{frame}.exr")):
            raise OSError(image.geterror())
    return folder / "plate" / "plate.1001.exr"


def _afterwards(folder: Path) -> dict[str, Any]:
    """Report on the run that Blender left behind when it was quit, and on the mask by box."""
    client = EngineClient(lambda: find_engine(folder / "run" / "engine.json"), "benchmark")
    with client:
        deadline = time.monotonic() + 20
        while (report := client.call(Status())).activity != "idle" and time.monotonic() < deadline:
            time.sleep(0.2)
    made = next((folder / "matte" / "masks").rglob("*.pointed1.exr"))
    ours, drawn = (read_mask(file, EXAMPLE) > 0.5 for file in (made, ROOT / "examples" / "mask.1001.exr"))
    overlap = float((ours & drawn).sum() / (ours | drawn).sum())
    return {"engine after quitting": report.activity, "overlap of the mask by box with the artist's": round(overlap, 3)}


def _outline() -> list[list[float]]:
    """Points around the example's mask, every 14 pixels: what an artist would draw."""
    mask = read_mask(ROOT / "examples" / "mask.1001.exr", EXAMPLE)
    found, _ = cv2.findContours((mask > 0.5).astype("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [[float(x) + 0.5, float(y) + 0.5] for x, y in max(found, key=cv2.contourArea)[::14, 0, :]]


def _small(picture: Path, out: Path) -> None:
    """Save a picture with few colours, which is all that one of a UI has."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = ["convert", str(picture), "-strip", "-dither", "None", "-colors", "256", f"PNG8:{out}"]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
