# SPDX-License-Identifier: Apache-2.0
"""A contact sheet: plate, alpha and composite of a few frames in one PNG, for a look at a shot without a viewer.

Rules of this file:
1. Fed while a shot runs; it keeps thumbnails of the chosen frames and nothing else.
2. The composite is mixed in linear light and encoded last: hair edges look as they will in comp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import OutputError
from matanyone_engine.media.color import decode_srgb, encode_srgb

Image = NDArray[np.float32]
Sheet = NDArray[np.uint8]

THUMBNAIL_WIDTH = 480
"""Widest thumbnail, in pixels; smaller plates keep their size."""

TITLES = ("plate", "alpha", "composite")

# Display-referred 8-bit greys of the sheet.
_BACKGROUND, _TITLE_GREY, _LABEL_GREY = 28, 150, 215

_CHECKER = (0.15, 0.21)
"""Linear light: two greys around 18 %, far enough apart to show through, too close to distract."""
_CHECKER_SQUARE = 16

_MARGIN, _GAP, _GUTTER, _HEADER = 24, 10, 88, 30
_NARROWEST_CELL = 110
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6


@dataclass(frozen=True)
class _Row:
    """One frame's thumbnails, (h, w, 3) 8-bit sRGB, in the order of TITLES."""

    cells: tuple[Sheet, Sheet, Sheet]


def choose_preview_frames(frames: Sequence[int], count: int = 6) -> list[int]:
    """At most `count` frames, evenly spread over the shot, the first and the last among them."""
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
        """Whether there is anything to write."""
        return bool(self._rows)

    def wants(self, frame: int) -> bool:
        """Whether add would keep anything of this frame."""
        return frame in self._chosen

    def add(self, frame: int, rgb: Image, alpha: Image) -> None:
        """Keep thumbnails of a frame the sheet wants; other frames leave no trace.

        rgb (H, W, 3) float, display-referred sRGB; alpha (H, W) float. Both 0 to 1; what lies outside is clipped.
        """
        if self.wants(frame):
            self._rows[frame] = _thumbnails(rgb, alpha)

    def write(self, path: Path) -> None:
        """Write the sheet as an 8-bit sRGB PNG, atomically, with the rows that were added so far.

        Raises OutputError when there is no row or the file cannot be written.
        """
        if not self._rows:
            raise OutputError(
                expected="at least one finished frame for the contact sheet",
                came="none",
                action="Run the shot again; the sheet is written from its frames.",
            )
        write_png(path, _lay_out(self._rows))


def _thumbnails(rgb: Image, alpha: Image) -> _Row:
    height, width = alpha.shape
    size = _thumbnail_size(height, width)
    linear = decode_srgb(np.clip(rgb, 0, 1))
    opacity = np.clip(alpha, 0, 1)[..., None]
    # Premultiplied, so that shrinking mixes no background into the edges.
    subject, cover = _shrink(linear * opacity, size), _shrink(opacity, size)[..., None]
    composite = subject + (1 - cover) * _checker(size)
    plate = _to_bytes(encode_srgb(_shrink(linear, size)))
    matte = _to_bytes(np.repeat(cover, 3, axis=2))
    return _Row((plate, matte, _to_bytes(encode_srgb(composite))))


def _thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) in the same proportions, never larger than the plate."""
    scale = min(1.0, THUMBNAIL_WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrink(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _checker(size: tuple[int, int]) -> Image:
    """(h, w, 1) linear light."""
    width, height = size
    rows, columns = np.ogrid[:height, :width]
    odd = (rows // _CHECKER_SQUARE + columns // _CHECKER_SQUARE) % 2
    return np.asarray(_CHECKER, dtype=np.float32)[odd][..., None]


def _to_bytes(image: Image) -> Sheet:
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, dtype=np.uint8)


def _lay_out(rows: dict[int, _Row]) -> Sheet:
    """Frame numbers down the left, titles on top, one row of cells per frame in ascending order."""
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
                raise OSError(buffer.geterror())
    except OSError as error:
        raise OutputError(
            expected=f"to write the contact sheet {path}",
            came=error.strerror or str(error),
            action="Choose a folder with room in which you may write.",
        ) from error
