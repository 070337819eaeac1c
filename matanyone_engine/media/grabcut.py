# SPDX-License-Identifier: Apache-2.0
"""Makes a first mask without weights, with OpenCV: strokes give a shape, colours give its edge.

    strokes -> watershed (Meyer 1991): what each stroke reaches before a stroke of the other side does
            -> GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004) in a band around that shape, first at half the
               size, then near the edge that this has found

GrabCut alone learns the colours of all that is in the box, the wall behind the subject too; where both have the same
colours a further stroke may then turn everything over. Around a shape that strokes have made each stroke helps
(benchmarks/README.md). With a box and no stroke on the subject there is no shape yet: GrabCut gets the whole box.

Rules of this file:
1. The same prompts give the same mask: OpenCV's random numbers start anew each time.
2. OpenCV takes 8-bit pictures here. It decides about whole pixels only, at a small size; the soft edge is made
   afterwards from the float plate (matting/refine.py).
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
"""Of the shorter side: how far the edge may lie from the shape that strokes have made."""
REACH = 0.2
"""Of the shorter side: how far from a stroke a correction may change a mask."""
NARROW = 4
"""Pixels on either side of the edge that was found at half the size, in which it is looked for at the whole size."""
ROUNDS, ROUNDS_OF_A_BOX = 2, 5
"""In which colours are learned and the cut is made anew."""
SMOOTHED = 1.5
"""Standard deviation in pixels: the watershed shall not see grain."""
SMALLEST_PART = 0.02
"""Islands and holes smaller than this part of the subject are noise, unless the artist has marked them."""

METHOD = f"watershed and GrabCut of OpenCV {cv2.__version__}, shorter side at most {SHORTEST_SIDE}"
"""For a file's header."""

Labels = npt.NDArray[np.uint8]
"""OpenCV's: GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD."""
Where = npt.NDArray[np.bool_]

_SHIFT = 4
"""Binary digits after the point of coordinates that are drawn."""
_LEAST_SAMPLES = 5
"""Of colours on either side: each mixture has so many."""
_SAMPLES_AT_HALF = 100
"""Pixels on either side that are enough to learn colours from at half the size."""
_LEAST_SIDE = 100
"""Lines: a smaller picture is not halved."""
_MIXTURE = 65
"""Numbers of OpenCV's mixture of colours."""
_UNUSED = (0, 0, 0, 0)
"""For the rectangle that OpenCV does not look at when it has labels."""


def grabcut(seen: FloatImage, prompts: Prompts, start: FloatImage | None = None) -> FloatImage:
    """Return a rough mask, (h, w) float32 0 or 1, of seen, (H, W, 3) sRGB 0..1, and prompts for it (Prompts.on).

    start: (H, W) 0..1, a mask that is corrected: it is left as it is but near the strokes. h and w are rough_size().
    Raises MaskError where the prompts leave no background, or nothing is found.
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
    """Return labels (h, w) of which each open pixel is decided. picture: (h, w, 3) sRGB; rounds: of learning colours.

    Only the part of the picture is looked at that holds the open pixels, and what is around it: the colours of what is
    far away say little. Where that part lacks one of the two sides, the whole picture is looked at.
    """
    part = _around_open(labels, max(1, round(BAND * min(labels.shape))))
    if part is None or min(_on_sides(labels[part])) < _LEAST_SAMPLES:
        part = (slice(None), slice(None))
    decided = labels.copy()
    decided[part] = _cut_in_two_sizes(np.ascontiguousarray(picture[part]), np.ascontiguousarray(labels[part]), rounds)
    return decided


def _around_open(labels: Labels, margin: int) -> tuple[slice, slice] | None:
    """Return rows and columns that hold all open pixels of labels, and `margin` pixels around; None if none is open."""
    is_open = _is_open(labels)
    rows, columns = np.flatnonzero(is_open.any(axis=1)), np.flatnonzero(is_open.any(axis=0))
    if not rows.size:
        return None
    top, bottom, left, right = (int(each) for each in (rows[0], rows[-1], columns[0], columns[-1]))
    return slice(max(0, top - margin), bottom + margin + 1), slice(max(0, left - margin), right + margin + 1)


def _cut_in_two_sizes(picture: npt.NDArray[np.uint8], labels: Labels, rounds: int) -> Labels:
    """Return labels of which each open pixel is decided. All rounds but the last are at half the size, where that
    leaves enough colours on either side; the last one then looks only near the edge that they have found.
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
    """Return labels (h, w) that are open within NARROW pixels of the edge of a shape, and certain elsewhere."""
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
    """Return the pixels that are on the subject, certainly or by a guess."""
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def _is_open(labels: Labels) -> Where:
    """Return the pixels that are to be decided."""
    return np.asarray((labels == cv2.GC_PR_FGD) | (labels == cv2.GC_PR_BGD))


