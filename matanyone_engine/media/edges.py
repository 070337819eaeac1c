# SPDX-License-Identifier: Apache-2.0
"""Applies the edge controls that compositors know from keyers to a finished alpha.

The controls are applied in one order, that of the fields of EdgeControls:

    deflicker   steady_edges.py   between this frame and its neighbours
    despeckle                     small islands go
    solidify                      weak spots that the core encloses are filled
    black_clip, white_clip        what is below is 0, what is above is 1; the knees round the two corners
    gamma                         the greys get lighter or darker
    edge_grow                     the edge moves outwards or inwards
    edge_blur                     the edge gets softer

Rules of this file:
1. Pure functions of arrays: an alpha in, an alpha of the same size out, float32 from 0 to 1.
2. A control at its default changes no bit.
3. The network's own result is never touched: whoever turns a control computes no frame again (docs/edges.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import SettingError
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.mask_morphology import grow_mask

LIMITS = {
    "deflicker": (0.0, 1.0),
    "despeckle": (0, 1_000_000),
    "solidify": (0.0, 0.95),
    "black_clip": (0.0, 0.99),
    "white_clip": (0.01, 1.0),
    "black_knee": (0.0, 1.0),
    "white_knee": (0.0, 1.0),
    "gamma": (0.1, 10.0),
    "edge_grow": (-100.0, 100.0),
    "edge_blur": (0.0, 100.0),
}
"""The least and the greatest value of each control; both are allowed."""
LEAST_RANGE = 0.01
"""The least difference between the black clip and the white clip."""

VISIBLE = 0.05
"""Alpha above which a pixel belongs to an island or to the subject. Lower values above 0 are called haze."""
CORE_FROM = 0.90
"""The least alpha of the core, the solid part of a matte."""
_FILL_LEVELS = 11
"""Number of levels from CORE_FROM to 1 to which weak spots are filled."""
_HALO = 2
"""Pixels around an island whose haze is removed with it."""
_DIRECTIONS = 24
"""Number of directions in which an edge is moved by parts of a pixel: the corners of a polygon in place of a disc."""
_RING_UP_TO = 2.0
"""Radius in pixels below which an edge is moved by rings alone, since a disc of whole pixels is not round there."""

Places = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EdgeControls:
    """Says how the edges of delivered alphas are altered; the defaults leave every bit as it is."""

    deflicker: float = 0.0
    """0..1: how much of what comes and goes within one frame is taken out of edges."""
    despeckle: int = 0
    """Islands of at most so many pixels are removed."""
    solidify: float = 0.0
    """0..0.95: spots that the core encloses are filled where the alpha nowhere falls below 1 - solidify."""
    black_clip: float = 0.0
    """Alpha at and below which it becomes 0."""
    white_clip: float = 1.0
    """Alpha at and above which it becomes 1."""
    black_knee: float = 0.0
    """0..1: part of the range between the clips over which the black corner is rounded."""
    white_knee: float = 0.0
    """0..1: the same for the white corner. Both knees together are at most 1."""
    gamma: float = 1.0
    """Above 1 greys get lighter, below 1 darker."""
    edge_grow: float = 0.0
    """Pixels, also parts of one, by which edges move outwards; negative moves them inwards."""
    edge_blur: float = 0.0
    """Pixels, also parts of one: the standard deviation of the Gaussian that softens edges."""

    @property
    def changed(self) -> dict[str, float]:
        """Returns the controls that are not at their default, in the order in which they are applied."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {each.name: said[each.name] for each in fields(self) if said[each.name] != each.default}


NO_EDGES = EdgeControls()


def check_edges(controls: EdgeControls) -> None:
    """Raise SettingError for a control beyond its limits, and for controls that do not go together."""
    for name, (least, most) in LIMITS.items():
        value = getattr(controls, name)
        if not (math.isfinite(value) and least <= value <= most):
            raise _refused(f"{name} from {least:g} to {most:g}", f"{value:g}")
    if controls.white_clip - controls.black_clip < LEAST_RANGE:
        raise _refused(
            f"a white_clip that is at least {LEAST_RANGE:g} above black_clip",
            f"black_clip {controls.black_clip:g} and white_clip {controls.white_clip:g}",
        )
    if controls.black_knee + controls.white_knee > 1.0:
        raise _refused(
            "black_knee and white_knee of at most 1 together", f"{controls.black_knee:g} and {controls.white_knee:g}"
        )


