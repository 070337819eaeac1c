# SPDX-License-Identifier: Apache-2.0
"""Makes thumbnails of a frame: plate, alpha, and the subject over another background.

Rules of this file:
1. Composites are mixed in linear light and then encoded, so that edges of hair look as they will in the comp.
2. The subject is premultiplied before it is scaled down, so that no background is mixed into its edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.color import decode_srgb, encode_srgb
from matanyone_engine.media.images import FloatImage
from matanyone_engine.sizes import Size

Sheet = NDArray[np.uint8]
"""(h, w, 3), sRGB."""

_CHECKER = (0.15, 0.21)
"""Two greys around 18 %, in linear light: far enough apart to be seen through the subject, and too close to
distract."""
_CHECKER_SQUARE = 16


@dataclass(frozen=True)
class Thumbnails:
    """Holds one frame in linear light, all pictures of one size."""

    linear: FloatImage
    """(h, w, 3) the plate."""
    subject: FloatImage
    """(h, w, 3) premultiplied."""
    cover: FloatImage
    """(h, w, 1) 0..1."""

    @classmethod
    def of(cls, rgb: FloatImage, alpha: FloatImage, widest: int) -> Thumbnails:
        """Shrink rgb, (H, W, 3) display-referred sRGB, and alpha, (H, W): 0..1, the rest is clipped. Never enlarges."""
        size = fitting(Size(*alpha.shape), widest)
        linear = decode_srgb(np.clip(rgb, 0, 1))
        opacity = np.clip(alpha, 0, 1)[..., None]
        return cls(shrunk(linear, size), shrunk(linear * opacity, size), shrunk(opacity, size)[..., None])

    def plate(self) -> Sheet:
        """Return the plate as shown to the network."""
        return as_bytes(encode_srgb(self.linear))

    def alpha(self) -> Sheet:
        """Return the alpha's values as greys, unchanged."""
        return as_bytes(np.repeat(self.cover, 3, axis=2))

    def over_checker(self) -> Sheet:
        """Return the subject over two greys."""
        height, width = self.cover.shape[:2]
        rows, columns = np.ogrid[:height, :width]
        odd = (rows // _CHECKER_SQUARE + columns // _CHECKER_SQUARE) % 2
        return self._over(np.asarray(_CHECKER, dtype=np.float32)[odd][..., None])

    def over_colour(self, colour: tuple[float, float, float]) -> Sheet:
        """Return the subject over one colour of linear Rec.709."""
        return self._over(np.asarray(colour, dtype=np.float32))

    def _over(self, background: FloatImage) -> Sheet:
        return as_bytes(encode_srgb(self.subject + (1 - self.cover) * background))


def fitting(image: Size, widest: int) -> Size:
    """Return the size of an image that is scaled down to at most `widest`, with the same proportions.

    It is never enlarged.
    """
    scale = min(1.0, widest / image.width)
    return Size(*(max(1, round(side * scale)) for side in image))


def shrunk(image: FloatImage, size: Size) -> FloatImage:
    """Shrink an image (H, W, ...) to this size, by areas."""
    return np.asarray(cv2.resize(image, size.resolution, interpolation=cv2.INTER_AREA), dtype=np.float32)


def as_bytes(image: FloatImage) -> Sheet:
    """Convert 0..1 to bytes, 0..255."""
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, dtype=np.uint8)


def as_webp(sheet: Sheet, quality: int) -> bytes:
    """Encode a picture for a page: quality 1 to 100, more than 100 is lossless."""
    done, data = cv2.imencode(".webp", sheet[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise OSError("OpenCV cannot write WebP")
    return bytes(data)
