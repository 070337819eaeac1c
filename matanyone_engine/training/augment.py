# SPDX-License-Identifier: Apache-2.0
"""Composes plates from foregrounds and photographs: placement, cameras, other subjects, light, grain.

A chance of 0 draws no random number. So a new kind of chance does not change the held-out set, for which it is 0.

Rules of this file:
1. Every function is pure: random numbers come from the generator that it is given, so a sample depends on its seed.
2. No file is read or written here: data.py does that.

Pixels are (H, W, C) float32, display-referred RGB 0..1; alphas (H, W) 0..1. Affine matrices map source to crop, 2 x 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.color import decode_srgb, encode_srgb
from matanyone_engine.sizes import Size
from matanyone_engine.training.pictures import Pixels, Rng

Matrix = NDArray[np.float64]


class Cutout(NamedTuple):
    """Holds a foreground clip: straight colours and alphas, 8 bits, any size."""

    fgr: list[NDArray[np.uint8]]
    """(H, W, 3) each."""
    pha: list[NDArray[np.uint8]]
    """(H, W) each."""

    def mirrored(self) -> Cutout:
        """Return the clip mirrored left to right."""
        return Cutout([x[:, ::-1] for x in self.fgr], [x[:, ::-1] for x in self.pha])


class ComposedClip(NamedTuple):
    """Holds a composed clip."""

    plates: Pixels
    """(T, H, W, 3)."""
    alphas: Pixels
    """(T, H, W)."""


@dataclass(frozen=True)
class Chances:
    """Holds the probability of each effect in a clip. The defaults are for training; clips of the held-out set have one
    effect at a time.
    """

    distractor: float = 0.45
    twin: float = 0.35
    """The distractor is a copy of the subject."""
    occluder: float = 0.15
    camera: float = 0.4
    travel: float = 0.5
    """The subject moves across the picture."""
    light: float = 0.3
    camouflage: float = 0.2
    """The subject's colours are pulled towards the background's."""
    shadow: float = 0.25
    bokeh: float = 0.35
    blur: float = 0.15
    grain: float = 0.6
    compression: float = 0.5
    framed: float = 1.0
    """A subject that is cut by the border of its own picture is cut by the frame at the same sides. If this does not
    happen, only the bottom is treated so."""
    close: float = 0.15
    """A framed subject is so close that it may fill the frame."""
    smear: float = 0.3
    """The subject's motion across the picture is blurred by an open shutter."""
    leave: float = 0.06
    """The subject leaves the picture in the middle of the clip and comes back."""
    wall: float = 0.08
    """The background is a wall that has the colour of some part of the subject."""
    backlit: float = 0.1
    """The subject is darker than its background."""
    dark: float = 0.12
    """The clip has a small part of the light (_Night), and the noise of such an exposure."""


# -- motion -----------------------------------------------------------------------------------------------------------


def _ease(rng: Rng) -> Callable[[float], float]:
    """Return a random easing curve from 0..1 to 0..1, or a sudden step."""
    kind, step = rng.random(), rng.uniform(0.3, 0.7)
    if kind < 0.1:
        return lambda t: float(t > step)
    power = rng.uniform(0.5, 2.0)
    return lambda t: float(0.5 - 0.5 * np.cos(np.pi * t**power)) if kind < 0.6 else float(t**power)


class Motion:
    """Describes an affine motion around the middle of the crop, eased from one pose to another."""

    def __init__(self, rng: Rng, size: Size, strength: float) -> None:
        self.ease = _ease(rng)
        self.middle = np.array([size[1] / 2, size[0] / 2])
        spans = np.array([np.radians(10), 0.1 * size[1], 0.1 * size[0], 0.1, np.radians(5)])
        self.ends = rng.uniform(-1, 1, (2, 5)) * spans * strength
        self.away = np.zeros(2)
        """By how many pixels (x, y) the subject is moved in the middle of the clip, if it leaves the picture."""

    def matrix(self, when: float) -> Matrix:
        """Return the 3 x 3 matrix at a time 0..1; before and after that, nothing moves."""
        when = min(max(when, 0.0), 1.0)
        mix = self.ease(when)
        turn, dx, dy, zoom, shear = self.ends[0] * (1 - mix) + self.ends[1] * mix
        c, s = np.cos(turn) * (1 + zoom), np.sin(turn) * (1 + zoom)
        around = np.array([[c, -s + shear], [s, c]])
        gone = float(np.clip(1.8 * np.sin(np.pi * when) - 0.5, 0, 1)) ** 2
        return _affine(around, self.middle - around @ self.middle + (dx, dy) + gone * self.away)


