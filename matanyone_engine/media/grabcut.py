# SPDX-License-Identifier: Apache-2.0
"""A first mask without any weights: GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) through OpenCV.

Subject and surroundings are two mixtures of colours, learned from what the artist has marked; the cut between them is
the cheapest one along edges of the picture.

Rules of this file:
1. The same prompts give the same mask: OpenCV's random numbers start anew each time.
2. OpenCV's GrabCut takes 8-bit pictures. It decides about whole pixels only, at a small size; the soft edge is made
   afterwards from the float plate (matting/refine.py).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import MaskError
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.prompts import Prompts, Stroke

SHORTEST_SIDE = 360
"""Of the picture that is cut, at most: GrabCut takes seconds there, and on larger ones it sees texture, not shapes."""
ROUNDS = 5
SMALLEST_PART = 0.02
"""Islands and holes smaller than this part of the largest one are noise, unless the artist has marked them."""

METHOD = f"GrabCut of OpenCV {cv2.__version__}, {ROUNDS} rounds, shorter side at most {SHORTEST_SIDE}"
"""For a file's header."""

Labels = npt.NDArray[np.uint8]

_SHIFT = 4
"""Binary digits after the point of coordinates that are drawn."""


def grabcut(seen: FloatImage, prompts: Prompts) -> FloatImage:
    """seen: (H, W, 3) sRGB 0..1; prompts: as they apply to it (Prompts.on) -> (h, w) float32, 0 or 1.

    h and w are at most SHORTEST_SIDE on the shorter side. Raises MaskError where the prompts leave no background, or
    nothing is found.
    """
    height, width = seen.shape[:2]
    scale = min(1.0, SHORTEST_SIDE / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = np.rint(255.0 * cv2.resize(seen, size, interpolation=cv2.INTER_AREA)).astype(np.uint8)
    labels = marked(prompts, (width, height), size)
    if not _is(labels, cv2.GC_BGD).any() and not _is(labels, cv2.GC_PR_BGD).any():
        raise MaskError(
            expected="some of the plate outside of the box, to learn what is not the subject",
            came="a box around all of it",
            action="Draw the box closer, or add a stroke beside the subject: --point x,y,-.",
        )
    certain = labels.copy()
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    unused = (0, 0, 0, 0)
    cv2.grabCut(picture, labels, unused, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    inside = _is(labels, cv2.GC_FGD) | _is(labels, cv2.GC_PR_FGD)
    return cleaned(inside, certain).astype(np.float32)


def marked(prompts: Prompts, full: tuple[int, int], size: tuple[int, int]) -> Labels:
    """What is known and likely before the first round, as OpenCV's labels (h, w). full, size: (width, height)."""
    across, down = size[0] / full[0], size[1] / full[1]
    labels = np.full(size[::-1], cv2.GC_PR_BGD, np.uint8)
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box
        labels[:] = cv2.GC_BGD
        rows = slice(int(y0 * down), max(int(y0 * down) + 1, round(y1 * down)))
        labels[rows, int(x0 * across) : max(int(x0 * across) + 1, round(x1 * across))] = cv2.GC_PR_FGD
    assert prompts.brush is not None
    for stroke in prompts.strokes:
        _draw(labels, stroke, (across, down), prompts.brush)
    return labels


def _draw(labels: Labels, stroke: Stroke, scale: tuple[float, float], brush: float) -> None:
    """A stroke as a line with round ends, at least one pixel wide."""
    value = cv2.GC_FGD if stroke.subject else cv2.GC_BGD
    # OpenCV counts from the middle of the first pixel.
    at = [np.rint((np.array(point) * scale - 0.5) * (1 << _SHIFT)).astype(int) for point in stroke.points]
    thickness = max(1, round(brush * min(scale)))
    for start, end in zip(at, at[1:] or at, strict=False):
        cv2.line(labels, start.tolist(), end.tolist(), int(value), thickness, cv2.LINE_8, _SHIFT)


def cleaned(inside: npt.NDArray[np.bool_], certain: Labels) -> npt.NDArray[np.bool_]:
    """Without islands and holes that are small and that nobody has marked. Raises MaskError where nothing is left."""
    kept = _without_small(inside, _is(certain, cv2.GC_FGD))
    if not kept.any():
        raise MaskError(
            expected="a subject that differs from what is around it",
            came="nothing that could be told from its surroundings",
            action="Draw strokes on the subject (--point x,y,+) and beside it (--point x,y,-).",
        )
    holes = ~kept
    return ~_without_small(holes, _is(certain, cv2.GC_BGD), of=kept)


def _without_small(
    parts: npt.NDArray[np.bool_], marks: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Connected parts that are marked or large. of: what large is measured by; None is the parts themselves."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    largest = areas[1:].max(initial=0) if of is None else of.sum()
    keep = areas >= max(1.0, SMALLEST_PART * largest)
    keep[np.unique(numbers[marks & parts])] = True
    keep[0] = False
    return np.asarray(keep[numbers], dtype=np.bool_) if count > 1 else np.zeros_like(parts)


def _is(labels: Labels, value: int) -> npt.NDArray[np.bool_]:
    return np.asarray(labels == value)
