# SPDX-License-Identifier: Apache-2.0
"""Lists the stages of training as frozen values (paper section 4).

Rules of this file:
1. Constants and their reasons only, and the one rule they share.
2. A stage says everything a run needs but its data and its starting weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class LossPass(Enum):
    """Says what one optimiser step learns from."""

    MATTING = "matting"
    """Clips with true alpha, through the matting head."""
    SEGMENTATION = "segmentation"
    """Binary labels through the segmentation head: video at even iterations, stills at odd ones."""
    CORE = "core"
    """The same labels through the matting head: sure inside and outside, boundaries from the picture."""


class MattingData(Enum):
    """Says what the matting pass is fed with."""

    VIDEO = "video"
    STILLS = "stills"
    """Image matting sets, moved by augmentation; the change head does not learn from them."""


class Rate(Enum):
    """Says how the learning rate goes on after its rise."""

    CONSTANT = "constant"
    COSINE = "cosine"


@dataclass(frozen=True)
class LossWeights:
    """Says how much each term counts."""

    coherence: float = 1.0
    edge: float = 0.0
    first: float = 5.0
    """The first frame's terms, again, on top."""
    auxiliary: float = 0.01
    change: float = 1.0
    boundary: float = 11.5


@dataclass(frozen=True)
class TrainingStage:
    """Describes one stage of training."""

    name: str
    iterations: int
    batch: int
    """Clips per step over all processes together."""
    crop: tuple[int, int]
    """Height and width in pixels, multiples of 16."""
    frames: tuple[int, int]
    """Fewest and most frames of a clip."""
    rate: float
    """Learning rate once it has risen."""
    schedule: Rate = Rate.CONSTANT
    rate_rise: int = 0
    """Iterations over which the rate rises from 0."""
    trunk_rate: float = 0.1
    """Factor for the image trunk: small where it starts from trained weights, 0 where it does not learn at all."""
    weight_decay: float = 1e-3
    clip_norm: float = 3.0
    passes: tuple[LossPass, ...] = (LossPass.MATTING,)
    matting: MattingData = MattingData.VIDEO
    points: int = 8192
    """Compared per frame in the segmentation terms."""
    weights: LossWeights = LossWeights()
    clamp_from: int | None = 0
    """Alphas are clamped to 0..1 from this iteration on. None: memory always sees clamped alphas, losses never do."""
    overshoot: float = 1.0
    """How much of what lies beyond a truth of 0 or 1 counts as an error, where losses see raw alphas. Less than 1
    lets the network be sure: a raw alpha of 1.1 inside the subject is shown as 1."""
    warm_ups: tuple[int, int] = (1, 1)
    """Fewest and most first-frame passes."""
    references: int = 3
    """Earlier frames a frame may read."""
    top_k: int | None = None
    """Tokens of memory that a pixel reads, as at inference; None reads all of them."""
    deep_update: float = 0.2
    """Probability of a deep sensory update after a frame."""
    through_time: bool = True
    """Gradients pass from frame to frame through alpha, sensory map and summary. Without, a frame learns from its own
    answer and from the values it reads: started from nothing, a network blew up with it (docs/training.md, diary)."""
    learns_norms: bool = False
    """Batch norm of encoders and change head: learnt, or frozen at stored statistics."""
    bf16: bool = False
    """Matrix products in bfloat16; a run begins without where the device does not gain by it (cli/train.py)."""
    average: float = 0.0
    """Decay of the weight average that is saved; 0 saves the last weights."""
    seed: int = 14159265


def labels_are_video(iteration: int) -> bool:
    """Return whether segmentation and core passes learn from video, at even iterations, or from moved stills."""
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
"""The published recipe for the published network, its trunks trained on ImageNet before."""

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
"""Ours, for the bundled network: from nothing, on drawn and rendered clips, on CPU cores. Small crops first, then
longer clips, then larger crops, at last with frozen norms."""

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
"""Ours, for the network with a trained trunk: the core alone, from small crops to its real size. The third stage has
clips that are long enough to drift, and lets gradients pass through time. The rate stays up and the weight average is
what is judged, so that the campaign can stop and be judged at any time; the fourth stage lets the rate fall. From the
fifth on, the trunk learns as well, a fifth as fast as the rest. The seventh is the first that sees rendered people."""

STAGES = {stage.name: stage for stage in (*MATANYONE_STAGES, *MINI_STAGES, *LITE_STAGES)}
