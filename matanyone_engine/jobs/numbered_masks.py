# SPDX-License-Identifier: Apache-2.0
"""Finds masks that an artist gives frame by frame, numbered as the plate: guides, and areas to be refined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matanyone_engine.errors import MaskError
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.sequence import FrameSequence, describe_frames, find_sequence, is_movie


@dataclass(frozen=True)
class NumberedMasks:
    """Names one kind of such masks in the words of its errors."""

    each: str
    """What is expected in place of a single file: 'a mask for each frame that is guided'."""
    some: str
    """What is expected 'some of the plate's frames': 'guides for'."""
    option: str
    """How the masks are given on the command line."""

    def found(self, pattern: str) -> tuple[MaskSource, FrameSequence]:
        """Return the files of a pattern. Raises MaskError for one file, PlateError where there is none.

        A frame on which a label map lacks the label is a black mask: the subject may have left the picture.
        """
        source = replace(MaskSource.parse(pattern), label_may_be_absent=True)
        if source.path.is_file() and is_movie(source.path):
            raise self._refused(self.each, f"a movie, {pattern}", "Write the movie out as images")
        if source.path.is_file():
            raise self._refused(self.each, f"one file, {pattern}")
        return source, find_sequence(source.path)

    def check(self, pattern: str, plate: Sequence[int]) -> None:
        """Raise MaskError for masks of which the plate has no frame; a part of it may well have none."""
        _, found = self.found(pattern)
        if not set(found.frames) & set(plate):
            expected = f"{self.some} some of the plate's frames {describe_frames(plate)}"
            raise self._refused(expected, f"{pattern!r} with the frames {describe_frames(found.frames)}")

    def _refused(self, expected: str, came: str, do: str = "Write #### in place of the frame number") -> MaskError:
        action = f"{do} and number them as the plate: {self.option}."
        return MaskError(expected=expected, came=came, action=action)
