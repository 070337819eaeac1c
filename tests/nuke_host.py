# SPDX-License-Identifier: Apache-2.0
"""Puts the add-on as installed into the fake Nuke of this process; the Nuke tests share it."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
from shots import HEIGHT, WIDTH, write_image
from toy import disc, plates

from matanyone_engine.cli.nuke import install

FAKE = Path(__file__).resolve().parent / "hosts" / "fake_nuke"
FIRST, LAST = 1001, 1006
SQUARE = [(20.0, 10.0), (44.0, 10.0), (44.0, 38.0), (20.0, 38.0)]
"""A mask, in Nuke's pixels."""


def installed(folder: Path) -> Path:
    """Return the add-on where NUKE_PATH would name it, without wheels: this Python has pyzmq."""
    install(folder, [])
    return folder


class Host:
    """Holds one fake Nuke with the add-on in it."""

    def __init__(self, nuke_path: Path) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] in ("matanyone_nuke", "nuke", "nk")]:
            del sys.modules[name]
        sys.path[:0] = [str(FAKE), str(nuke_path)]
        try:
            self.nuke, self.nk = importlib.import_module("nuke"), importlib.import_module("nk")
            self.node = importlib.import_module("matanyone_nuke.node")
            self.plan = importlib.import_module("matanyone_nuke.plan")
            self.jobs = importlib.import_module("matanyone_nuke.jobs")
        finally:
            del sys.path[:2]
        self._path = nuke_path
        self.session = self.nuke.session

    def start(self, *, gui: bool, version: str = "14.0v1") -> None:
        """Start a new Nuke, which runs init.py, and menu.py if it has a GUI."""
        self.nuke.fake_start(gui, version)
        self.node.RUNS.clear()
        self.session.gizmos["MatAnyone"] = str(self._path / "MatAnyone.gizmo")
        for name in ("init.py", "menu.py") if gui else ("init.py",):
            exec(compile((self._path / name).read_text(), name, "exec"), {})

    def save(self, folder: Path) -> None:
        """Give the script a name: its mattes go beside it."""
        self.nuke.scriptSave(str(folder / "shot.nk"))

    def read(self, pattern: Path, first: int = FIRST, last: int = LAST) -> Any:
        """Make a Read, as an artist has it."""
        read = self.nuke.nodes.Read()
        read["file"].setValue(str(pattern))
        for name, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
            read[name].setValue(value)
        return read

    def roto(self, over: Any, keys: dict[int, list[tuple[float, float]]]) -> Any:
        """Draw a shape on some frames."""
        roto = self.nuke.nodes.Roto()
        roto.setInput(0, over)
        shape = self.nuke._Shape()
        for frame, polygon in keys.items():
            shape.key(frame, polygon)
        roto["curves"].rootLayer.append(shape)
        return roto

    def matanyone(self, plate: Any, mask: Any, connection: Path, **knobs: Any) -> Any:
        """Make a MatAnyone node on this plate and mask."""
        node = self.node.create()
        node.setInput(0, plate)
        node.setInput(1, mask)
        for name, value in {"engine": str(connection), "start_engine": False, "warm_up": 1, **knobs}.items():
            node[name].setValue(value)
        return node

    def press(self, node: Any, button: str) -> None:
        """Press a button as the artist does."""
        node[button].execute()

    def run_of(self, node: Any) -> Any:
        return self.node.RUNS[node["matanyone_id"].value()]

    def until(self, condition: Any, seconds: float = 60.0) -> None:
        """Let the event loop run."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.session.messages
            self.session.pump()
            time.sleep(0.005)
        self.session.pump()

    def matted(self, node: Any, button: str = "matte_range") -> Any:
        """Press, wait, and what came of it."""
        self.press(node, button)
        run = self.run_of(node)
        self.until(lambda: not run.running())
        return run.outcome

    def folder(self, node: Any) -> Path:
        """Return where its mattes go."""
        return Path(node["matte"].getEvaluatedValue()).parent


def make_plate(folder: Path, first: int = FIRST, count: int = LAST - FIRST + 1, view: str = "") -> Path:
    """Write scene-linear plates, half, with a pixel aspect, and return the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    dot = f".{view}" if view else ""
    for number, plate in enumerate(plates(count, HEIGHT, WIDTH, seed=len(view) + 1)):
        frame = first + number
        name = f"plate{dot}.{'-' if frame < 0 else ''}{abs(frame):04d}.exr"
        write_image(folder / name, plate.permute(1, 2, 0).numpy(), ("R", "G", "B"), PixelAspectRatio=2.0)
    return folder / f"plate{dot}.####.exr"


def make_mask(path: Path) -> Path:
    """Write a soft mask as an alpha."""
    write_image(path, disc(HEIGHT, WIDTH).numpy()[..., None], ("A",), oiio.FLOAT)
    return path


def alphas(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the mattes' files by their names."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.exr"))}


def pixels(path: Path) -> np.ndarray:
    """Return (H, W) of the alpha."""
    image = oiio.ImageBuf(str(path))
    return image.get_pixels(oiio.FLOAT)[..., image.spec().alpha_channel]