def _on_sides(labels: Labels) -> tuple[int, int]:
    """Return how many pixels are on the subject, and how many are beside it."""
    inside = int(inside_of(labels).sum())
    return inside, labels.size - inside


# ------------------------------------------------------------------------------------------- what the artist said


def marked(prompts: Prompts, plate: Size, rough: Size) -> Labels:
    """Return what prompts say of each pixel, (h, w), at the rough size. The prompts count in pixels of the plate."""
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
    """Draw a stroke as a line with round ends; three pixels wide at least, so that there are colours to learn."""
    value = cv2.GC_FGD if stroke.subject else cv2.GC_BGD
    # OpenCV counts from the middle of the first pixel.
    at = [np.rint((np.array(point) * scale - 0.5) * (1 << _SHIFT)).astype(int) for point in stroke.points]
    thickness = max(3, round(brush * min(scale)))
    for start, end in zip(at, at[1:] or at, strict=False):
        cv2.line(labels, start.tolist(), end.tolist(), int(value), thickness, cv2.LINE_8, _SHIFT)


def corrected(strokes: Labels, inside: Where) -> Labels:
    """Return labels that leave a mask as it is but near strokes: those on the subject may add, those beside it may
    cut.
    """
    adds, cuts = (near(strokes == value) for value in (cv2.GC_FGD, cv2.GC_BGD))
    labels = np.full(inside.shape, cv2.GC_PR_FGD, np.uint8)
    labels[inside & ~cuts] = cv2.GC_FGD
    labels[~inside & ~adds] = cv2.GC_BGD
    certain = (strokes == cv2.GC_FGD) | (strokes == cv2.GC_BGD)
    return np.where(certain, strokes, labels)


def near(strokes: Where) -> Where:
    """Return the pixels (h, w) that a correction may change around strokes."""
    reach = max(1, round(REACH * min(strokes.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(strokes.astype(np.uint8), disc) > 0)


def kept(start: FloatImage, mask: FloatImage, prompts: Prompts) -> FloatImage:
    """Return the mask near the strokes and `start`, which it corrects, elsewhere; (H, W) 0..1 each.

    Under the strokes themselves it is 1 or 0, as they say, whatever the colours are.
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
    """Return the pixels (h, w) that strokes on the subject reach before what is beside it does.

    Beside it are strokes that say so, what is outside of the box, and the picture's border but for the lower one, on
    which people stand.
    """
    markers = np.zeros(known.shape, np.int32)
    markers[0], markers[:, 0], markers[:, -1] = 2, 2, 2
    if (known == cv2.GC_PR_FGD).any():  # a box, which may reach the border
        markers[:] = 0
    markers[known == cv2.GC_BGD], markers[known == cv2.GC_FGD] = 2, 1
    smooth = cv2.GaussianBlur(picture, (0, 0), SMOOTHED)
    # OpenCV takes the outermost pixels for itself.
    padded = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.watershed(padded, np.pad(markers, 1))[1:-1, 1:-1] == 1)


def around(inside: Where, known: Labels) -> Labels:
    """Return labels for GrabCut: open in a band around the shape's edge, certain elsewhere and where the artist said
    so.
    """
    reach = max(1, round(BAND * min(inside.shape)))
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[_depth(inside) > reach] = cv2.GC_FGD
    labels[_depth(~inside) > reach] = cv2.GC_BGD
    certain = (known == cv2.GC_BGD) | (known == cv2.GC_FGD)
    return np.where(certain, known, labels)


def _depth(parts: Where) -> FloatImage:
    """Return how many pixels each pixel of some parts lies from the nearest pixel beside them; 0 beside them."""
    if parts.all():  # there is none
        return np.full(parts.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(parts.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


# ------------------------------------------------------------------------------------------------------- cleaning


def cleaned(inside: Where, on_subject: Where, beside: Where) -> Where:
    """Remove islands and holes that are small and that nobody has marked. Raises MaskError where nothing is left."""
    islands = _large_or_marked(inside, on_subject, _largest(inside))
    if not islands.any():
        raise MaskError(
            expected="a subject that differs from what is around it",
            came="nothing that could be told from its surroundings",
            action="Draw strokes on the subject (--point x,y,+) and beside it (--point x,y,-).",
        )
    return ~_large_or_marked(~islands, beside, int(islands.sum()))


def _large_or_marked(parts: Where, marks: Where, whole: int) -> Where:
    """Return the connected parts that are marked, or no smaller than SMALLEST_PART of `whole` pixels."""
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= max(1.0, SMALLEST_PART * whole)
    keep[np.unique(numbers[marks & parts])] = True
    keep[0] = False  # what is no part
    return np.asarray(keep[numbers], dtype=np.bool_)


def _largest(parts: Where) -> int:
    """Return pixels of the largest connected part."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8), connectivity=4)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
