# SPDX-License-Identifier: Apache-2.0
"""Finds masks that are given frame by frame, numbered as the plate: guides, and areas to be refined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matanyone_engine.errors import MaskError
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.sequence import FrameSequence, describe_frames, find_sequence, is_movie


@dataclass(frozen=True)
class NumberedMasks:
    """Describes one kind of such masks, for its errors."""

    each: str
    """What is expected instead of a single file: 'a mask for each frame that is guided'."""
    some: str
    """The words before 'some of the plate's frames', such as 'guides for'."""
    option: str
    """The option of the command line."""

    def found(self, pattern: str) -> tuple[MaskSource, FrameSequence]:
        """Return the files of a pattern. Raises MaskError for a single file, PlateError if there is none.

        If a frame's label map does not have the label, its mask is black: the subject may have left the picture.
        """
        source = replace(MaskSource.parse(pattern), label_may_be_absent=True)
        if source.path.is_file() and is_movie(source.path):
            raise self._refused(self.each, f"a movie, {pattern}", "Write the movie out as images")
        if source.path.is_file():
            raise self._refused(self.each, f"one file, {pattern}")
        return source, find_sequence(source.path)

    def check(self, pattern: str, plate: Sequence[int]) -> None:
        """Raise MaskError if none of the masks' frames is a frame of the plate."""
        _, found = self.found(pattern)
        if not set(found.frames) & set(plate):
            expected = f"{self.some} some of the plate's frames {describe_frames(plate)}"
            raise self._refused(expected, f"{pattern!r} with the frames {describe_frames(found.frames)}")

    def _refused(self, expected: str, came: str, do: str = "Write #### in place of the frame number") -> MaskError:
        action = f"{do} and number them as the plate: {self.option}."
        return MaskError(expected=expected, came=came, action=action)
