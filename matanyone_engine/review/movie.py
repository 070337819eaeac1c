# SPDX-License-Identifier: Apache-2.0
"""Writes the review movie of a run: plate, alpha and composite side by side, frame number and confidence burnt in.

Rules of this file:
1. Every frame from the first to the last is in the movie, so that it plays in sync with the plate; a frame without an
   alpha is grey and says so.
2. The pictures are sRGB, tagged as BT.709 in a limited range, which is what review players show unchanged.
3. PyAV is the optional extra `movies` and is imported when a movie is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError, SettingError
from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import frame_rate
from matanyone_engine.media.thumbnails import Sheet, fitting
from matanyone_engine.review.review import RunFiles, RunPictures, open_plate_of
from matanyone_engine.runs.frame_record import FrameRecord
from matanyone_engine.sizes import Resolution
from matanyone_engine.wire.reasons import reason

_BT709, _LIMITED_RANGE = 1, 1
"""FFmpeg's numbers for primaries, transfer and matrix of BT.709, and for the range of video."""
_USUAL_FPS = Fraction(24)
"""The frame rate of runs whose plate does not say one."""
_STRIP = 44
"""Rows of the strip below the pictures."""
_DARK, _GREY, _LIGHT = (24, 24, 24), (150, 150, 150), (225, 225, 225)
_GOOD, _BAD = (120, 200, 120), (255, 120, 105)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class MovieFormat:
    """Describes how a movie is encoded."""

    label: str
    encoder: str
    pixels: str
    container: str
    options: dict[str, str]


FORMATS = {
    ".mp4": MovieFormat("H.264", "libx264", "yuv420p", "mp4", {"crf": "16", "preset": "medium"}),
    ".mov": MovieFormat("ProRes 422 HQ", "prores_ks", "yuv422p10le", "mov", {"profile": "3", "vendor": "apl0"}),
}
"""How a file is encoded, by its suffix."""


@dataclass(frozen=True)
class ReviewMovie:
    """Describes the movie that was written."""

    path: Path
    codec: str
    resolution: Resolution
    fps: Fraction
    first: int
    last: int
    notes: tuple[str, ...]
    """What could not be shown."""


def check_movie(path: Path) -> MovieFormat:
    """Return the format of a movie by its suffix. Raises SettingError for an unknown suffix, or without PyAV."""
    chosen = FORMATS.get(path.suffix.lower())
    if chosen is None:
        raise SettingError(
            expected="a movie whose name ends in .mp4 (H.264) or .mov (ProRes)",
            came=str(path),
            action="Rename it, for example --movie review.mp4.",
        )
    if find_spec("av") is None:
        raise SettingError(
            expected="the package PyAV, which writes movies",
            came="a Python without it",
            action="Install it: pip install 'matanyone-engine[movies]'.",
        )
    return chosen


def fps_of(run: RunFiles) -> Fraction:
    """Return the frame rate that the alphas carry from their plate, or 24."""
    said = read_facts(next(iter(run.files.values()))[0]).parts[0].fps
    try:
        return frame_rate(float(Fraction(said))) or _USUAL_FPS
    except (ValueError, ZeroDivisionError):
        return _USUAL_FPS


def write_movie(
    run: RunFiles,
    path: Path,
    *,
    plate: str | None = None,
    width: int = 640,
    seen: Callable[[int, int], None] = lambda _done, _of: None,
) -> ReviewMovie:
    """Write the movie of a run, whole or not at all.

    plate: where it is now, if not where the record says; width: of each picture, in pixels; seen: hears how many frames
    of how many are done. Raises SettingError, PlateError, MaskError, OutputError.
    """
    chosen = check_movie(path)
    notes: list[str] = []
    pictures = RunPictures(run, open_plate_of(run, plate, notes))
    first, last = min(run.files), max(run.files)
    fps = fps_of(run)
    failures: tuple[type[Exception], ...] = (OSError, *_encoder_errors())
    sheets = (_sheet(run, pictures, frame, width) for frame in range(first, last + 1))
    try:
        with whole_file(path) as temporary:
            resolution = _encode(_heard(sheets, last - first + 1, seen), temporary, chosen, fps)
    except failures as error:
        raise OutputError(
            expected=f"that the movie {str(path)!r} can be written",
            came=getattr(error, "strerror", None) or str(error),
            action="Choose a folder with room in which you may write: --movie.",
        ) from error
    return ReviewMovie(path, chosen.label, resolution, fps, first, last, (*notes, *pictures.notes))


