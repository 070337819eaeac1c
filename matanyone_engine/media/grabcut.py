# SPDX-License-Identifier: Apache-2.0
"""Makes a first mask without weights, with OpenCV: strokes give a shape, colours give its edge.

    strokes -> watershed (Meyer 1991): what each stroke reaches before a stroke of the other side does
            -> GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) in a band around that shape, first at half the
               size, then near the edge that this has found

GrabCut alone learns the colours of all that is in the box, the wall behind the subject included. Where both have the
same colours, one more stroke may then change the whole mask. In a band around a shape that strokes have made, each
stroke improves the mask (benchmarks/README.md). With a box and no stroke on the subject, there is no shape yet, and
GrabCut decides about the whole box.

Rules of this file:
1. The same prompts give the same mask: the seed of OpenCV's random numbers is set each time.
2. OpenCV needs 8-bit pictures here. It decides about whole pixels, at a small size; the soft edge is made afterwards
   from the float plate (matting/refine.py).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import MaskError
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.prompts import SHORTEST_SIDE, Prompts, Stroke, rough_size
from matanyone_engine.sizes import Size

BAND = 0.1
"""How far the edge may lie from the shape that strokes have made, as a part of the shorter side."""
REACH = 0.2
"""How far from a stroke a correction may change a mask, as a part of the shorter side."""
NARROW = 4
"""Pixels on either side of the edge that was found at half the size, in which it is decided at the whole size."""
ROUNDS, ROUNDS_OF_A_BOX = 2, 5
"""How often GrabCut learns colours and cuts: with strokes on the subject, and with a box alone."""
SMOOTHED = 1.5
"""Standard deviation, in pixels, of the blur before the watershed, which removes grain."""
SMALLEST_PART = 0.02
"""Islands and holes smaller than this part of the subject are removed as noise, unless the artist has marked them."""

METHOD = f"watershed and GrabCut of OpenCV {cv2.__version__}, shorter side at most {SHORTEST_SIDE}"
"""For a file's header."""

Labels = npt.NDArray[np.uint8]
"""OpenCV's labels, (h, w): GC_BGD and GC_FGD are certain, GC_PR_BGD and GC_PR_FGD are open, that is to be decided."""
Where = npt.NDArray[np.bool_]

_SHIFT = 4
"""Number of binary digits after the point in coordinates for OpenCV's drawing."""
_LEAST_SAMPLES = 5
"""The fewest pixels of subject and of background: OpenCV's mixture of colours has so many components."""
_SAMPLES_AT_HALF = 100
"""The fewest pixels of subject and of background from which colours are learned at half the size."""
_LEAST_SIDE = 100
"""The smallest side, in pixels, of a picture after it was halved; a smaller picture is not halved."""
_MIXTURE = 65
"""How many numbers describe OpenCV's mixture of colours."""
_UNUSED = (0, 0, 0, 0)
"""The rectangle for cv2.grabCut(), which ignores it where there are labels."""


def grabcut(seen: FloatImage, prompts: Prompts, start: FloatImage | None = None) -> FloatImage:
    """Return a rough mask, (h, w) float32 0 or 1, from `seen`, (H, W, 3) sRGB 0..1, and prompts (Prompts.on()).

    start: a mask (H, W) 0..1 that is corrected: it changes near the strokes alone. (h, w) is rough_size().
    Raises MaskError where the prompts leave no background, or no subject is found.
    """
    plate = Size(*seen.shape[:2])
    rough = rough_size(plate)
    picture = np.rint(255.0 * cv2.resize(seen, rough.resolution, interpolation=cv2.INTER_AREA)).astype(np.uint8)
    known = marked(prompts if start is None else replace(prompts, box=None), plate, rough)
    if start is not None:
        known = corrected(known, cv2.resize(start, rough.resolution, interpolation=cv2.INTER_AREA) > 0.5)
    on_subject = known == cv2.GC_FGD
    if on_subject.any():
        labels, rounds = around(shape(picture, known), known), ROUNDS
    else:
        labels, rounds = known.copy(), ROUNDS_OF_A_BOX
    _check_both_sides(labels)
    labels = cut(picture, labels, rounds)
    return cleaned(inside_of(labels), on_subject, known == cv2.GC_BGD).astype(np.float32)


def cut(picture: npt.NDArray[np.uint8], labels: Labels, rounds: int) -> Labels:
    """Decide about each open pixel of labels (h, w). picture: (h, w, 3) sRGB. rounds: how often colours are learned.

    Colours are learned near the open pixels alone, since those far away say little. If that part of the picture lacks
    subject or background, the whole picture is used.
    """
    part = _around_open(labels, max(1, round(BAND * min(labels.shape))))
    if part is None or min(_on_sides(labels[part])) < _LEAST_SAMPLES:
        part = (slice(None), slice(None))
    decided = labels.copy()
    decided[part] = _cut_in_two_sizes(np.ascontiguousarray(picture[part]), np.ascontiguousarray(labels[part]), rounds)
    return decided