def _still(size: Size) -> Motion:
    return Motion(np.random.default_rng(0), size, 0.0)


def _affine(linear: Matrix, shift: Matrix) -> Matrix:
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, shift
    return matrix


def _placement(rng: Rng, cutout: Cutout, size: Size, height: tuple[float, float]) -> Matrix:
    """Place the subject at random in the crop. height: the least and the greatest height, as parts of the crop's."""
    rows, columns = np.nonzero(cutout.pha[0] > 100)
    if not len(rows):
        rows, columns = np.array([0, cutout.pha[0].shape[0]]), np.array([0, cutout.pha[0].shape[1]])
    tall = rows.max() - rows.min() + 1
    part = np.exp(rng.uniform(*np.log(height)))
    scale = min(part * size[0] / tall, 1.8 * size[1] / (columns.max() - columns.min() + 1), 2.0)
    x = rng.uniform(0.25, 0.75) * size[1] - scale * (columns.max() + columns.min()) / 2
    top = rng.uniform(0.02, 0.2) if scale * tall > 0.75 * size[0] else rng.uniform(0.05, 0.9 - scale * tall / size[0])
    y = top * size[0] - scale * rows.min()
    if rows.max() >= cutout.pha[0].shape[0] - 2:  # its own picture cuts it at the bottom: keep that below the crop
        y = max(y, size[0] - scale * rows.max())
    return _affine(scale * np.diag([rng.uniform(0.9, 1.1), 1.0]), np.array([x, y]))


class _Cuts(NamedTuple):
    """Says at which sides the border of its own picture cuts a cut-out, in any frame."""

    left: bool
    right: bool
    top: bool
    bottom: bool
    shoulder: int
    """The first row in which the left or the right edge is touched; the picture's height if none is."""

    @classmethod
    def of(cls, cutout: Cutout) -> _Cuts:
        """Find the cut sides; three pixels or more count as touching."""
        edges = [np.stack([pha[:, 0], pha[:, -1]]) > 100 for pha in cutout.pha]
        sides = np.logical_or.reduce(edges)
        ends = np.logical_or.reduce([np.stack([pha[0], pha[-1]]) > 100 for pha in cutout.pha])
        touched = np.flatnonzero(sides.any(axis=0))
        left, right = (int(side.sum()) >= 3 for side in sides)
        top, bottom = (int(end.sum()) >= 3 for end in ends)
        return cls(left, right, top, bottom, int(touched[0]) if left or right else sides.shape[1])


SPUN = 0.8
"""The least part of the crop's width that a subject covers which is cut left and right. Its border pixels are repeated
to fill the rest."""


