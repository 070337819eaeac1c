# SPDX-License-Identifier: Apache-2.0
"""Chooses the frame of a guide that becomes the key frame of an object without a mask.

This happens on the artist's machine when the job is made, since the guide has to be read. The job then names that frame
like any other key, so a farm or an engine does not choose again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matanyone_engine.errors import MaskError
from matanyone_engine.jobs.guides import GUIDES
from matanyone_engine.jobs.masks import KeyMask
from matanyone_engine.media.guides import GuideShape, best_frame, clear_frames, has_edge, small, white_share
from matanyone_engine.media.images import FloatImage, open_image
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.masks import read_constraint_mask
from matanyone_engine.sizes import Resolution


def with_keys_of_guides(
    keys: Sequence[KeyMask], guides: Mapping[str, str], frames: Sequence[int] | None
) -> tuple[KeyMask, ...]:
    """Add a key mask for each object that has a guide and no mask. guides: object -> pattern; frames: None is all. The
    key is the frame on which the guide covers most and moves least (best_frame() in media/guides.py), of those on which
    it is white and not grey (clear_frames()). Raises MaskError, PlateError.
    """
    drawn = {key.object for key in keys}
    missing = {name: pattern for name, pattern in guides.items() if name not in drawn}
    return (*keys, *(KeyMask(pattern, (_best(pattern, frames),), name) for name, pattern in missing.items()))


def _best(pattern: str, frames: Sequence[int] | None) -> int:
    """Return the best frame of a guide among the job's frames. Raises MaskError."""
    source, found = GUIDES.found(pattern)
    there: dict[int, GuideShape] = {}
    shares: dict[int, float] = {}
    for frame in found.frames:
        mask = _read(source.at(found.path(frame)))
        place = small(mask)
        if has_edge(place):
            there[frame] = place
            if frames is None or frame in frames:
                shares[frame] = white_share(mask)
    best = best_frame(there, clear_frames(shares))
    if best is None:
        raise _no_key("a guide that shows the object on some frame that is asked for", f"none in {pattern}")
    return best


def _read(source: MaskSource) -> FloatImage:
    """Return a guide (H, W) 0..1 at its own size, which the job compares with the plate's size later.

    Raises MaskError.
    """
    with open_image(source.path, MaskError) as image:
        spec = image.spec()
    return read_constraint_mask(source, Resolution(spec.full_width, spec.full_height))


def _no_key(expected: str, came: str) -> MaskError:
    return MaskError(expected=expected, came=came, action="Draw one mask and name it: --mask FILE@FRAME.")
