# SPDX-License-Identifier: Apache-2.0
"""A real Blender loads every layout. `make test` installs one (the bpy wheel)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from blender_extension import BLENDERS
from shots import HEIGHT, WIDTH, make_shot, read_image

from matanyone_engine.cli.main import main
from matanyone_engine.media.images import read_plate
from matanyone_engine.media.layouts import COMPRESSIONS, LAYOUTS, LOSSY, Delivery, FrameContent, compose
from matanyone_engine.media.mattes import write_picture

READER = Path(__file__).parent / "read_in_blender.py"
WHY_NOT = BLENDERS[0].missing if BLENDERS else "no Blender named: run make test-blender"

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

OBJECTS = ("alice", "böb 2", "gone")


class Seen:
    """What Blender made of a set of files, in one run of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._orders: list[dict[str, object]] = []
        self._said: list[dict[str, list[str] | str]] = []

    def ask(self, image: Path, **order: object) -> int:
        """An order for read_in_blender.py; its number."""
        number = len(self._orders)
        if order.pop("pixels", False):
            order["pixels"] = str(self.folder / f"{number}.npy")
        else:
            order["sockets"] = str(self.folder / str(number))
        self._orders.append({"image": str(image), "size": (WIDTH, HEIGHT), **order})
        return number

    def run(self) -> None:
        """Let Blender work."""
        orders = self.folder / "orders.json"
        orders.write_text(json.dumps(self._orders))
        done = subprocess.run(
            [str(BLENDERS[0].python), str(READER), str(orders)], capture_output=True, text=True, check=True
        )
        self._said = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("said ")]

    def said(self, number: int) -> dict[str, list[str] | str]:
        return self._said[number]

    def pixels(self, number: int) -> np.ndarray:
        """(H, W, 4) of the Image datablock."""
        return np.load(self.folder / f"{number}.npy")

    def socket(self, number: int, name: str) -> np.ndarray:
        """(H, W, C) that a socket gave; Blender 4.2 writes one channel of a number, later ones four."""
        return read_image(next((self.folder / str(number)).glob(f"{name}.0001.*exr")))


def alphas() -> dict[str, np.ndarray]:
    """Two soft discs that overlap; the third object is not in this frame. Exact in half."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    discs = [np.clip(1.5 - np.hypot(y - 24, x - at) / 12, 0, 1) for at in (20, 34)]
    return {name: disc.astype(np.float16).astype(np.float32) for name, disc in zip(OBJECTS, discs, strict=False)}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> FrameContent:
    shot = make_shot(tmp_path_factory.mktemp("plate"), count=1)
    read = read_plate(shot.folder / "plate.1001.exr")
    return FrameContent(read.header, alphas(), read.canvas)


@pytest.fixture(scope="module")
def written(plate: FrameContent, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """'layout compression' -> file."""
    folder = tmp_path_factory.mktemp("written")
    files = {}
    for layout in LAYOUTS:
        for compression in COMPRESSIONS:
            if layout == "cryptomatte" and compression in LOSSY:
                continue
            path = folder / f"{layout}_{compression}.exr"
            write_picture(path, compose(Delivery(layout, compression), plate, OBJECTS, {"model": "mini"}, ".exr"))
            files[f"{layout} {compression}"] = path
    for layout in ("matte", "layers"):
        path = folder / f"{layout}_parts.exr"
        write_picture(path, compose(Delivery(layout, foreground=True, split=2), plate, OBJECTS, {}, ".exr"))
        files[f"{layout} parts"] = path
    return files


@pytest.fixture(scope="module")
def seen(written: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, dict[tuple[str, str], int]]:
    """Every file loaded in every way that a test below asks for."""
    blender = Seen(tmp_path_factory.mktemp("seen"))
    numbers = {}
    for name, path in written.items():
        layout = name.partition(" ")[0]
        if layout in ("layers", "cryptomatte") or name.endswith(" parts"):
            numbers[name, "sockets"] = blender.ask(path)
        else:
            mode = "CHANNEL_PACKED" if LAYOUTS[layout].straight else "PREMUL"
            numbers[name, mode] = blender.ask(path, alpha_mode=mode, pixels=True)
        if layout == "cryptomatte":
            for who in OBJECTS:
                numbers[name, who] = blender.ask(path, cryptomatte=who)
    numbers["straight zips", "convert"] = blender.ask(written["straight zips"], convert=True)
    blender.run()
    return blender, numbers


def union(plate: FrameContent) -> np.ndarray:
    return np.minimum(sum(plate.alphas.values()), 1)


def near(values: np.ndarray, expected: np.ndarray, lossy: bool = False) -> bool:
    """To half precision; after a lossy codec, on average."""
    if lossy:
        return bool(np.abs(values - expected).mean() < 0.03 * np.abs(expected).mean())
    return bool(np.abs(values - expected).max() <= 2**-11 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layout", ["matte", "alpha", "straight", "premult"])
def test_flat_layouts_load_as_images(
    plate: FrameContent, seen: tuple[Seen, dict[tuple[str, str], int]], layout: str, compression: str
) -> None:
    blender, numbers = seen
    number = numbers[f"{layout} {compression}", "CHANNEL_PACKED" if layout == "straight" else "PREMUL"]
    assert blender.said(number)["type"] == "IMAGE"  # MULTILAYER would hide its pixels from the Image editor
    pixels, alpha, lossy = blender.pixels(number), union(plate), compression in LOSSY
    assert near(pixels[..., 3], alpha)  # also after a lossy codec
    assert plate.plate is not None
    rgb = {
        "matte": np.repeat(alpha[..., np.newaxis], 3, axis=-1),
        "straight": plate.plate,
        "premult": plate.plate * alpha[..., np.newaxis],
    }
    if layout in rgb:  # of 'alpha', Blender's R, G, B are anything (DR002)
        assert near(pixels[..., :3], rgb[layout], lossy)


def test_the_foreground_loads_as_it_was_written(
    written: dict[str, Path], seen: tuple[Seen, dict[tuple[str, str], int]]
) -> None:
    blender, numbers = seen
    number = numbers["foreground zips", "CHANNEL_PACKED"]
    assert blender.said(number)["type"] == "IMAGE"
    assert near(blender.pixels(number), read_image(written["foreground zips"]))


@pytest.mark.parametrize("layout", ["matte", "layers"])
def test_foreground_core_and_edge_are_sockets_of_the_image_node(
    plate: FrameContent, written: dict[str, Path], seen: tuple[Seen, dict[tuple[str, str], int]], layout: str
) -> None:
    """As written, by OpenEXR's own package; and core and edge add up to the alpha in Blender too."""
    blender, numbers = seen
    number = numbers[f"{layout} parts", "sockets"]
    assert blender.said(number)["type"] == "MULTILAYER"
    assert {"Combined", "fg", "core", "edge"} <= set(blender.said(number)["sockets"])
    stored = {
        name: each.pixels for name, each in OpenEXR.File(str(written[f"{layout} parts"]), True).channels().items()
    }
    foreground = np.stack([stored[f"fg.{name}"] for name in "RGB"], axis=-1).astype(np.float32)
    core, edge = (blender.socket(number, name)[..., 0] for name in ("core", "edge"))
    assert foreground.std() > 0.01
    assert near(blender.socket(number, "fg")[..., :3], foreground)
    assert near(core, stored["core.A"].astype(np.float32))
    assert near(edge, stored["edge.A"].astype(np.float32))
    assert core.max() == 1
    assert near(core + edge, union(plate))