def _around_open(labels: Labels, margin: int) -> tuple[slice, slice] | None:
    """Return the box, as rows and columns, of all open pixels and `margin` pixels around; None if none is open."""
    is_open = _is_open(labels)
    rows, columns = np.flatnonzero(is_open.any(axis=1)), np.flatnonzero(is_open.any(axis=0))
    if not rows.size:
        return None
    top, bottom, left, right = (int(each) for each in (rows[0], rows[-1], columns[0], columns[-1]))
    return slice(max(0, top - margin), bottom + margin + 1), slice(max(0, left - margin), right + margin + 1)


def _cut_in_two_sizes(picture: npt.NDArray[np.uint8], labels: Labels, rounds: int) -> Labels:
    """Decide about each open pixel. All rounds but the last run at half the size, if enough pixels of subject and
    background remain there; the last one decides near the edge that they have found.
    """
    colours = (np.zeros((1, _MIXTURE)), np.zeros((1, _MIXTURE)))
    cv2.setRNGSeed(0)
    decided, half = labels.copy(), (labels.shape[1] // 2, labels.shape[0] // 2)
    small = _resized(labels, half) if min(half) >= _LEAST_SIDE else None
    if small is None or min(_on_sides(small)) < _SAMPLES_AT_HALF:
        cv2.grabCut(picture, decided, _UNUSED, *colours, rounds, cv2.GC_INIT_WITH_MASK)
        return decided
    fewer = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    cv2.grabCut(fewer, small, _UNUSED, *colours, rounds - 1, cv2.GC_INIT_WITH_MASK)
    enlarged = inside_of(_resized(small, (labels.shape[1], labels.shape[0])))
    is_open = _is_open(labels)
    decided[is_open] = _near_its_edge(enlarged)[is_open]
    part = _around_open(decided, margin=1)
    if part is not None:
        near_edge = np.ascontiguousarray(decided[part])
        cv2.grabCut(np.ascontiguousarray(picture[part]), near_edge, _UNUSED, *colours, 1, cv2.GC_EVAL)
        decided[part] = near_edge
    return decided


def _near_its_edge(inside: Where) -> Labels:
    """Return labels (h, w) of a shape that are open within NARROW pixels of its edge, and certain elsewhere."""
    wide = np.ones((2 * NARROW + 1, 2 * NARROW + 1), np.uint8)
    filled = inside.astype(np.uint8)
    labels = np.where(inside, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[inside & (cv2.erode(filled, wide) == 0)] = cv2.GC_PR_FGD
    labels[~inside & (cv2.dilate(filled, wide) > 0)] = cv2.GC_PR_BGD
    return labels


def _resized(labels: Labels, size: tuple[int, int]) -> Labels:
    """Return labels at another size, (width, height)."""
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def inside_of(labels: Labels) -> Where:
    """Return the pixels that are on the subject, certainly or probably."""
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def _is_open(labels: Labels) -> Where:
    """Return the pixels that are to be decided."""
    return np.asarray((labels == cv2.GC_PR_FGD) | (labels == cv2.GC_PR_BGD))


def _on_sides(labels: Labels) -> tuple[int, int]:
    """Return how many pixels are on the subject, and how many are beside it."""
    inside = int(inside_of(labels).sum())
    return inside, labels.size - inside


# -------------------------------------------------------------------------------------------------------- strokes


def marked(prompts: Prompts, plate: Size, rough: Size) -> Labels:
    """Return the labels (h, w) that prompts give, at the rough size. The prompts are in pixels of the plate."""
    across, down = rough.width / plate.width, rough.height / plate.height
    labels = np.full(rough, cv2.GC_PR_BGD, np.uint8)
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box
        left, top = int(x0 * across), int(y0 * down)
        labels[:] = cv2.GC_BGD
        labels[top : max(top + 1, round(y1 * down)), left : max(left + 1, round(x1 * across))] = cv2.GC_PR_FGD
    assert prompts.brush is not None
    for stroke in prompts.strokes:
        _draw(labels, stroke, (across, down), prompts.brush)
    return labels


def _draw(labels: Labels, stroke: Stroke, scale: tuple[float, float], brush: float) -> None:
    """Draw a stroke as a line with round ends, at least three pixels wide, so that there are colours to learn from."""
    value = cv2.GC_FGD if stroke.subject else cv2.GC_BGD
    # OpenCV's coordinates begin in the middle of the first pixel.
    at = [np.rint((np.array(point) * scale - 0.5) * (1 << _SHIFT)).astype(int) for point in stroke.points]
    thickness = max(3, round(brush * min(scale)))
    for start, end in zip(at, at[1:] or at, strict=False):
        cv2.line(labels, start.tolist(), end.tolist(), int(value), thickness, cv2.LINE_8, _SHIFT)


def corrected(strokes: Labels, inside: Where) -> Labels:
    """Return labels that keep a mask, except near strokes: those on the subject may add, those beside it may remove."""
    adds, cuts = (near(strokes == value) for value in (cv2.GC_FGD, cv2.GC_BGD))
    labels = np.full(inside.shape, cv2.GC_PR_FGD, np.uint8)
    labels[inside & ~cuts] = cv2.GC_FGD
    labels[~inside & ~adds] = cv2.GC_BGD
    certain = (strokes == cv2.GC_FGD) | (strokes == cv2.GC_BGD)
    return np.where(certain, strokes, labels)


def near(strokes: Where) -> Where:
    """Return the pixels (h, w) around strokes that a correction may change."""
    reach = max(1, round(REACH * min(strokes.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(strokes.astype(np.uint8), disc) > 0)


def kept(start: FloatImage, mask: FloatImage, prompts: Prompts) -> FloatImage:
    """Return `mask` near the strokes and `start`, which it corrects, elsewhere; (H, W) 0..1 each.

    Under the strokes themselves the result is 1 or 0, as they say, whatever the colours are.
    """
    plate = Size(*start.shape)
    labels = marked(replace(prompts, box=None), plate, rough_size(plate))
    subject, beside = ((labels == value).astype(np.float32) for value in (cv2.GC_FGD, cv2.GC_BGD))
    reached = cv2.GaussianBlur(near((subject + beside) > 0).astype(np.float32), (0, 0), 3.0)
    soft, subject, beside = (cv2.resize(each, plate.resolution) for each in (reached, subject, beside))
    changed = start + soft * (mask - start)
    return np.asarray(np.minimum(np.maximum(changed, subject), 1 - beside), dtype=np.float32)


def _check_both_sides(labels: Labels) -> None:
    inside, beside = _on_sides(labels)
    if inside < _LEAST_SAMPLES:
        raise MaskError(
            expected="a box and strokes that leave enough of the subject",
            came=f"only {inside} of {labels.size} pixels",
            action="Draw the box larger, or the strokes beside the subject thinner: --brush.",
        )
    if beside < _LEAST_SAMPLES:
        raise MaskError(
            expected="some plate outside the box, from which the background is learnt",
            came="a box around the whole plate",
            action="Draw the box closer, or add a stroke beside the subject: --point x,y,-.",
        )


# ------------------------------------------------------------------------------------------------------ the shape


def shape(picture: npt.NDArray[np.uint8], known: Labels) -> Where:
    """Return the pixels (h, w) that a watershed from the strokes gives to the subject.

    It gives others to strokes beside the subject, to pixels outside of the box, and, without a box, to the picture's
    left, right and upper border. People stand on the lower one.
    """
    markers = np.zeros(known.shape, np.int32)
    markers[0], markers[:, 0], markers[:, -1] = 2, 2, 2
    if (known == cv2.GC_PR_FGD).any():  # a box, which may reach the border
        markers[:] = 0
    markers[known == cv2.GC_BGD], markers[known == cv2.GC_FGD] = 2, 1
    smooth = cv2.GaussianBlur(picture, (0, 0), SMOOTHED)
    # OpenCV gives no label to the outermost pixels.
    padded = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.watershed(padded, np.pad(markers, 1))[1:-1, 1:-1] == 1)


def around(inside: Where, known: Labels) -> Labels:
    """Return labels for GrabCut: open in a band around the shape's edge, and certain elsewhere and under strokes."""
    reach = max(1, round(BAND * min(inside.shape)))
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[_depth(inside) > reach] = cv2.GC_FGD
    labels[_depth(~inside) > reach] = cv2.GC_BGD
    certain = (known == cv2.GC_BGD) | (known == cv2.GC_FGD)
    return np.where(certain, known, labels)


def _depth(parts: Where) -> FloatImage:
    """Return how far, in pixels, each pixel of `parts` is from the nearest pixel outside of them; 0 outside."""
    if parts.all():  # no pixel is outside
        return np.full(parts.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(parts.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


# ------------------------------------------------------------------------------------------------------- cleaning


def cleaned(inside: Where, on_subject: Where, beside: Where) -> Where:
    """Remove small islands and holes that have no stroke on them. Raises MaskError where nothing is left."""
    islands = _large_or_marked(inside, on_subject, _largest(inside))
    if not islands.any():
        raise MaskError(
            expected="a subject whose colours differ from those around it",
            came="no such subject: every pixel counts as background",
            action="Draw strokes on the subject (--point x,y,+) and beside it (--point x,y,-).",
        )
    return ~_large_or_marked(~islands, beside, int(islands.sum()))


def _large_or_marked(parts: Where, marks: Where, whole: int) -> Where:
    """Return the connected parts that are marked, or no smaller than SMALLEST_PART of `whole` pixels."""
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= max(1.0, SMALLEST_PART * whole)
    keep[np.unique(numbers[marks & parts])] = True
    keep[0] = False  # the pixels outside of all parts
    return np.asarray(keep[numbers], dtype=np.bool_)


def _largest(parts: Where) -> int:
    """Return the number of pixels of the largest connected part."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8), connectivity=4)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
