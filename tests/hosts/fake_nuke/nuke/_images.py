# SPDX-License-Identifier: Apache-2.0
"""Chooses where pixels are computed: here if this Python has OpenImageIO, else by a Python that has it
(FAKE_NUKE_PYTHON).

The helper gets the script as text and answers lines of JSON, so that the add-on can be run by the bare Pythons of
every Nuke and still render real files.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = importlib.util.find_spec("OpenImageIO") is not None
_helper: Any = None


def describe(node: Any, frame: float, view: str) -> tuple[list[str], tuple[int, int, float]]:
    """Return channels, width, height and pixel aspect. Raises RuntimeError as Nuke does."""
    if _HERE:
        from ._pixels import render

        image = render(node, frame, view)
        return sorted(image.planes), (image.width, image.height, image.aspect)
    channels, size = _asked("describe", node, frame, view)
    return list(channels), (int(size[0]), int(size[1]), float(size[2]))


def write(node: Any, frame: int, view: str) -> None:
    """Write one file of a Write. Raises RuntimeError as Nuke does."""
    if _HERE:
        from ._pixels import write as write_here

        write_here(node, frame, view)
    else:
        _asked("write", node, frame, view)


def _asked(do: str, node: Any, frame: float, view: str) -> Any:
    global _helper  # noqa: PLW0603
    from ._script import script_text

    if _helper is None:
        command = [os.environ["FAKE_NUKE_PYTHON"], "-c", "from nuke import _images; _images.serve()"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        _helper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, universal_newlines=True
        )
    order = {"do": do, "script": script_text(node._root()), "node": node._full_name(), "frame": frame, "view": view}
    _helper.stdin.write(json.dumps(order) + "\n")
    _helper.stdin.flush()
    said = json.loads(_helper.stdout.readline())
    if "failed" in said:
        raise RuntimeError(said["failed"])
    return said["done"]


def serve() -> None:
    """Run as the helper: a Nuke without callbacks that draws what it is told."""
    import nuke

    from . import _script

    for line in sys.stdin:
        order = json.loads(line)
        nuke.fake_start(gui=False)
        root = nuke.root()
        _script.load(order["script"], root)
        try:
            work = write if order["do"] == "write" else describe
            said = {"done": work(root.node(order["node"]), order["frame"], order["view"])}
        except RuntimeError as error:
            said = {"failed": str(error)}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
