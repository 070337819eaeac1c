# SPDX-License-Identifier: Apache-2.0
"""Makes a picture of what the network will see: the prepared plate, and the prepared mask over it.

Rules of this file:
1. The left half is what the network sees, scaled down if it is large; nothing is drawn over it.
2. In the right half the mask is tinted in proportion to its value, so that a soft edge looks soft; a line marks 0.5.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from matanyone_engine.media.contact_sheet import write_png, write_text
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.thumbnails import Sheet

WIDEST = 1280
"""The greatest width of each half, in pixels. Smaller plates keep their size."""

_TINT = np.array([1.0, 0.15, 0.1], dtype=np.float32)
_TINTED = 0.55
_LINE = (255, 235, 60)
_BACKGROUND, _GREY = 28, 215
_MARGIN, _LINE_HEIGHT = 16, 24
_NARROWEST = 480
"""The least width of the whole picture, in pixels, so that there is room for the text."""
_LETTER = 10
"""About the width of a letter, in pixels."""


def percent(share: float, digits: int = 3) -> str:
    """Write a share, 0 to 1, for people: '13.9 %', '100 %', 'under 0.01 %'; never with an exponent."""
    value = 100 * share
    text = f"{value:.{digits}g}"
    if "e" in text:
        text = f"{value:.0f}" if value >= 1 else "under 0.01"
    return f"{text} %"


def write_preview(path: Path, seen: FloatImage, mask: FloatImage | None, text: Sequence[str]) -> None:
    """Write the picture as an 8-bit sRGB PNG, atomically.

    seen: (H, W, 3) sRGB 0..1, what the network sees. mask: (H, W) 0..1. text: lines for above. Raises OutputError.
    """
    halves = [_bytes(_fit(seen))]
    if mask is not None:
        halves.append(_with_mask(_fit(seen), _fit(mask)))
    write_png(path, _lay_out(halves, text))


def _fit(image: FloatImage) -> FloatImage:
    height, width = image.shape[:2]
    scale = min(1.0, WIDEST / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _with_mask(seen: FloatImage, mask: FloatImage) -> Sheet:
    share = _TINTED * mask[..., None]
    tinted = _bytes(seen * (1.0 - share) + _TINT * share)
    outlines, _ = cv2.findContours((mask >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tinted, outlines, -1, _LINE, 1)
    return tinted


def _bytes(image: FloatImage) -> Sheet:
    return np.asarray(np.clip(image, 0.0, 1.0) * 255.0 + 0.5, dtype=np.uint8)


def _lay_out(halves: Sequence[Sheet], text: Sequence[str]) -> Sheet:
    height, width = halves[0].shape[:2]
    across = max(_NARROWEST, _MARGIN + len(halves) * (width + _MARGIN))
    lines = [part for line in text for part in textwrap.wrap(line, across // _LETTER, subsequent_indent="    ")]
    top = _MARGIN + _LINE_HEIGHT * len(lines) + _MARGIN // 2
    sheet = np.full((top + height + _MARGIN, across, 3), _BACKGROUND, dtype=np.uint8)
    for row, line in enumerate(lines, start=1):
        write_text(sheet, line, (_MARGIN, _MARGIN // 2 + row * _LINE_HEIGHT), _GREY)
    for column, half in enumerate(halves):
        left = _MARGIN + column * (width + _MARGIN)
        sheet[top : top + height, left : left + width] = half
    return sheet