def _refused(expected: str, came: str) -> SettingError:
    return SettingError(expected=expected, came=came, action="Change the edge control (docs/edges.md).")


def describe_edges(controls: EdgeControls) -> str:
    """Return the changed controls as a text, in the order in which they are applied; '' where none is."""
    return ", ".join(f"{name} {value:g}" for name, value in controls.changed.items())


def with_edges(alpha: FloatImage, controls: EdgeControls, *, core_is_sure: bool = True) -> FloatImage:
    """Return an alpha (H, W) 0..1 with all controls applied except deflicker, which needs neighbours (steady_edges.py).

    core_is_sure: whether the network was sure of this frame; if not, weak spots are not filled.
    If no control changes it, the same array is returned.
    """
    if controls.despeckle:
        alpha = despeckled(alpha, controls.despeckle)
    if controls.solidify and core_is_sure:
        alpha = solidified(alpha, 1.0 - controls.solidify)
    if {"black_clip", "white_clip", "black_knee", "white_knee"} & controls.changed.keys():
        alpha = clipped(alpha, controls)
    if controls.gamma != 1.0:
        alpha = np.power(alpha, np.float32(1.0 / controls.gamma), dtype=np.float32)
    if controls.edge_grow:
        alpha = grown(alpha, controls.edge_grow)
    if controls.edge_blur:
        alpha = blurred(alpha, controls.edge_blur)
    return alpha


# ---------------------------------------------------------------------------------------------------- clips and knees


def clipped(alpha: FloatImage, controls: EdgeControls) -> FloatImage:
    """Stretch the range between both clips to 0..1, and round the corners by the knees.

    The slope rises from 0 over the black knee, is constant between the knees, and falls to 0 over the white knee.
    """
    black, white = controls.black_clip, controls.white_clip
    low, high = controls.black_knee, controls.white_knee
    at = np.clip((alpha.astype(np.float64) - black) / (white - black), 0.0, 1.0)
    whole = 1.0 - low / 2.0 - high / 2.0
    rise = at - low / 2.0
    if low:
        rise = np.where(at < low, at * at / (2.0 * low), rise)
    if high:
        rise = np.where(at > 1.0 - high, whole - (1.0 - at) ** 2 / (2.0 * high), rise)
    return np.clip(rise / whole, 0.0, 1.0).astype(np.float32)


# ------------------------------------------------------------------------------------------------ islands and holes


def despeckled(alpha: FloatImage, pixels: int) -> FloatImage:
    """Remove islands of at most `pixels` pixels above VISIBLE, and the haze close around them.

    Pixels that touch at a corner belong to one island. Haze that touches the rest of the matte stays.
    """
    visible = alpha > VISIBLE
    count, labels, sizes = _components(visible)
    small = np.zeros(count, bool)
    small[1:] = sizes[1:] <= pixels
    specks = small[labels]
    halo = _spread(specks, _HALO) & ~_spread(visible & ~specks, 1)
    hazy_count, hazy, hazy_sizes = _components(alpha > 0.0)
    isolated = np.ones(hazy_count, bool)
    isolated[np.unique(hazy[visible & ~specks])] = False
    isolated &= hazy_sizes <= pixels
    isolated[0] = False
    removed = specks | (halo & ~visible) | isolated[hazy]
    return np.where(removed, np.float32(0.0), alpha)


def solidified(alpha: FloatImage, floor: float) -> FloatImage:
    """Fill weak spots of the core to the level of what surrounds them.

    A weak spot is enclosed by a ring of pixels of CORE_FROM or more. It is filled to the highest level, in steps of a
    hundredth, of which a closed ring is around it. A spot is not filled if it reaches the picture's border or has a
    pixel below `floor`: the gap between an arm and the body shows the background, so the alpha falls to about 0 there.
    """
    box = _box_of(alpha > 0.0)
    inside = np.pad(alpha[box], 1)
    filled = inside
    for level in np.linspace(CORE_FROM, 1.0, _FILL_LEVELS, dtype=np.float32):
        count, labels, _ = _components(inside < level)
        enclosed = np.ones(count, bool)
        enclosed[np.unique(labels[inside < floor])] = False
        for border in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            enclosed[np.unique(border)] = False
        enclosed[0] = False
        filled = np.where(enclosed[labels], level, filled)
    result = alpha.copy()
    result[box] = filled[1:-1, 1:-1]
    return result


