# SPDX-License-Identifier: Apache-2.0
"""Measures how far an alpha is from the true one, by the metrics of published matting papers.

Rules of this file:
1. Functions are pure, of arrays (H, W) float, 0..1. Results are scaled as in published tables.
2. A frame is compared with its own truth. Only dtSSD uses the frame before, too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]

GRADIENT_SIGMA = 1.4
CONNECTIVITY_STEP = 0.1
CONNECTIVITY_FLOOR = 0.15
"""Smaller differences in connectedness are ignored."""
EDGE_REACH = 5
"""Pixels around the soft parts of the truth that count as its edge."""
LOST = 0.3
"""A subject with an overlap (intersection over union of alphas above 0.5) below this counts as lost."""


@dataclass(frozen=True)
class FrameScores:
    """Holds the scores of one frame. 0 is perfect, except for overlap, and greater values are worse."""

    mad: float
    """Mean absolute difference x 1000."""
    mse: float
    """Mean squared difference x 1000."""
    grad: float
    """Sum of squared differences of gradient magnitudes / 1000."""
    conn: float
    """Sum of differences in connectedness / 1000. Papers report it for low resolutions only."""
    dtssd: float
    """Root mean squared difference of the change since the frame before x 100; 0 for a first frame."""
    core: float
    """Mean absolute difference x 1000 away from edges: it measures holes, and parts that are not the subject."""
    edge: float
    """Mean absolute difference x 1000 near edges; 0 where the truth has none."""
    overlap: float
    """Intersection over union of the alphas above 0.5: 1 is perfect; it is 1 if both are empty."""


METRICS = tuple(field.name for field in dataclasses.fields(FrameScores))


def score(frames: Iterable[tuple[Alpha, Alpha]]) -> Iterator[FrameScores]:
    """Yield the scores of (alpha, truth) pairs in the order of the shot; one pair is held at a time."""
    before: tuple[Alpha, Alpha] | None = None
    for alpha, truth in frames:
        yield score_frame(alpha, truth, before)
        before = alpha, truth


def score_frame(alpha: Alpha, truth: Alpha, before: tuple[Alpha, Alpha] | None = None) -> FrameScores:
    """Score one frame against its truth; `before` is the previous frame's pair."""
    difference = np.abs(alpha.astype(np.float64) - truth)
    near = edge_band(truth)
    return FrameScores(
        mad=1000 * float(difference.mean()),
        mse=1000 * float(np.square(difference).mean()),
        grad=gradient_error(alpha, truth),
        conn=connectivity_error(alpha, truth),
        dtssd=0.0 if before is None else dtssd(alpha, truth, *before),
        core=1000 * _mean(difference[~near]),
        edge=1000 * _mean(difference[near]),
        overlap=overlap(alpha, truth),
    )


def mean_scores(scores: Iterable[FrameScores]) -> FrameScores:
    """Return the mean over frames, the first one's dtSSD of 0 averaged in, as published tables do."""
    rows = [dataclasses.astuple(each) for each in scores]
    return FrameScores(*(float(column) for column in np.mean(rows, axis=0)))


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean()) if values.size else 0.0


def dtssd(alpha: Alpha, truth: Alpha, alpha_before: Alpha, truth_before: Alpha) -> float:
    """Return the difference of what changed since the frame before, root mean square x 100."""
    change = (alpha.astype(np.float64) - alpha_before) - (truth.astype(np.float64) - truth_before)
    return 100 * float(np.sqrt(np.square(change).mean()))


def gradient_error(alpha: Alpha, truth: Alpha) -> float:
    """Return the squared difference of Gaussian-gradient magnitudes, summed / 1000.

    As in the high-resolution tables; the low-resolution ones stretch both alphas to 0..1 first, which forgives a matte
    that is too thin.
    """
    return float(np.square(gradient_field(alpha) - gradient_field(truth)).sum()) / 1000


def gradient_field(alpha: Alpha) -> NDArray[np.float64]:
    """Return how steep an alpha is at each pixel: the magnitude (H, W) of its Gaussian gradient."""
    across = gradient_filter()
    dx, dy = (
        cv2.filter2D(alpha.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REPLICATE)
        for kernel in (across, across.T.copy())
    )
    return np.sqrt(dx**2 + dy**2)


def gradient_filter() -> NDArray[np.float64]:
    """Return the 9 x 9 filter: a Gaussian times the derivative of a Gaussian, of unit energy."""
    x = np.arange(-4, 5, dtype=np.float64)
    bell = np.exp(-(x**2) / (2 * GRADIENT_SIGMA**2)) / (GRADIENT_SIGMA * np.sqrt(2 * np.pi))
    slope = -x * bell / GRADIENT_SIGMA**2
    kernel = np.outer(bell, slope)
    return kernel / np.sqrt(np.square(kernel).sum())


def connectivity_error(alpha: Alpha, truth: Alpha) -> float:
    """Return how differently pixels hang together with the main body, summed / 1000."""
    levels = np.arange(0, 1 + CONNECTIVITY_STEP, CONNECTIVITY_STEP)
    joined = np.full(alpha.shape, -1.0)
    for below, level in itertools.pairwise(levels):
        fresh = (joined == -1) & ~_main_body((alpha >= level) & (truth >= level))
        joined[fresh] = below
    joined[joined == -1] = 1
    return float(np.abs(_connectedness(alpha, joined) - _connectedness(truth, joined)).sum()) / 1000


def _connectedness(alpha: Alpha, joined: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = alpha - joined
    return 1 - apart * (apart >= CONNECTIVITY_FLOOR)


def _main_body(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 4-connected component; nothing of nothing."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=4)
    if count == 1:
        return np.zeros_like(inside)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def edge_band(truth: Alpha) -> NDArray[np.bool_]:
    """Return where the truth is soft or changes sides, and EDGE_REACH pixels around."""
    inside = (truth > 0.5).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    soft = ((truth > 0.02) & (truth < 0.98)) | (cv2.dilate(inside, cross) != cv2.erode(inside, cross))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * EDGE_REACH + 1, 2 * EDGE_REACH + 1))
    return cv2.dilate(soft.astype(np.uint8), disc) > 0


def overlap(alpha: Alpha, truth: Alpha) -> float:
    """Return the intersection over union of what is above a half."""
    here, there = alpha > 0.5, truth > 0.5
    union = (here | there).sum()
    return float((here & there).sum() / union) if union else 1.0
