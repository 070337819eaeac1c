# SPDX-License-Identifier: Apache-2.0
"""Prepares one frame as a job would, for showing it. It needs no network and writes nothing.

Rule of this file: plates and masks are processed as in job.py, so that what is shown is what the network will see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matanyone_engine.errors import FrameRangeError
from matanyone_engine.jobs.job import MatteJob, keys_of, open_source
from matanyone_engine.jobs.masks import prepared_mask
from matanyone_engine.matting.geometry import Geometry
from matanyone_engine.matting.options import check_options, keywords
from matanyone_engine.media.color import Levels, NetworkView, exposure_or_found
from matanyone_engine.media.color_spaces import ColourChoice, choose_space
from matanyone_engine.media.images import FloatImage, PlateHeader
from matanyone_engine.media.plates import PlateSource
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.sizes import Size

SHADOWS, MIDDLE, LIGHTS = 0.01, 0.5, 0.99
"""Quantiles of the brightness that are reported."""


@dataclass(frozen=True)
class Inspection:
    """Holds the facts about one plate frame, and what the network would see of it."""

    source: PlateSource
    frame: int
    header: PlateHeader
    colour: ColourChoice
    network_view: NetworkView
    levels: Levels
    brightness: tuple[float, float, float]
    """The quantiles SHADOWS, MIDDLE and LIGHTS of the network's view, as display values."""
    working: Size
    """The size at which the network computes."""
    seen: FloatImage
    """(H, W, 3) 0..1: what the network sees."""
    mask: FloatImage | None
    """(H, W) 0..1, grown or shrunk as the job says."""


def inspect_plate(job: MatteJob, frame: int | None = None) -> Inspection:
    """Prepare one frame as a job would. A job without a mask ('') shows the plate alone.

    frame: None is the mask's frame, or the first. Raises PlateError, MaskError, FrameRangeError, ColourError,
    SettingError.
    """
    check_options(**keywords(job))
    source = open_source(job)
    job = job.named()
    keys = keys_of(job, source, source.frames)
    # without a mask there is no key frame yet, so the first frame is taken
    key = keys[0].seed.frame if keys else source.frames[0]
    if frame is None:
        frame = key
    elif frame not in source.frames:
        raise FrameRangeError(
            expected=f"a frame of the plate, which has {describe_frames(source.frames)}",
            came=f"frame {frame}",
            action="Choose one of these frames.",
        )
    header = source.header(frame)
    colour = choose_space(header, job.colorspace, source.suffix)
    mask = prepared_mask(keys[0].source, header.resolution, job.mask_grow, job.view) if keys else None
    rgb = source.read(frame).rgb
    exposure = exposure_or_found(job.exposure, colour.space, lambda: rgb if key == frame else source.read(key).rgb)
    network_view = NetworkView(colour.space, exposure)
    seen = network_view(rgb)
    brightness = np.quantile(seen.max(axis=-1), (SHADOWS, MIDDLE, LIGHTS))
    return Inspection(
        source=source,
        frame=frame,
        header=header,
        colour=colour,
        network_view=network_view,
        levels=network_view.levels(rgb),
        brightness=(float(brightness[0]), float(brightness[1]), float(brightness[2])),
        working=Geometry.of(Size(*seen.shape[:2]), job.working_size).working,
        seen=seen,
        mask=mask,
    )