def _components(places: Places) -> tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Find connected parts. Returns their number plus 1, the part of each pixel (0 beside `places`), and the sizes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(places.astype(np.uint8), connectivity=8)
    return count, np.asarray(labels), np.asarray(stats[:, cv2.CC_STAT_AREA])


def _spread(places: Places, pixels: int) -> Places:
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(places.astype(np.uint8), square)).astype(bool)


def _box_of(places: Places) -> tuple[slice, slice]:
    """Return the smallest box, as rows and columns, that holds all `places`; the whole picture where there are none."""
    rows, columns = np.flatnonzero(places.any(axis=1)), np.flatnonzero(places.any(axis=0))
    if not rows.size:
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


# -------------------------------------------------------------------------------------- growing, shrinking, blurring


def grown(alpha: FloatImage, pixels: float) -> FloatImage:
    """Move edges outwards by `pixels`, or inwards where that is negative; it need not be a whole number.

    Every pixel becomes the greatest (least) value of the disc of that radius around it, interpolated between pixels, so
    that a soft edge keeps its profile. Nothing outside the frame counts.
    """
    if pixels < 0:
        return -_dilated(-alpha, -pixels)
    return _dilated(alpha, pixels)


def _dilated(values: FloatImage, radius: float) -> FloatImage:
    whole = 0 if radius < _RING_UP_TO else math.floor(radius)
    while whole and _reach(whole) > radius:
        whole -= 1
    rest = radius - _reach(whole) if whole else radius
    if whole:
        values = grow_mask(values, whole)
    rings = [_ring(values, ring) for ring in ((rest, rest / 2.0) if rest > 1.0 else (rest,)) if ring]
    return np.maximum.reduce([values, *rings])


def _reach(pixels: int) -> float:
    """Return by how many pixels grow_mask moves an edge, averaged over all directions: its disc has whole pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    hull = cv2.convexHull(np.argwhere(disc).astype(np.float32))
    return float(cv2.arcLength(hull, closed=True)) / (2.0 * math.pi)


def _ring(values: FloatImage, radius: float) -> FloatImage:
    """Return the greatest value on the circle around each pixel."""
    greatest = np.full(values.shape, -np.inf, np.float32)
    for step in range(_DIRECTIONS):
        angle = 2.0 * math.pi * step / _DIRECTIONS
        moved = _moved(values, radius * math.cos(angle), radius * math.sin(angle))
        np.maximum(greatest, moved, out=greatest)
    return greatest


def _moved(values: FloatImage, x: float, y: float) -> FloatImage:
    """Move a picture by parts of a pixel, bilinearly. OpenCV's own warps round to 1/32 of a pixel."""
    return np.asarray(
        cv2.sepFilter2D(values, cv2.CV_32F, _taps(x), _taps(y), borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _taps(shift: float) -> FloatImage:
    reach = math.ceil(abs(shift)) + 1
    taps = np.zeros(2 * reach + 1, np.float32)
    whole = math.floor(shift)
    taps[reach + whole] = 1.0 - (shift - whole)
    taps[reach + whole + 1] = shift - whole
    return taps


def blurred(alpha: FloatImage, pixels: float) -> FloatImage:
    """Soften with a Gaussian whose standard deviation is `pixels`, which is exact even for a small part of a pixel.

    The kernel is the discrete Gaussian. A sampled Gaussian of a small standard deviation has another variance.
    """
    taps = _gaussian(pixels)
    soft = cv2.sepFilter2D(alpha, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REPLICATE)
    return np.clip(soft, 0.0, 1.0, dtype=np.float32)


def _gaussian(sigma: float) -> FloatImage:
    reach = math.ceil(5.0 * sigma) + 2
    turns = 2.0 * np.pi * np.arange(2 * reach + 1) / (2 * reach + 1)
    kernel = np.fft.fftshift(np.fft.fft(np.exp(sigma * sigma * (np.cos(turns) - 1.0))).real)
    return (kernel / kernel.sum()).astype(np.float32)