def _framed_placement(
    rng: Rng, cutout: Cutout, cuts: _Cuts, size: Size, height: tuple[float, float], close: bool
) -> Matrix:
    """Place the subject at random, but so that no side at which its own picture cuts it lies inside the crop.

    A subject that is cut left and right is either so large that it nearly covers the crop's width, or so low that the
    crop ends above the cuts.
    """
    tall, wide = cutout.pha[0].shape
    rows, columns = np.nonzero(cutout.pha[0] > 100)
    if not len(rows):
        rows, columns = np.array([0, tall - 1]), np.array([0, wide - 1])
    top, low, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    aspect = rng.uniform(0.9, 1.1)
    part = np.exp(rng.uniform(*np.log((1.3, 3.0) if close else height)))
    most = 4.0 if close else 2.0
    scale = min(part * size[0] / (low - top), (3.5 if close else 1.8) * size[1] / (right - left), most)
    both = cuts.left and cuts.right
    sink = both and cuts.shoulder - top > 0.4 * (low - top) and rng.random() < 0.4
    if both and not sink:
        scale = max(scale, SPUN * size[1] / (wide * aspect))
    if cuts.top and cuts.bottom:
        scale = max(scale, size[0] / tall)
    x = rng.uniform(0.25, 0.75) * size[1] - scale * aspect * (left + right) / 2
    seen = scale * (low - top) / size[0]
    y = (rng.uniform(0.02, 0.2) if seen > 0.75 else rng.uniform(0.05, 0.9 - seen)) * size[0] - scale * top
    if seen > 1 and (close or rng.random() < 0.6):
        y = rng.uniform(size[0] - scale * low, 0.2 * size[0] - scale * top)
    if sink:
        y = max(y, size[0] - scale * cuts.shoulder)
    elif both:
        x = rng.uniform(*sorted((0.0, size[1] - scale * aspect * wide)))
    elif cuts.left or cuts.right:
        x = max(x, size[1] - scale * aspect * wide) if cuts.right else min(x, 0.0)
    y = max(y, size[0] - scale * tall) if cuts.bottom else y
    y = min(y, 0.0) if cuts.top else y
    return _affine(scale * np.diag([aspect, 1.0]), np.array([x, y]))


def _background_placement(rng: Rng, picture: Pixels, size: Size) -> Matrix:
    """Cover the crop with the picture, with room to move."""
    scale = max(size[0] / picture.shape[0], size[1] / picture.shape[1]) * np.exp(rng.uniform(np.log(1.15), np.log(2.2)))
    room = np.array([scale * picture.shape[1] - size[1], scale * picture.shape[0] - size[0]])
    return _affine(scale * np.eye(2), -room * rng.uniform(0.1, 0.9, 2))


def _warped(picture: NDArray, matrix: Matrix, size: Size, border: int) -> Pixels:
    """Warp an 8-bit picture into a float crop: bilinearly, by areas first where it becomes much smaller."""
    shrink = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if shrink < 0.6:
        picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        matrix = matrix @ _affine(np.eye(2) / shrink, np.zeros(2))
    out = cv2.warpAffine(
        np.ascontiguousarray(picture), matrix[:2], size[::-1], flags=cv2.INTER_LINEAR, borderMode=border
    )
    return out.astype(np.float32) / 255


# -- composing --------------------------------------------------------------------------------------------------------


class _Actor:
    """Holds a cut-out with its place and motion in the crop."""

    def __init__(
        self, rng: Rng, cutout: Cutout, size: Size, height: tuple[float, float], travel: float, chances: Chances
    ) -> None:
        self.cutout = cutout.mirrored() if rng.random() < 0.5 else cutout
        self.size = size
        self.border, self.shutter = cv2.BORDER_CONSTANT, 0.0
        if _happens(rng, chances.framed):
            cuts, close = _Cuts.of(self.cutout), _happens(rng, chances.close)
            self.place = _framed_placement(rng, self.cutout, cuts, size, height, close)
            self.motion = Motion(rng, size, travel)
            self.border = cv2.BORDER_REPLICATE  # where motion shows pixels beyond a cut, those at the cut are repeated
            if _happens(rng, chances.leave):
                self.motion.away = _way_out(rng, cuts, size)
        else:
            self.place = _placement(rng, self.cutout, size, height)
            self.motion = Motion(rng, size, travel)
        if _happens(rng, chances.smear):
            self.shutter = float(rng.uniform(0.3, 1.0))

    def seen(self, frame: int, when: float, camera: Matrix) -> tuple[Pixels, Pixels]:
        """Return colours (H, W, 3) and alpha (H, W) in the crop on one frame."""
        if not self.shutter:
            return self._at(frame, when, camera)
        half = 0.5 * self.shutter / max(len(self.cutout.fgr) - 1, 1)
        middle = np.array([self.size[1] / 2, self.size[0] / 2, 1])
        way = np.abs((self.motion.matrix(when + half) - self.motion.matrix(when - half)) @ middle).max()
        steps = int(np.clip(way / 2, 3, 24))  # two pixels apart, but not more than 24
        return _mean([self._at(frame, when + half * t, camera) for t in np.linspace(-1, 1, steps)])

    def _at(self, frame: int, when: float, camera: Matrix) -> tuple[Pixels, Pixels]:
        """Return colours and alpha in the crop at one instant."""
        matrix = camera @ self.motion.matrix(when) @ self.place
        fgr = _warped(self.cutout.fgr[frame], matrix, self.size, cv2.BORDER_REPLICATE)
        return fgr, _warped(self.cutout.pha[frame], matrix, self.size, self.border)


