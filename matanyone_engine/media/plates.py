# SPDX-License-Identifier: Apache-2.0
"""Opens a plate, whether it is an image sequence, one image or a movie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from matanyone_engine.errors import PlateError
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color_spaces import choose_space
from matanyone_engine.media.images import (
    ANY_PICTURE,
    FLOAT_FORMATS,
    Plate,
    PlateHeader,
    check_ends,
    read_header,
    read_plate,
)
from matanyone_engine.media.movies import FIRST_FRAME, Movie
from matanyone_engine.media.sequence import FrameSequence, check_name, find_sequence, is_movie

PLAIN_PICTURE = "R, G, B"


class PlateSource(Protocol):
    """Gives frames one at a time, each under its own number.

    frames:  the numbers of the frames that exist, ascending. gaps, missing: those that should exist and do not.
    padding: number of digits in frame numbers. name: for messages. suffix: '.exr', '.mov'.
    """

    @property
    def frames(self) -> tuple[int, ...]: ...
    @property
    def gaps(self) -> tuple[range, ...]: ...
    @property
    def missing(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def suffix(self) -> str: ...

    def header(self, frame: int) -> PlateHeader:
        """Return the header of the frame's file. Raises PlateError."""

    def check(self, frame: int) -> None:
        """Check that the frame's file is complete. Raises PlateError."""

    def read(self, frame: int) -> Plate:
        """Read the frame's pixels. Raises PlateError if some are missing, or are NaN or Inf."""

    def paths(self, frames: Sequence[int]) -> list[Path]:
        """Return the files that hold these frames, which must never be overwritten."""


class SequencePlate:
    """Reads the frames of a sequence. wanted: which picture to read, where a file has several."""

    def __init__(self, sequence: FrameSequence, wanted: Selection = ANY_PICTURE) -> None:
        self.sequence = sequence
        self.wanted = wanted

    @property
    def frames(self) -> tuple[int, ...]:
        return self.sequence.frames

    @property
    def gaps(self) -> tuple[range, ...]:
        return self.sequence.gaps

    @property
    def missing(self) -> tuple[int, ...]:
        return self.sequence.missing

    @property
    def padding(self) -> int:
        return self.sequence.padding

    @property
    def name(self) -> str:
        return self.sequence.name

    @property
    def suffix(self) -> str:
        return self.sequence.path(self.frames[0]).suffix

    def header(self, frame: int) -> PlateHeader:
        return read_header(self.sequence.path(frame), self.wanted)

    def check(self, frame: int) -> None:
        check_ends(self.sequence.path(frame), self.wanted)

    def read(self, frame: int) -> Plate:
        return read_plate(self.sequence.path(frame), self.wanted)

    def paths(self, frames: Sequence[int]) -> list[Path]:
        return [self.sequence.path(frame) for frame in frames]


def open_plate(text: str | Path, first_movie_frame: int = FIRST_FRAME, wanted: Selection = ANY_PICTURE) -> PlateSource:
    """Open a plate, given as a pattern, a folder, an image or a movie. wanted: which picture to read, of several.

    Raises PlateError, FrameRangeError.
    """
    path = Path(text)
    check_name(path)
    if is_movie(path) and not path.is_dir():
        if wanted.part or wanted.layer or (wanted.view and not wanted.by_path):
            raise PlateError(
                expected="a file with views, parts or layers to choose from",
                came=f"the movie {path.name!r}",
                action="Leave --view, --part and --layer out: a movie has one picture.",
            )
        return Movie(path, first_movie_frame)
    return SequencePlate(find_sequence(path), wanted)


def check_plates(
    plate: PlateSource,
    frames: Sequence[int],
    checked: Callable[[int, int], None] = lambda _done, _of: None,
    colorspace: str | None = None,
) -> PlateHeader:
    """Check that every frame is complete, without NaN, and of the first frame's size and colour space.

    Float frames are read completely, to find NaN and Inf; of others, only the last rows are read. checked: called with
    the number of frames that are done, and of all frames. colorspace: the one that the user named for all frames; None
    stands for those that the files state.
    Returns the header of the first frame. Raises PlateError, ColourError.
    """
    first = plate.header(frames[0])
    for done, frame in enumerate(frames, start=1):
        header = plate.header(frame)
        if header.resolution != first.resolution:
            raise PlateError(
                expected=f"every frame of {plate.name!r} at the size of frame {frames[0]}, {first.resolution}",
                came=f"{header.resolution} at frame {frame}",
                action="Run the parts of the plate one by one, or bring all frames to one size.",
            )
        _check_same_picture(plate, header, first, frame)
        is_like_first = (header.colour, _is_float(header)) == (first.colour, _is_float(first))
        if colorspace is None and not is_like_first:
            _check_same_space(plate, header, first, frame)
        if _is_float(header):
            plate.read(frame)
        else:
            plate.check(frame)
        checked(done, len(frames))
    return first


def _is_float(header: PlateHeader) -> bool:
    return header.pixel_format in FLOAT_FORMATS


def _check_same_picture(plate: PlateSource, header: PlateHeader, first: PlateHeader, frame: int) -> None:
    """Raise PlateError for a frame whose picture is of another view, part or layer than the first frame's."""
    if (header.view, header.part, header.layer) != (first.view, first.part, first.layer):
        raise PlateError(
            expected=f"{describe_picture(first)} in every frame of {plate.name!r}",
            came=f"{describe_picture(header)} at frame {frame}",
            action="Choose a picture that all frames have: --view, --part or --layer.",
        )


def _check_same_space(plate: PlateSource, header: PlateHeader, first: PlateHeader, frame: int) -> None:
    """Raise PlateError for a frame of another colour space than the first frame's, which counts for the whole shot."""
    stated, found = choose_space(first, None, plate.suffix), choose_space(header, None, plate.suffix)
    if stated.space != found.space:
        raise PlateError(
            expected=f"every frame of {plate.name!r} in one colour space, {stated.space} ({stated.reason})",
            came=f"{found.space} at frame {frame} ({found.reason})",
            action="Convert the frames to one space. If just a header is wrong, name the space of all: --colorspace.",
        )


def describe_picture(header: PlateHeader) -> str:
    """Return where in its file the picture is, as in 'view left, layer beauty'; PLAIN_PICTURE if it has no names."""
    named = (("view", header.view), ("part", header.part), ("layer", header.layer))
    return ", ".join(f"{what} {name}" for what, name in named if name) or PLAIN_PICTURE
