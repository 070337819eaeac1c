# SPDX-License-Identifier: Apache-2.0
"""Puts small shots on disk: real EXR plates, real masks, and weights of a toy network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
from toy import disc, plates, toy_network

from matanyone_engine.model import save_checkpoint

HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True)
class Shot:
    """Says where the files of a shot are."""

    folder: Path
    first: int
    last: int
    weights: Path

    @property
    def plate(self) -> str:
        return str(self.folder / "plate.####.exr")

    @property
    def mask(self) -> Path:
        return self.folder / "mask.exr"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def arguments(self, *options: str) -> list[str]:
        """Return a whole 'matte' command line; later options win."""
        mask = [] if "--mask" in options else ["--mask", str(self.mask)]
        command = ["matte", self.plate, *mask, "--out", str(self.out / "alpha.####.exr")]
        return [*command, "--model", str(self.weights), "--settle", "1", "--accept-doubt", *options]

    def alpha(self, frame: int) -> Path:
        return self.out / f"alpha.{frame:04d}.exr"

    def written(self) -> list[str]:
        """Return names in the output folder, hidden ones included, but for the run's record and ledger."""
        names = sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []
        return [name for name in names if not name.endswith((".matanyone.json", ".made"))]


def write_image(
    path: Path, pixels: np.ndarray, channels: tuple[str, ...], kind: Any = oiio.HALF, **header: Any
) -> None:
    """Write (H, W, C) floats as an image file whose data window is its display window."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind)
    spec.channelnames = channels
    for name, value in header.items():
        spec.attribute(name, value)
    image = oiio.ImageBuf(spec)
    image.set_pixels(oiio.ROI.All, np.ascontiguousarray(pixels, dtype=np.float32))
    if not image.write(str(path)):
        raise OSError(image.geterror())


def read_image(path: Path) -> np.ndarray:
    """Return (H, W, C) float32."""
    image = oiio.ImageBuf(str(path))
    pixels = image.get_pixels(oiio.FLOAT)
    assert not image.has_error, image.geterror()
    return pixels


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each EXR file by its name, but for the time at which it was written."""
    date = re.compile(rb"2\d{3}:\d\d:\d\d \d\d:\d\d:\d\d")
    return {path.name: date.sub(b"", path.read_bytes()) for path in folder.glob("*.exr")}


def make_shot(folder: Path, first: int = 1001, count: int = 6) -> Shot:
    """Write plates of a drifting pattern in scene-linear light, a soft mask, toy weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, plate in enumerate(plates(count, HEIGHT, WIDTH)):
        frame = first + number
        name = f"plate.{'-' if frame < 0 else ''}{abs(frame):04d}.exr"
        write_image(folder / name, plate.permute(1, 2, 0).numpy(), ("R", "G", "B"), PixelAspectRatio=2.0)
    write_image(folder / "mask.exr", disc(HEIGHT, WIDTH).numpy()[..., None], ("Y",), oiio.FLOAT)
    save_checkpoint(toy_network(), folder / "toy.safetensors")
    return Shot(folder, first, first + count - 1, folder / "toy.safetensors")