def _mean(instants: list[tuple[Pixels, Pixels]]) -> tuple[Pixels, Pixels]:
    """Average instants, as an open shutter does. Returns straight colours and alpha, 0..1."""
    alpha = np.asarray(np.mean([cover for _, cover in instants], axis=0), np.float32)
    mixed = np.asarray(np.mean([colour * cover[..., None] for colour, cover in instants], axis=0), np.float32)
    straight = mixed / np.maximum(alpha, 1e-3)[..., None]
    return np.where(alpha[..., None] > 4e-3, straight, instants[len(instants) // 2][0]), alpha


def _happens(rng: Rng, chance: float) -> bool:
    """Return True with a probability. A random number is drawn only if the probability is above 0."""
    return chance > 0 and bool(rng.random() < chance)


def _way_out(rng: Rng, cuts: _Cuts, size: Size) -> Matrix:
    """Return the way out of the picture, in pixels (x, y), on which the subject's cut sides do not come into view."""
    across = np.array([1.3 * size[1], 0.0])
    ways = [np.array([0.0, 1.3 * size[0]])]
    ways += [] if cuts.right or cuts.top else [-across]
    ways += [] if cuts.left or cuts.top else [across]
    if cuts.top:
        ways[0] = np.array([0.0, 0.0])
    return ways[int(rng.integers(len(ways)))]


@dataclass
class _Development:
    """Holds the effects on whole pictures of a clip: light, lens, grain and compression."""

    gain: Pixels
    """(T, 3)."""
    gamma: Pixels
    """(T,)."""
    blur: float
    grain: float
    quality: int | None
    night: _Night | None = None


@dataclass
class _Night:
    """Darkens a picture in linear light, and adds the noise of such an exposure."""

    light: float
    """The part of the light that is left."""
    lift: float
    """The factor by which the picture, noise included, is made brighter again."""
    shot: float
    read: float

    @classmethod
    def random(cls, rng: Rng) -> _Night:
        """Draw a part of the light from 1/40 to 1/8. Half of the pictures are made brighter again, fully or to a
        half.
        """
        light = float(np.exp(rng.uniform(np.log(1 / 40), np.log(1 / 8))))
        lift = float(rng.choice([1.0, 1.0, 0.5 / light, 1 / light]))
        return cls(light, lift, float(np.exp(rng.uniform(*np.log((3e-6, 6e-5))))), float(rng.uniform(1e-4, 1e-3)))

    def __call__(self, rng: Rng, plate: Pixels) -> Pixels:
        linear = self.light * decode_srgb(plate)
        noise = np.sqrt(self.shot * linear + self.read**2) * rng.standard_normal(plate.shape, np.float32)
        return encode_srgb(np.clip(self.lift * (linear + noise), 0, 1))


def compose(
    rng: Rng, subject: Cutout, others: list[Cutout], background: list[NDArray[np.uint8]], size: Size, chances: Chances
) -> ComposedClip:
    """Compose one clip: the subject over a background (a still, or one picture for each frame), with a distractor
    behind it and an occluder before it.

    others: candidates for distractor and occluder, in this order; they need not be used.
    """
    count = len(subject.fgr)
    camera = Motion(rng, size, 1.5 if rng.random() < 0.5 else 0.6) if rng.random() < chances.camera else _still(size)
    travel = 1.5 if rng.random() < chances.travel else 0.2
    actor = _Actor(rng, subject, size, (0.45, 1.9), travel, chances)
    behind = (
        [_Actor(rng, *_double(rng, subject, others, chances.twin), size, (0.4, 1.3), 1.0, replace(chances, close=0))]
        if rng.random() < chances.distractor
        else []
    )
    before = (
        [_Actor(rng, others[-1], size, (0.25, 0.8), 2.0, replace(chances, close=0, leave=0))]
        if others and rng.random() < chances.occluder
        else []
    )
    if _happens(rng, chances.wall):
        background = [_wall(rng, subject)]
    shade = float(rng.uniform(0.15, 0.6)) if _happens(rng, chances.backlit) else 1.0
    scene = _Scene(rng, background, size, chances)
    tint = scene.tint if rng.random() < chances.camouflage else None
    look = _look(rng, count, chances)
    plates, alphas = [], []
    for frame in range(count):
        when = frame / max(count - 1, 1)
        view = camera.matrix(when)
        plate = scene.seen(frame, view)
        for extra in behind:
            plate, _ = _over(plate, *extra.seen(frame, when, view))
        fgr, alpha = actor.seen(frame, when, view)
        fgr = fgr if shade == 1 else shade * fgr
        plate = scene.shadowed(plate, alpha)
        plate, alpha = _over(plate, fgr if tint is None else 0.6 * fgr + 0.4 * tint, alpha)
        for extra in before:
            colour, cover = extra.seen(frame, when, view)
            plate, alpha = _over(plate, colour, cover)[0], alpha * (1 - cover)
        plates.append(_developed(rng, plate, look, frame))
        alphas.append(alpha)
    return ComposedClip(np.stack(plates), np.stack(alphas))


def _double(rng: Rng, subject: Cutout, others: list[Cutout], twin: float) -> tuple[Cutout]:
    """Return the distractor: another cut-out, or the subject's own, with the probability `twin`."""
    return (subject if not others or rng.random() < twin else others[0],)


def _over(plate: Pixels, colour: Pixels, alpha: Pixels) -> tuple[Pixels, Pixels]:
    return plate + (colour - plate) * alpha[..., None], alpha


def _wall(rng: Rng, subject: Cutout) -> NDArray[np.uint8]:
    """Return a wall with stains, of the colour of a pixel of the subject and about as bright."""
    solid = np.argwhere(subject.pha[0] > 200)
    at = tuple(solid[int(rng.integers(len(solid)))]) if len(solid) else (0, 0)
    left, right = rng.uniform(0.8, 1.2, 2)
    light = np.linspace(left, right, 320)[None, :, None]
    stains = sum(
        cv2.resize(rng.normal(0, 0.03, (n, n)), (320, 240), interpolation=cv2.INTER_CUBIC)[..., None] for n in (4, 40)
    )
    return np.asarray(np.clip(subject.fgr[0][at] * (light + stains), 0, 255), np.uint8)


class _Scene:
    """Holds the background with its own small motion, its focus and the shadow it receives."""

    def __init__(self, rng: Rng, pictures: list[NDArray[np.uint8]], size: Size, chances: Chances) -> None:
        self.pictures, self.size = pictures, size
        self.place = _background_placement(rng, pictures[0], size)
        self.focus = float(rng.uniform(0.8, 5)) if rng.random() < chances.bokeh else 0.0
        self.shade = float(rng.uniform(0.2, 0.6)) if rng.random() < chances.shadow else 0.0
        self.cast = rng.uniform(-0.08, 0.08, 2) * size[::-1]
        self.tint = np.float32(pictures[0].reshape(-1, 3).mean(axis=0) / 255)

    def seen(self, frame: int, camera: Matrix) -> Pixels:
        """Return the crop's background on this frame."""
        picture = self.pictures[frame % len(self.pictures)]
        out = _warped(picture, camera @ self.place, self.size, cv2.BORDER_REFLECT)
        return cv2.GaussianBlur(out, (0, 0), self.focus) if self.focus else out

    def shadowed(self, plate: Pixels, alpha: Pixels) -> Pixels:
        """Return the plate, darker where the subject's shadow falls."""
        if not self.shade:
            return plate
        moved = cv2.warpAffine(alpha, _affine(np.eye(2), self.cast)[:2], alpha.shape[::-1])
        return plate * (1 - self.shade * cv2.GaussianBlur(moved, (0, 0), 5))[..., None]


def _look(rng: Rng, count: int, chances: Chances) -> _Development:
    drifts = rng.random() < chances.light
    ends = np.exp(rng.normal(0, 0.25, (2, 1)) + rng.normal(0, 0.08, (2, 3)))
    mix = np.linspace(0, 1, count)[:, None]
    gain = ends[0] * (1 - mix) + ends[1] * mix if drifts else np.repeat(ends[:1] ** 0.5, count, axis=0)
    if drifts and rng.random() < 0.3:  # a light that flickers
        gain = gain * rng.uniform(0.7, 1.2, (count, 1))
    return _Development(
        gain.astype(np.float32),
        np.full(count, np.exp(rng.normal(0, 0.15)), np.float32),
        float(rng.uniform(0.4, 1.6)) if rng.random() < chances.blur else 0.0,
        float(rng.uniform(0.004, 0.05)) if rng.random() < chances.grain else 0.0,
        int(rng.integers(35, 96)) if rng.random() < chances.compression else None,
        _Night.random(rng) if _happens(rng, chances.dark) else None,
    )


def _developed(rng: Rng, plate: Pixels, look: _Development, frame: int) -> Pixels:
    """Apply light, lens, grain and compression to one frame."""
    plate = np.clip(plate, 0, 1) ** look.gamma[frame] * look.gain[frame]
    if look.night:
        plate = look.night(rng, np.clip(plate, 0, 1))
    if look.blur:
        plate = cv2.GaussianBlur(plate, (0, 0), look.blur)
    if look.grain and not look.night:
        plate = plate + look.grain * rng.standard_normal(plate.shape, np.float32)
    plate = np.clip(plate, 0, 1).astype(np.float32)
    return plate if look.quality is None else _compressed(plate, look.quality)


def _compressed(plate: Pixels, quality: int) -> Pixels:
    _, data = cv2.imencode(".jpg", (255 * plate).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)).astype(np.float32) / 255


def moved(
    rng: Rng, plates: list[NDArray[np.uint8]], labels: list[NDArray[np.uint8]], size: Size, *, warp: bool = False
) -> ComposedClip:
    """Make a clip of labelled pictures, with a random placement, motion and look. warp: some frames are bent."""
    count = len(plates)
    motion = Motion(rng, size, 1.5 if warp else 0.7)
    place = _background_placement(rng, plates[0], size)
    look = _look(rng, count, Chances())
    flipped = rng.random() < 0.5
    seen, masks = [], []
    for frame, (plate, label) in enumerate(zip(plates, labels, strict=True)):
        matrix = motion.matrix(frame / max(count - 1, 1)) @ place
        picture = _warped(plate, matrix, size, cv2.BORDER_REFLECT)
        mask = _warped(label, matrix, size, cv2.BORDER_REFLECT)
        if warp and rng.random() < 1 / 3:
            picture, mask = _bent(rng, picture, mask)
        if flipped:
            picture, mask = picture[:, ::-1], mask[:, ::-1]
        seen.append(_developed(rng, picture, look, frame))
        masks.append((mask > 0.5).astype(np.float32))
    return ComposedClip(np.stack(seen), np.stack(masks))


def animated(rng: Rng, still: Cutout, frames: int) -> Cutout:
    """Animate a still cut-out: it sways around its foot, nods and bends smoothly; in half of the clips, its motion is
    blurred.
    """
    colour, alpha = still.fgr[0], still.pha[0]
    height, width = alpha.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    speed = float(np.exp(rng.uniform(*np.log((0.08, 0.6)))))
    bend = rng.normal(0, 1, (2, 2, 4, 4)).astype(np.float32)
    sizes = np.array([0.09, 0.05, 0.012, 0.012]) * rng.uniform(0, 1, 4) ** 1.5
    phases, paces = rng.uniform(0, 2 * np.pi, 4), speed * rng.uniform(0.6, 1.6, 4)
    weight = np.clip(1 - y / height, 0, 1)  # the foot stays where it is
    shutter = float(rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else 0.0

    def at(time: float) -> tuple[Pixels, Pixels]:
        lean, nod, one, two = sizes * np.sin(paces * time + phases)
        dx, dy = (
            cv2.resize(one * bend[0, k] + two * bend[1, k], (width, height), interpolation=cv2.INTER_CUBIC)
            for k in (0, 1)
        )
        turn = (lean * weight + 2 * nod * weight**2).astype(np.float32)
        maps = (
            (x + turn * (height - y) + dx * width).astype(np.float32),
            (y - turn * (x - width / 2) + dy * height).astype(np.float32),
        )
        fgr, pha = (cv2.remap(p, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in (colour, alpha))
        return fgr.astype(np.float32) / 255, pha.astype(np.float32) / 255

    seen = [
        _mean([at(frame + shutter * k / 3) for k in range(4)]) if shutter else at(frame)
        for frame in map(float, range(frames))
    ]
    bytes_of = [tuple(np.asarray((255 * p).round(), np.uint8) for p in pair) for pair in seen]
    return Cutout(*(list(parts) for parts in zip(*bytes_of, strict=True)))


def _bent(rng: Rng, picture: Pixels, mask: Pixels) -> tuple[Pixels, Pixels]:
    """Warp picture and mask smoothly, by a coarse grid of shifts of about 2 % of the picture's size."""
    height, width = mask.shape
    shifts = rng.normal(0, 0.02, (2, 3, 4)).astype(np.float32)
    dx, dy = (cv2.resize(s, (width, height), interpolation=cv2.INTER_CUBIC) for s in shifts)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    maps = x + dx * width, y + dy * height
    bent = [cv2.remap(p, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT) for p in (picture, mask)]
    return bent[0], bent[1]


# -- the artist's mask ------------------------------------------------------------------------------------------------


SHORT_SHARE = 0.25
"""The share of the binary masks that end before the borders of the picture."""


def guide_mask(rng: Rng, alpha: Pixels, reach: int = 8) -> Pixels:
    """Return a mask as an artist might draw it for an alpha (H, W): mostly binary and a little too large or small;
    sometimes soft, or ending just before the borders of the picture.
    """
    if rng.random() < 0.15:
        return cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.5, 2.5)))
    densest = max(float(np.quantile(alpha[alpha > 0.02], 0.9)) if (alpha > 0.02).any() else 1.0, 0.05)
    binary = (alpha > rng.uniform(0.1, 0.6) * densest).astype(np.float32)  # the mask of a veil includes all of it
    drawn = grown_or_shrunk(rng, binary, reach)
    return short_of_borders(rng, drawn, reach) if rng.random() < SHORT_SHARE else drawn


def short_of_borders(rng: Rng, mask: Pixels, reach: int) -> Pixels:
    """Erase up to `reach` rows or columns along each border of the picture: artists stop drawing just before it, and a
    network that never saw that takes the strip for background (docs/masks.md). Reach is in pixels.
    """
    short = mask.copy()
    for turns in range(4):
        gap = int(rng.integers(0, reach + 1))
        np.rot90(short, turns)[:gap] = 0  # a view of `short`
    return short if short.any() else mask


def grown_or_shrunk(rng: Rng, mask: Pixels, reach: int) -> Pixels:
    """Dilate or erode, half of the time each, by a random ellipse of 1 to `reach` pixels."""
    width = int(rng.integers(1, reach + 1))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return np.asarray(change(mask, kernel), np.float32)
