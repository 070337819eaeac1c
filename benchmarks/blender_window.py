# SPDX-License-Identifier: Apache-2.0
"""The Blender extension in a window: pictures of its panels for docs/, and how long the UI stands still meanwhile.

    apt-get install blender xvfb xdotool python3-numpy imagemagick
    python benchmarks/blender_window.py --out docs/images      # pictures
    python benchmarks/blender_window.py --frames 24            # times, in a small window: software draws it here

Debian's Blender (3.4) has no extension system: the staged extension is run as an add-on of the old kind, with pyzmq
beside it. Newer Blenders come as the bpy module only, which has no window. Prints the longest times between two ticks
of a timer, idle and while a matte runs, and the longest time spent in the add-on's own code on the main thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2

from matanyone_engine.client.launcher import ensure_engine
from matanyone_engine.media.images import read_mask

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ROOT / "benchmarks" / "blender_window_inside.py"
MOST_S = 180
SCREEN = "1280x800x24"
OLD_KIND = {"name": "MatAnyone", "blender": (3, 4, 0), "version": (0, 1, 0), "category": "Compositing"}
PICTURES = ("blender_roto", "blender_running", "blender_result", "blender_preferences")


def main() -> None:
    """Stage, start an engine and a Blender, keep what they leave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blender", default="blender")
    parser.add_argument("--out", type=Path, help="make pictures, there")
    parser.add_argument("--frames", type=int, default=12)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _stage(folder / "scripts" / "addons" / "matanyone", folder / "libraries")
        engine = _engine(folder)
        try:
            told = _blender(args, folder)
        finally:
            os.kill(engine, signal.SIGTERM)
        for picture in PICTURES if args.out else ():
            args.out.mkdir(parents=True, exist_ok=True)
            _small(folder / f"{picture}.png", args.out / f"{picture}.png")
    print(json.dumps(told, indent=1))


def _stage(addon: Path, libraries: Path) -> None:
    sys.path.insert(0, str(ROOT / "blender_addon"))
    import build

    wheels = build.fetch(ROOT / ".wheels")
    build.stage(addon, wheels)
    with (addon / "__init__.py").open("a") as init:
        init.write(f"\nbl_info = {OLD_KIND}\n")
    ours = next(wheel for wheel in wheels if "cp311" in wheel.name and "manylinux" in wheel.name)
    zipfile.ZipFile(ours).extractall(libraries)


def _engine(folder: Path) -> int:
    """As the add-on starts one, with a single thread: what is measured is not a fight over cores. Its process."""
    file = folder / "run" / "engine.json"
    os.environ.update(OMP_NUM_THREADS="1", MATANYONE_ENGINE_CACHE=str(folder / "cache"))
    command = [sys.executable, "-m", "matanyone_engine", "serve", "--device", "cpu", "--root", "/"]
    return ensure_engine(file, [*command, f"--state={folder / 'state'}"]).pid


def _blender(args: argparse.Namespace, folder: Path) -> object:
    command = ["xvfb-run", "-a", "-s", f"-screen 0 {SCREEN}", args.blender, "--factory-startup", "--no-window-focus"]
    command += ["--window-geometry", "0", "0", *(("1280", "800") if args.out else ("480", "320"))]
    command += ["--python", str(INSIDE), "--"]
    orders = {"folder": str(folder), "root": str(ROOT), "frames": args.frames, "points": _outline()}
    orders |= {"pictures": args.out is not None}
    environment = {
        **os.environ,
        "BLENDER_USER_SCRIPTS": str(folder / "scripts"),
        "PYTHONPATH": str(folder / "libraries"),
    }
    environment |= {"LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "1"}
    log, told = folder / "blender.log", folder / "told.json"
    with log.open("wb") as said:
        limited = ["timeout", str(MOST_S), *command, json.dumps(orders)]
        subprocess.run(limited, env=environment, stdout=said, stderr=said, check=False)
    if not told.exists():
        sys.exit(log.read_text()[-4000:])
    return json.loads(told.read_text())


def _outline() -> list[list[float]]:
    """Points around the example's mask, every 14 pixels: what an artist would draw."""
    mask = read_mask(ROOT / "examples" / "mask.1001.exr", (640, 360))
    found, _ = cv2.findContours((mask > 0.5).astype("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [[float(x) + 0.5, float(y) + 0.5] for x, y in max(found, key=cv2.contourArea)[::14, 0, :]]


def _small(picture: Path, out: Path) -> None:
    """A picture of a UI has few colours."""
    if shutil.which("convert"):
        subprocess.run(
            ["convert", str(picture), "-strip", "-dither", "None", "-colors", "200", f"PNG8:{out}"], check=True
        )
    else:
        shutil.copyfile(picture, out)


if __name__ == "__main__":
    main()
