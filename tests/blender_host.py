# SPDX-License-Identifier: Apache-2.0
"""Runs a real Blender with the extension in it, and has it do what tests want (hosts/blender_artist.py)."""

from __future__ import annotations

import json
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blender_extension import Blender
from shots import HEIGHT, WIDTH, Shot

ARTIST = Path(__file__).parent / "hosts" / "blender_artist.py"
SMALL = (WIDTH, HEIGHT)

Order = tuple[str, dict[str, Any]]
Told = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Host:
    """Holds a Blender, and what is installed into it."""

    blender: Blender
    zip_file: Path

    def does(self, folder: Path, *orders: Order) -> list[dict[str, Any]]:
        """Return what became of the orders, in a process with a clean user folder and our extension in it."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "orders.json"
        file.write_text(json.dumps([("install", {"zip": str(self.zip_file)}), *orders]))
        done = subprocess.run(
            [str(self.blender.python), str(ARTIST), str(file)],
            env={**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user")},
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,  # of a machine that does other things as well
        )
        (folder / "blender.log").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, f"exit code {done.returncode} after\n{done.stdout}{done.stderr}"
        told = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("said ")]
        assert told[0]["ok"], told[0]
        return told[1:]


def told_of(host: Host, folder: Path, steps: list[tuple[str, Order]]) -> Told:
    """Return what became of each order by its label."""
    told = host.does(folder, *(order for _, order in steps))
    failed = [line for (label, _), line in zip(steps, told, strict=True) if not label and not line["ok"]]
    assert not failed, failed
    return {label: line for (label, _), line in zip(steps, told, strict=True) if label}


def plain(*orders: Order) -> list[tuple[str, Order]]:
    """Return orders of which nobody asks what became of them."""
    return [("", order) for order in orders]


def circle(centre: tuple[float, float], radius: float, clockwise: bool = True) -> list[tuple[float, ...]]:
    """Return eight bezier points that are a circle to 4 parts in a million of its radius."""
    points, steps = [], 8
    reach = 4 / 3 * math.tan(math.pi / (2 * steps)) * radius
    for step in range(steps):
        angle = 2 * math.pi * step / steps * (1 if clockwise else -1)
        x, y = centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)
        dx, dy = -math.sin(angle) * reach, math.cos(angle) * reach
        dx, dy = (dx, dy) if clockwise else (-dx, -dy)
        points.append((x, y, x - dx, y - dy, x + dx, y + dy))
    return points


def set_up(shot: Shot, out: Path, **plate: Any) -> list[Order]:
    """Return the orders for a new scene with the small shot as its plate."""
    return [
        ("scene", {}),
        ("plate", {"file": str(shot.folder / "plate.1001.exr"), "starts": 1001, **plate}),
        ("setting", {"model": "toy", "settle_passes": 1, "out": str(out / "{shot}.####.exr")}),
    ]


MASK: Order = ("mask", {"points": circle((WIDTH / 2, HEIGHT / 2), 12), "size": SMALL})
KEY: Order = ("key", {"frame": 1001, "mask": "roto"})
MATTE: Order = ("run", {"operator": "matanyone.matte"})