def _heard(sheets: Iterator[Sheet], of: int, seen: Callable[[int, int], None]) -> Iterator[Sheet]:
    for done, sheet in enumerate(sheets, 1):
        yield sheet
        seen(done, of)


def _encoder_errors() -> tuple[type[Exception], ...]:
    """Return the classes of PyAV's errors, not all of which are OSErrors."""
    import av

    return (av.FFmpegError,)


def _encode(sheets: Iterator[Sheet], path: Path, chosen: MovieFormat, fps: Fraction) -> Resolution:
    """Encode pictures of one size and return that size. Raises OSError, or an error of _encoder_errors()."""
    import av

    first = next(sheets)
    with av.open(str(path), "w", format=chosen.container) as container:
        stream: Any = container.add_stream(chosen.encoder, rate=fps, options=chosen.options)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = chosen.pixels
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED_RANGE
        for sheet in chain([first], sheets):
            container.mux(stream.encode(_frame(sheet, chosen.pixels)))
        container.mux(stream.encode())
    return Resolution(first.shape[1], first.shape[0])


def _frame(sheet: Sheet, pixels: str) -> Any:
    """Convert one picture to the movie's pixels, by the matrix of BT.709."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    return av.VideoFrame.from_ndarray(np.ascontiguousarray(sheet), format="rgb24").reformat(
        format=pixels,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )


# ------------------------------------------------------------------------------------------------- drawing one frame


def _sheet(run: RunFiles, pictures: RunPictures, frame: int, width: int) -> Sheet:
    """Draw one frame of the movie: three pictures above a strip of text."""
    panel = fitting(pictures.resolution.size, width)
    sheet = np.full((_even(panel.height + _STRIP), _even(3 * panel.width), 3), _DARK, dtype=np.uint8)
    if frame in run.files:
        small, has_plate = pictures.thumbnails(frame, width)
        shown = (small.plate(), small.alpha(), small.over_checker()) if has_plate else (None, small.alpha(), None)
        for place, picture in enumerate(shown):
            if picture is not None:
                left = place * panel.width
                sheet[: picture.shape[0], left : left + picture.shape[1]] = picture
    _write_strip(sheet, run, frame)
    return sheet


def _even(length: int) -> int:
    """Round up to an even number of pixels, which the codecs require."""
    return length + length % 2


def _write_strip(sheet: Sheet, run: RunFiles, frame: int) -> None:
    """Burn in the frame number, the confidence and the name of the run."""
    height, width = sheet.shape[:2]
    scale = min(0.7, width / 1000)
    baseline = height - _STRIP // 2 + round(9 * scale)
    words, colour = _confidence(run.lines.get(frame, FrameRecord())) if frame in run.files else ("no alpha", _GREY)
    number = f"frame {frame}"
    across = cv2.getTextSize(number, _FONT, scale, 1)[0][0]
    cv2.putText(sheet, number, (8, baseline), _FONT, scale, _LIGHT, 1, cv2.LINE_AA)
    cv2.putText(sheet, words, (24 + across, baseline), _FONT, scale, colour, 1, cv2.LINE_AA)
    title = run.title.encode("ascii", "replace").decode()
    taken = 40 + across + cv2.getTextSize(words, _FONT, scale, 1)[0][0]
    long = cv2.getTextSize(title, _FONT, scale, 1)[0][0]
    if taken + long + 8 <= width:
        cv2.putText(sheet, title, (width - long - 8, baseline), _FONT, scale, _GREY, 1, cv2.LINE_AA)


def _confidence(said: FrameRecord) -> tuple[str, tuple[int, int, int]]:
    """Return the text about a frame's confidence: that of its least certain object, and the reason if it is low."""
    told = said.confidence
    if not told:
        return "confidence not known", _GREY
    name = min(told, key=lambda each: told[each].value)
    value = told[name].value
    if value >= DOUBTFUL:
        return f"confidence {value:.2f}", _GOOD
    who = f"{name}: " if len(told) > 1 else ""
    why = reason(told[name].why, value)
    return f"confidence {value:.2f}  {who}{why}".encode("ascii", "replace").decode(), _BAD
