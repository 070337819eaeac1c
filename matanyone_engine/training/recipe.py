# SPDX-License-Identifier: Apache-2.0
"""Lists the stages of training as frozen values (paper section 4).

Rules of this file:
1. There are only constants with their reasons, and the rule about labels that all stages share.
2. A stage holds all settings of a run, except its data and its starting weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class LossPass(Enum):
    """Names the kinds of passes. Each iteration makes one optimiser step for each pass of its stage."""

    MATTING = "matting"
    """Clips with true alphas train the matting head."""
    SEGMENTATION = "segmentation"
    """Binary labels train the segmentation head: video at even iterations, stills at odd ones."""
    CORE = "core"
    """The same labels train the matting head: L1 far from the outline, and the boundary loss."""


class MattingData(Enum):
    """Names the data of the matting pass."""

    VIDEO = "video"
    STILLS = "stills"
    """Image matting sets, moved by augmentation; the change head does not learn from them."""


class Rate(Enum):
    """Names the schedule of the learning rate after its rise."""

    CONSTANT = "constant"
    COSINE = "cosine"


@dataclass(frozen=True)
class LossWeights:
    """Holds the weights of the loss terms."""

    coherence: float = 1.0
    edge: float = 0.0
    first: float = 5.0
    """The weight of the first frame's terms."""
    auxiliary: float = 0.01
    change: float = 1.0
    boundary: float = 11.5


@dataclass(frozen=True)
class TrainingStage:
    """Describes one stage of training."""

    name: str
    iterations: int
    batch: int
    """Number of clips in a step, over all processes together."""
    crop: tuple[int, int]
    """Height and width in pixels, multiples of 16."""
    frames: tuple[int, int]
    """The fewest and the most frames of a clip."""
    rate: float
    """The learning rate after its rise."""
    schedule: Rate = Rate.CONSTANT
    rate_rise: int = 0
    """Number of iterations over which the rate rises from 0."""
    trunk_rate: float = 0.1
    """The image trunk's part of the learning rate: small if its weights were trained before, 0 to keep them."""
    weight_decay: float = 1e-3
    clip_norm: float = 3.0
    passes: tuple[LossPass, ...] = (LossPass.MATTING,)
    matting: MattingData = MattingData.VIDEO
    points: int = 8192
    """Number of points in a frame at which the segmentation terms compare."""
    weights: LossWeights = LossWeights()
    clamp_from: int | None = 0
    """The iteration from which alphas are clamped to 0..1. With None, memory always gets clamped alphas, and losses
    always raw ones."""
    overshoot: float = 1.0
    """The factor of errors of raw alphas below a truth of 0 or above a truth of 1. It is less than 1 so that the
    network may predict a raw alpha of 1.1 inside the subject, which is clamped to 1."""
    warm_ups: tuple[int, int] = (1, 1)
    """The fewest and the most predictions of the first frame."""
    references: int = 3
    """The most earlier frames that a frame reads from memory."""
    top_k: int | None = None
    """Number of memory tokens that a pixel reads, as at inference; None reads all of them."""
    deep_update: float = 0.2
    """Probability of a deep sensory update after a frame."""
    through_time: bool = True
    """Whether gradients pass from frame to frame through alpha, sensory map and summary. If not, a frame learns from
    its own prediction and from the values that it reads. Networks that started with random weights diverged with it
    (docs/training.md, diary)."""
    learns_norms: bool = False
    """Whether the batch norms of encoders and change head learn. If not, they use their stored statistics."""
    bf16: bool = False
    """Whether matrix products run in bfloat16. cli/train.py turns it off on a device that does not gain by it."""
    average: float = 0.0
    """Decay of the weight average that is saved; with 0, the last weights are saved."""
    seed: int = 14159265


def labels_are_video(iteration: int) -> bool:
    """Return whether segmentation and core passes learn from video, as at even iterations, or else from moved
    stills.
    """
    return iteration % 2 == 0


