#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cut people out of studio portraits: colours and alphas with real hair for the bundled model's training.

    python examples/mini/portraits.py --photographs /data/portraits --out /data/mini --cache /data/packages

The photographs are official portraits of members of the US Congress, works of the US government and in the public
domain, collected by github.com/unitedstates/images; the small copies that were used are those of
github.com/Hainish/congress-images-225x275. The people can be recognised: nothing of them is committed or shipped.

How a matte is made: MediaPipe's selfie segmentation (Apache-2.0; its weights are read out of the wheel) says roughly
where the person is, a smooth surface is fitted to the colours of the studio's backdrop around them, what is clearly
person and what clearly has the backdrop's colour become a trimap, and closed-form matting solves what lies between.
REJECTED names the photographs whose matte looked wrong when all of them were looked at.

Writes OUT/mat_img/Portraits/{fgr,pha}/*.png (training) and OUT/held_out/portraits/{fgr,pha}/*.png, a tenth that is
never trained on; --sheets writes contact sheets to look at. Needs pymatting and ai-edge-litert.
"""

from __future__ import annotations

import argparse
import subprocess
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from pymatting import estimate_alpha_cf, estimate_foreground_ml

Pixels = NDArray[Any]

WHEEL = "mediapipe==0.10.14"
SEGMENTATION = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
BUSY = 7.0
"""Largest root mean square distance (CIELAB, 8 bits) of a backdrop from the surface fitted to it."""
GRADED = 70.0
"""Largest range of a backdrop's lightness (CIELAB, 8 bits): mattes before steeper ones came out with blocky rims."""
HELD_OUT = 10
"""One portrait in so many is kept for testing."""

REJECTED = {
    **dict.fromkeys(("A000370", "B001295", "H001071", "M001196", "N000189"), "ragged edge"),
    **dict.fromkeys(("B001257", "C001106", "G000571", "H001036", "H001037", "S001172"), "faded clothes"),
    "R000581": "backdrop kept",
}
"""Photographs whose matte is wrong to the eye: what is wrong with it."""


class Unusable(Exception):
    """Says in two words why a photograph gives no matte."""


class Segmenter:
    """Answers roughly where the person is."""

    def __init__(self, cache: Path) -> None:
        self.interpreter = Interpreter(model_content=_weights(cache), num_threads=1)
        self.interpreter.allocate_tensors()
        self.into = self.interpreter.get_input_details()[0]["index"]
        self.out = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, picture: Pixels) -> Pixels:
        """Return the likelihood (H, W) that a pixel of an 8-bit RGB picture shows the person."""
        self.interpreter.set_tensor(self.into, cv2.resize(picture, (256, 256)).astype(np.float32)[None] / 255)
        self.interpreter.invoke()
        return cv2.resize(self.interpreter.get_tensor(self.out)[0, :, :, 0], picture.shape[1::-1])


def _weights(cache: Path) -> bytes:
    folder = cache / "fetched" / "pypi-mediapipe"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("*.whl")):
        subprocess.run(["pip", "download", "--no-deps", "--quiet", WHEEL], cwd=folder, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return wheel.read(SEGMENTATION)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut people out of studio portraits.")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="where packages are kept")
    parser.add_argument("--sheets", type=Path, help="also write contact sheets into this folder")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    segmenter, came = Segmenter(arguments.cache), Counter[str]()
    pages = Pages(arguments.sheets) if arguments.sheets else None
    for path in sorted(arguments.photographs.glob("*.jpg")):
        if path.stem in REJECTED:
            came[REJECTED[path.stem]] += 1
            continue
        try:
            colours, alpha = matte(cv2.imread(str(path))[..., ::-1], segmenter)
        except Unusable as reason:
            came[str(reason)] += 1
            continue
        held_out = zlib.crc32(path.stem.encode()) % HELD_OUT == 0
        folder = arguments.out / ("held_out/portraits" if held_out else "mat_img/Portraits")
        write(folder / "fgr" / f"{path.stem}.png", colours[..., ::-1])
        write(folder / "pha" / f"{path.stem}.png", alpha)
        came["held out" if held_out else "for training"] += 1
        if pages:
            pages.add(path.stem, colours, alpha)
    if pages:
        pages.flush()
    print(", ".join(f"{count} {what}" for what, count in came.most_common()))


def write(path: Path, unit: Pixels) -> None:
    """Write 0..1 as 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.round(255 * np.clip(unit, 0, 1)).astype(np.uint8))


# -- one photograph ---------------------------------------------------------------------------------------------------


def matte(picture: Pixels, segmenter: Segmenter) -> tuple[Pixels, Pixels]:
    """Return straight colours (H, W, 3) and alpha (H, W), 0..1, of the person in an 8-bit RGB picture; raises
    Unusable.
    """
    likely = segmenter(picture)
    distance, spread = from_backdrop(picture, likely)
    unit = picture.astype(np.float64) / 255
    alpha = cleaned(estimate_alpha_cf(unit, trimap(likely, distance, spread)))
    return estimate_foreground_ml(unit, alpha), alpha


def from_backdrop(picture: Pixels, likely: Pixels) -> tuple[Pixels, float]:
    """Return the distance (H, W) of every pixel's colour from the backdrop expected behind it, and the backdrop's own
    spread.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    height, width = likely.shape
    y, x = (axis.ravel() for axis in np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    seen = (cv2.dilate((likely > 0.1).astype(np.uint8), np.ones((15, 15))) == 0).ravel()
    if seen.mean() < 0.12:
        raise Unusable("no backdrop")
    if np.subtract(*np.percentile(lab[seen, 0], (95, 5))) > GRADED:
        raise Unusable("graded backdrop")
    for _ in range(3):  # flags and picture frames must not bend the surface
        surface = terms @ np.linalg.lstsq(terms[seen], lab[seen], rcond=None)[0]
        distance = np.linalg.norm(lab - surface, axis=1)
        spread = float(np.sqrt((distance[seen] ** 2).mean()))
        if spread > BUSY:
            raise Unusable("busy backdrop")
        seen &= distance < 3 * max(spread, 1.0)
    return distance.reshape(height, width), spread


def trimap(likely: Pixels, distance: Pixels, spread: float) -> Pixels:
    """Return 1 for person, 0 for backdrop, 0.5 for what is to be solved."""
    person = cv2.erode((likely > 0.9).astype(np.uint8), np.ones((9, 9))) > 0
    around = cv2.dilate((likely > 0.3).astype(np.uint8), np.ones((7, 7))) > 0
    near = cv2.dilate((likely > 0.5).astype(np.uint8), np.ones((31, 31))) > 0
    backdrop = ((distance < max(3.0, 1.6 * spread)) & ~around) | ~near
    return np.where(person, 1.0, np.where(backdrop, 0.0, 0.5))


def cleaned(alpha: Pixels) -> Pixels:
    """Make the alpha solid where it is nearly solid and empty where nearly empty, without islands and without small
    holes.
    """
    alpha = np.clip((alpha - 0.04) / 0.92, 0, 1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.1).astype(np.uint8), connectivity=8)
    alpha = alpha * (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    inside = cv2.erode(_filled(alpha > 0.5), np.ones((7, 7)), borderValue=1) > 0
    return np.where(inside, np.maximum(alpha, inside), alpha)


def _filled(mask: Pixels) -> Pixels:
    """Return the mask without holes: what cannot be reached from the top or the sides."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = [n for n in range(1, len(stats)) if stats[n, cv2.CC_STAT_AREA] < 0.004 * mask.size]
    return (mask | np.isin(labels, small)).astype(np.uint8)


# -- contact sheets ---------------------------------------------------------------------------------------------------


class Pages:
    """Draws pictures over a saturated colour and their alphas, many on a page, each with its name."""

    ACROSS, DOWN = 8, 3

    def __init__(self, folder: Path) -> None:
        self.folder, self.cells, self.number = folder, [], 0  # type: ignore[var-annotated]
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, colours: Pixels, alpha: Pixels) -> None:
        """Add one more; a full page is written."""
        over = colours * alpha[..., None] + np.array([0.1, 0.9, 0.2]) * (1 - alpha[..., None])
        cell = np.concatenate([over, np.repeat(alpha[..., None], 3, axis=2)])
        cell = np.ascontiguousarray(255 * np.clip(cell, 0, 1)[..., ::-1]).astype(np.uint8)
        cv2.putText(cell, name, (4, cell.shape[0] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 255), 2, cv2.LINE_AA)
        self.cells.append(cell)
        if len(self.cells) == self.ACROSS * self.DOWN:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        if not self.cells:
            return
        blank = np.zeros_like(self.cells[0])
        cells = self.cells + [blank] * (-len(self.cells) % self.ACROSS)
        rows = [np.concatenate(cells[k : k + self.ACROSS], axis=1) for k in range(0, len(cells), self.ACROSS)]
        cv2.imwrite(str(self.folder / f"{self.number:03d}.png"), np.concatenate(rows))
        self.cells, self.number = [], self.number + 1


if __name__ == "__main__":
    main()