def test_straight_colours_go_through_alpha_convert(
    plate: FrameContent, seen: tuple[Seen, dict[tuple[str, str], int]]
) -> None:
    blender, numbers = seen
    image = blender.socket(numbers["straight zips", "convert"], "Image")
    assert plate.plate is not None
    assert near(image[..., :3], plate.plate * union(plate)[..., np.newaxis])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_layers_are_sockets_of_the_image_node(
    plate: FrameContent, seen: tuple[Seen, dict[tuple[str, str], int]], compression: str
) -> None:
    blender, numbers = seen
    number = numbers[f"layers {compression}", "sockets"]
    assert blender.said(number) == {"type": "MULTILAYER", "sockets": ["Combined", "Alpha", "alice", "bob_2", "gone"]}
    assert near(blender.socket(number, "alice")[..., 0], plate.alphas["alice"])
    assert near(blender.socket(number, "bob_2")[..., 0], plate.alphas["böb 2"])
    assert not blender.socket(number, "gone")[..., 0].any()
    assert near(blender.socket(number, "Combined")[..., 3], union(plate))


@pytest.mark.parametrize("compression", [name for name in COMPRESSIONS if name not in LOSSY])
def test_the_cryptomatte_node_gives_every_object_back(
    plate: FrameContent, seen: tuple[Seen, dict[tuple[str, str], int]], compression: str
) -> None:
    blender, numbers = seen
    total = np.maximum(sum(plate.alphas.values()), 1)
    for who in OBJECTS:
        number = numbers[f"cryptomatte {compression}", who]
        expected = plate.alphas.get(who, np.zeros_like(total)) / total
        assert np.abs(blender.socket(number, "Matte")[..., 0] - expected).max() < 1e-6, who
    number = numbers[f"cryptomatte {compression}", "sockets"]
    assert near(blender.socket(number, "Combined")[..., 3], union(plate))


def test_the_default_of_the_command_line(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=2)
    assert main(shot.arguments()) == 0
    blender = Seen(tmp_path)
    number = blender.ask(shot.alpha(1002), alpha_mode="PREMUL", pixels=True)
    blender.run()
    alpha = read_image(shot.alpha(1002))[..., 3]
    assert blender.said(number)["type"] == "IMAGE"
    assert alpha.std() > 0.05
    assert near(blender.pixels(number), np.repeat(alpha[..., np.newaxis], 4, axis=-1))