MATANYONE_STAGES = (
    TrainingStage(
        "matanyone-1",
        80_000,
        16,
        (384, 384),
        (3, 3),
        1e-4,
        passes=(LossPass.MATTING, LossPass.SEGMENTATION),
        clamp_from=100,
    ),
    TrainingStage(
        "matanyone-2",
        40_000,
        16,
        (480, 480),
        (8, 8),
        1e-4,
        passes=(LossPass.MATTING, LossPass.SEGMENTATION, LossPass.CORE),
        points=12544,
    ),
    TrainingStage(
        "matanyone-3",
        20_000,
        16,
        (480, 480),
        (8, 8),
        1e-5,
        passes=(LossPass.MATTING, LossPass.SEGMENTATION, LossPass.CORE),
        matting=MattingData.STILLS,
        points=12544,
    ),
)
"""The published recipe for the published network, whose trunks were trained on ImageNet before."""

_MINI = TrainingStage(
    "mini-1",
    900,
    4,
    (128, 192),
    (3, 3),
    4e-4,
    rate_rise=100,
    trunk_rate=1.0,
    weights=LossWeights(coherence=5.0, edge=0.1, first=0.5, auxiliary=0.05, change=0.05),
    clamp_from=None,
    through_time=False,
    learns_norms=True,
    bf16=True,
    average=0.998,
)

MINI_STAGES = (
    _MINI,
    replace(
        _MINI,
        name="mini-2",
        iterations=1_500,
        crop=(160, 224),
        frames=(3, 4),
        schedule=Rate.COSINE,
        rate_rise=30,
        warm_ups=(1, 2),
    ),
    replace(
        _MINI,
        name="mini-3",
        iterations=2_600,
        crop=(192, 288),
        frames=(3, 4),
        schedule=Rate.COSINE,
        rate_rise=50,
        warm_ups=(1, 2),
        seed=27182818,
    ),
    replace(
        _MINI,
        name="mini-4",
        iterations=400,
        batch=2,
        crop=(288, 416),
        frames=(3, 4),
        rate=8e-5,
        schedule=Rate.COSINE,
        rate_rise=30,
        warm_ups=(1, 2),
        learns_norms=False,
        seed=57721566,
    ),
)
"""This project's recipe for a small network with random weights, on CPU cores, from drawn and rendered clips. Crops are
small at first, then clips are longer, then crops are larger, and at last batch norms are frozen."""

_LITE = replace(
    _MINI,
    name="lite-1",
    iterations=3_000,
    rate_rise=50,
    trunk_rate=0.0,
    overshoot=0.1,
    warm_ups=(1, 2),
    frames=(3, 4),
    seed=16180339,
)

_LITE_4 = replace(
    _LITE,
    name="lite-4",
    iterations=1_000,
    crop=(288, 416),
    batch=2,
    frames=(4, 6),
    rate=2e-4,
    top_k=30,
    schedule=Rate.COSINE,
    weights=replace(_LITE.weights, change=0.2),
    through_time=True,
    learns_norms=False,
    seed=17320508,
)

LITE_STAGES = (
    _LITE,
    replace(_LITE, name="lite-2", iterations=12_000, crop=(192, 288), seed=14142135),
    replace(
        _LITE,
        name="lite-3",
        iterations=6_000,
        batch=3,
        crop=(192, 288),
        frames=(4, 8),
        rate=3e-4,
        top_k=30,
        weights=replace(_LITE.weights, change=0.2),
        through_time=True,
        seed=26457513,
    ),
    _LITE_4,
    replace(_LITE_4, name="lite-5", iterations=900, trunk_rate=0.2, seed=22360679),
    replace(_LITE_4, name="lite-6", iterations=1_700, rate=1.5e-4, trunk_rate=0.2, seed=24494897),
    replace(_LITE_4, name="lite-7", iterations=1_000, rate=1.5e-4, trunk_rate=0.2, seed=33166248),
    replace(_LITE_4, name="lite-8", iterations=1_750, rate=1.5e-4, trunk_rate=0.2, seed=34641016),
)
"""This project's recipe for the core of the network with a trained trunk, from small crops to its working size. In the
third stage, clips are long enough for alphas to drift, and gradients pass through time. Up to there, the rate is
constant and the weight average is judged, so that training can stop at any time; in the fourth stage, the rate falls.
From the fifth on, the trunk learns, too, a fifth as fast as the rest. The seventh is the first with rendered people."""

STAGES = {stage.name: stage for stage in (*MATANYONE_STAGES, *MINI_STAGES, *LITE_STAGES)}
