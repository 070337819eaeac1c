# SPDX-License-Identifier: Apache-2.0
"""Draws the second series of clips, which `matanyone-engine draw` writes. The first series, synthetic.py, is the
benchmark's.

It has what the first series lacks: threads, leaves and prints that are solid; few and plain veils; people who come
close, turn away and back, wave fast hands, and have big hair; subjects that fill the frame, are cut by it, or are
darker than their background; and clips that are long enough for the network to forget the first frame.

Rules of this file:
1. A clip is a function of its number and of the photographs that clothes are cut from: the same pixels every time.
2. Only foregrounds are drawn here. augment.py adds backgrounds, cameras, light and grain.
3. The files have the layout of the public matting sets ({fgr,pha}/<clip>/<frame>), so that one loader reads both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from matanyone_engine.training.drawing import Paper, Wardrobe
from matanyone_engine.training.figures import Figure
from matanyone_engine.training.objects import Animal, Gear, Plant, Textile, Veil, Yarn
from matanyone_engine.training.pictures import write_picture
from matanyone_engine.training.synthetic import Layer, Rng, as_bytes, unpremultiplied

SEED = 20262
SIZES = ((384, 448), (512, 640))
"""Height, width of the canvas: larger than the training crops, so that a crop can look close."""
LENGTHS = (10, 16, 24)
FINE = 2
"""The supersampling factor of the paper, for frames without motion blur."""
INSTANTS = 3, 12
"""The fewest and the most instants that are averaged for a frame with motion blur."""

Painter = Callable[[Paper, float], None]
KINDS: dict[str, Callable[[Rng, Wardrobe, tuple[int, int]], Painter]] = {
    "figure": Figure,
    "textile": Textile,
    "yarn": Yarn,
    "plant": Plant,
    "animal": Animal,
    "gear": Gear,
    "veil": Veil,
}
KIND_SHARES = {"figure": 0.7, "textile": 0.06, "yarn": 0.03, "plant": 0.07, "animal": 0.07, "gear": 0.05, "veil": 0.02}
"""How often each kind is drawn: mostly people, as shots are."""


@dataclass(frozen=True)
class ClipPlan:
    """Holds the properties of a clip, which are drawn before its frames."""

    kind: str
    size: tuple[int, int]
    length: int
    shutter: float
    """The part of a frame's time for which the shutter is open; 0 gives no motion blur."""
    defocus: float
    pace: float
    dark: bool

    @classmethod
    def of(cls, number: int, kind: str | None = None) -> ClipPlan:
        """Return the plan of clip `number`. kind: the kind of subject; None lets the number decide."""
        rng = np.random.default_rng([SEED, number, 0])
        shares = np.array(list(KIND_SHARES.values()))
        drawn = str(rng.choice(list(KIND_SHARES), p=shares / shares.sum()))
        return cls(
            kind or drawn,
            SIZES[int(rng.integers(len(SIZES)))],
            int(rng.choice(LENGTHS, p=[0.45, 0.25, 0.3])),
            float(rng.uniform(0.3, 0.9)) if rng.random() < 0.33 else 0.0,
            float(rng.uniform(0.6, 2.5)) if rng.random() < 0.12 else 0.0,
            float(rng.choice([0.5, 1.0, 1.0, 1.5])),
            bool(rng.random() < 0.22),
        )


def draw_clip(
    number: int, length: int | None = None, textures: list[Path] | None = None, kind: str | None = None
) -> Iterator[Layer]:
    """Draw the frames of clip `number`. The number decides about all arguments that are None."""
    plan = ClipPlan.of(number, kind)
    rng = np.random.default_rng([SEED, number, 1])
    draw = KINDS[plan.kind](rng, Wardrobe(rng, textures or [], plan.dark), plan.size)
    for frame in range(length or plan.length):
        layer = exposed(draw, plan.size, frame * plan.pace, plan.shutter * plan.pace)
        yield _defocused(layer, plan.defocus)


def exposed(draw: Painter, size: tuple[int, int], time: float, shutter: float) -> Layer:
    """Draw a frame: an instant, or the mean of the time in which the shutter is open. More motion takes more
    instants.
    """
    if not shutter:
        return _instant(draw, size, time, FINE)
    first, last = (_instant(draw, size, time + t * shutter, 1) for t in (0.0, 1.0))
    moved = float(np.abs(first.alpha - last.alpha).mean() + np.abs(first.rgb - last.rgb).mean())
    count = int(np.clip(INSTANTS[0] + 250 * moved, *INSTANTS))
    between = [_instant(draw, size, time + shutter * k / (count - 1), 1) for k in range(1, count - 1)]
    rgb, alpha = (sum(parts[1:], parts[0]) / count for parts in zip(first, *between, last, strict=True))
    return Layer(rgb, alpha)


def _instant(draw: Painter, size: tuple[int, int], time: float, fine: int) -> Layer:
    paper = Paper(size, fine)
    draw(paper, time)
    return paper.layer()


def _defocused(layer: Layer, sigma: float) -> Layer:
    if not sigma:
        return layer
    return Layer(cv2.GaussianBlur(layer.rgb, (0, 0), sigma), cv2.GaussianBlur(layer.alpha, (0, 0), sigma))


# -- files ------------------------------------------------------------------------------------------------------------


def write_clip(root: Path, number: int, length: int | None = None, textures: list[Path] | None = None) -> None:
    """Write clip `number`, 8 bits: ROOT/fgr/<number>/<frame>.jpg, straight, and ROOT/pha/<number>/<frame>.png."""
    name, partial = f"{number:06d}", root / "partial" / f"{number:06d}"
    for frame, layer in enumerate(draw_clip(number, length, textures)):
        straight, alpha = as_bytes(unpremultiplied(layer)), as_bytes(layer.alpha)
        write_picture(partial / "fgr" / f"{frame:04d}.jpg", straight[..., ::-1])
        write_picture(partial / "pha" / f"{frame:04d}.png", alpha)
    for part in ("fgr", "pha"):  # a training run that starts meanwhile gets complete clips only: it lists pha
        (root / part).mkdir(exist_ok=True)
        if (root / part / name).exists():
            shutil.rmtree(root / part / name)
        (partial / part).rename(root / part / name)
    partial.rmdir()


def is_written(root: Path, number: int, length: int | None = None) -> bool:
    """Return whether write_clip finished this clip."""
    return (root / "pha" / f"{number:06d}" / f"{(length or ClipPlan.of(number).length) - 1:04d}.png").is_file()
