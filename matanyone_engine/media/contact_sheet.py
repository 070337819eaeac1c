# SPDX-License-Identifier: Apache-2.0
"""Makes a contact sheet: plate, alpha and composite of a few frames in one PNG.

Frames are added while a shot runs; only thumbnails of the chosen frames are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError
from matanyone_engine.media.images import FloatImage, last_error
from matanyone_engine.media.thumbnails import Sheet, Thumbnails

THUMBNAIL_WIDTH = 480
"""The greatest width of a thumbnail, in pixels. Smaller plates keep their size."""

TITLES = ("plate", "alpha", "composite")

# Display-referred 8-bit greys of the sheet.
_BACKGROUND, _TITLE_GREY, _LABEL_GREY = 28, 150, 215

_MARGIN, _GAP, _GUTTER, _HEADER = 24, 10, 88, 30
_NARROWEST_CELL = 110
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6


@dataclass(frozen=True)
class _Row:
    """Holds one frame's thumbnails, (h, w, 3) 8-bit sRGB, in the order of TITLES."""

    cells: tuple[Sheet, Sheet, Sheet]


def choose_preview_frames(frames: Sequence[int], count: int = 6) -> list[int]:
    """Return at most `count` frames, evenly spread over the shot, the first and the last among them."""
    if len(frames) <= count:
        return list(frames)
    places = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return [frames[place] for place in places]


class ContactSheet:
    """Collects rows while a shot runs and writes them as one picture."""

    def __init__(self, frames: Sequence[int]) -> None:
        """frames: numbers of the frames to show, one row each (see choose_preview_frames)."""
        self._chosen = frozenset(frames)
        self._rows: dict[int, _Row] = {}

    @property
    def filled(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self._rows)

    def wants(self, frame: int) -> bool:
        """Return whether this frame is one of the chosen ones."""
        return frame in self._chosen

    def add(self, frame: int, rgb: FloatImage, alpha: FloatImage) -> None:
        """Keep thumbnails of a chosen frame, and ignore other frames.

        rgb (H, W, 3) float, display-referred sRGB; alpha (H, W) float. Both are 0 to 1; other values are clipped.
        """
        if self.wants(frame):
            self._rows[frame] = _thumbnails(rgb, alpha)

    def write(self, path: Path) -> None:
        """Write the sheet as an 8-bit sRGB PNG, atomically, with the frames that were added so far.

        Raises OutputError if there are none or the file cannot be written.
        """
        if not self._rows:
            raise OutputError(
                expected="at least one finished frame for the contact sheet",
                came="no finished frame",
                action="Run the shot again; the sheet is written from its frames.",
            )
        write_png(path, _lay_out(self._rows))


def _thumbnails(rgb: FloatImage, alpha: FloatImage) -> _Row:
    small = Thumbnails.of(rgb, alpha, THUMBNAIL_WIDTH)
    return _Row((small.plate(), small.alpha(), small.over_checker()))


def _lay_out(rows: dict[int, _Row]) -> Sheet:
    """Lay the sheet out: frame numbers down the left, titles on top, one row of cells per frame in ascending order."""
    cell_height, thumbnail_width, _ = next(iter(rows.values())).cells[0].shape
    cell_width = max(thumbnail_width, _NARROWEST_CELL)
    row_height = max(cell_height, _HEADER)
    left, top = _MARGIN + _GUTTER, _MARGIN + _HEADER
    height = top + len(rows) * (row_height + _GAP) - _GAP + _MARGIN
    width = left + len(TITLES) * (cell_width + _GAP) - _GAP + _MARGIN
    sheet = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    lefts = [left + column * (cell_width + _GAP) for column in range(len(TITLES))]
    for title, x in zip(TITLES, lefts, strict=True):
        write_text(sheet, title, (x, top - 12), _TITLE_GREY)
    for place, frame in enumerate(sorted(rows)):
        y = top + place * (row_height + _GAP)
        write_text(sheet, str(frame), (_MARGIN, y + cell_height // 2 + 6), _LABEL_GREY)
        for cell, x in zip(rows[frame].cells, lefts, strict=True):
            sheet[y : y + cell_height, x : x + thumbnail_width] = cell
    return sheet


def write_text(sheet: Sheet, text: str, baseline_left: tuple[int, int], grey: int) -> None:
    cv2.putText(sheet, text, baseline_left, _FONT, _FONT_SCALE, (grey, grey, grey), 1, cv2.LINE_AA)


def write_png(path: Path, sheet: Sheet) -> None:
    spec = oiio.ImageSpec(sheet.shape[1], sheet.shape[0], 3, oiio.UINT8)
    spec.attribute("oiio:ColorSpace", "sRGB")
    buffer = oiio.ImageBuf(spec)
    buffer.set_pixels(oiio.ROI.All, sheet)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            if not buffer.write(str(temporary), fileformat="png"):
                raise OSError(last_error(buffer))
    except OSError as error:
        raise OutputError.of(f"the contact sheet {path}", error) from error
