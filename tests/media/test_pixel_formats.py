# SPDX-License-Identifier: Apache-2.0
"""Every pixel format that FFmpeg knows: read to within a code of its own description, or refused by its name.

The reference shares nothing with the code under test. Codes are drawn at random and put into the frame's bytes by
libavutil's av_write_image_line2(), which follows FFmpeg's description of the format; what they mean is written down
here, by H.273.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media.pixel_formats import rgb_of, stored_as

BIG_ENDIAN, PALETTE, HARDWARE, RGB, BAYER, FLOAT, XYZ = 1, 2, 8, 32, 256, 512, 1024
WIDTH, HEIGHT = 40, 12
LIMITED, FULL = 1, 2
BT601 = 6
RED, BLUE = 0.299, 0.114

REFUSED = {
    *(f"bayer_{order}{bits}" for order in ("bggr", "rggb", "gbrg", "grbg") for bits in ("8", "16le", "16be")),
    *("xyz12le", "xyz12be", "uyyvyy411", "bgr4", "rgb4"),
    *("y210be", "y212be", "y216be", "xv30be", "v30xbe", "x2rgb10be", "x2bgr10be"),
}
"""Sensor data, cinema XYZ, and formats that libswscale has no input for. No plate is stored so; the error says it."""


class Component(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("plane", "step", "offset", "shift", "depth")]


class Description(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        *((name, ctypes.c_uint8) for name in ("components", "log2_chroma_w", "log2_chroma_h")),
        ("flags", ctypes.c_uint64),
        ("comp", Component * 4),
        ("alias", ctypes.c_char_p),
    ]


def libavutil() -> ctypes.CDLL:
    """The one that PyAV brings, which is loaded already."""
    return ctypes.CDLL(str(next((Path(av.__file__).parent.parent / "av.libs").glob("libavutil*"))))


def descriptions() -> Iterator[ctypes._Pointer[Description]]:
    each = libavutil().av_pix_fmt_desc_next
    each.restype, each.argtypes = ctypes.POINTER(Description), [ctypes.c_void_p]
    found = each(None)
    while found:
        if not found.contents.flags & HARDWARE:  # no pixels in memory
            yield found
        found = each(ctypes.cast(found, ctypes.c_void_p))


FORMATS = {each.contents.name.decode(): each for each in descriptions()}


def draw(about: Description, random: np.random.Generator) -> list[np.ndarray]:
    """Codes of each component; subsampled chroma is flat, since how it is enlarged is not the question."""
    drawn = []
    for number in range(about.components):
        chroma = not about.flags & RGB and about.components > 2 and number in (1, 2)
        width = -(-WIDTH // (1 << about.log2_chroma_w)) if chroma else WIDTH
        height = -(-HEIGHT // (1 << about.log2_chroma_h)) if chroma else HEIGHT
        depth = about.comp[number].depth
        if about.flags & FLOAT:
            kind, bits = (np.float16, np.uint16) if depth == 16 else (np.float32, np.uint32)
            drawn.append(random.uniform(-0.5, 2.0, (height, width)).astype(kind).view(bits).astype(np.uint32))
            continue
        codes = random.integers(0, 2**depth, (height, width), dtype=np.uint64).astype(np.uint32)
        if chroma and (about.log2_chroma_w or about.log2_chroma_h):
            codes[:] = random.integers(2**depth // 3, 2 ** (depth + 1) // 3)
        drawn.append(codes)
    return drawn


SLACK = 4096
"""Bytes behind a plane: libavutil writes whole words, and the last one of a line may reach beyond its end."""


def _plane(rows: int, line_size: int) -> np.ndarray:
    """Zeros (rows, line_size) with room behind them."""
    return np.zeros(rows * line_size + SLACK, np.uint8)[: rows * line_size].reshape(rows, line_size)


def frame_of(name: str, codes: list[np.ndarray], colour_range: int) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, name)
    frame.color_range = colour_range
    frame.colorspace = 0 if FORMATS[name].contents.flags & RGB else BT601
    stored = [_plane(plane.buffer_size // plane.line_size, plane.line_size) for plane in frame.planes]
    absent = 4 - len(stored)
    data = (ctypes.c_void_p * 4)(*(plane.ctypes.data for plane in stored), *[None] * absent)
    lines = (ctypes.c_int * 4)(*(plane.shape[1] for plane in stored), *[0] * absent)
    write = libavutil().av_write_image_line2
    # Refused formats stay black: of one FFmpeg has a wrong description, and libavutil writes far beyond its plane.
    for number, component in enumerate(codes if name not in REFUSED else ()):
        for y, row in enumerate(component):
            source = np.ascontiguousarray(row).ctypes.data_as(ctypes.c_void_p)
            write(source, data, lines, FORMATS[name], 0, y, number, len(row), 4)
    for plane, values in zip(frame.planes, stored, strict=True):
        padded = np.zeros(plane.buffer_size, np.uint8)
        padded[: values.size] = values.reshape(-1)
        plane.update(padded.tobytes())
    return frame


def meant(about: Description, codes: list[np.ndarray], *, full: bool) -> np.ndarray:
    """R'G'B', (H, W, 3) in double precision."""
    depths = [about.comp[number].depth for number in range(about.components)]
    if about.flags & FLOAT:
        kind, bits = (np.uint16, np.float16) if depths[0] == 16 else (np.uint32, np.float32)
        values = [plane.astype(kind).view(bits).astype(np.float64) for plane in codes]
    else:
        values = [plane / (2.0**depth - 1) for plane, depth in zip(codes, depths, strict=True)]
    if about.name == b"monow":  # white is 0
        values = [1 - values[0]]
    if about.components < 3:  # grey is full range, as FFmpeg has it
        return np.repeat(values[0][..., None], 3, axis=-1)
    if about.flags & RGB:
        return np.stack(values[:3], axis=-1)
    step, depth = 2.0 ** (depths[0] - 8), depths[0]
    black, luma, chroma = (0.0, 2.0**depth - 1, 2.0**depth - 1) if full else (16 * step, 219 * step, 224 * step)
    y = (codes[0] - black) / luma
    cb, cr = (
        (np.kron(plane.astype(np.float64), np.ones((1 << about.log2_chroma_h, 1 << about.log2_chroma_w))) - 128 * step)
        / chroma
        for plane in codes[1:3]
    )
    red, blue = y + 2 * (1 - RED) * cr, y + 2 * (1 - BLUE) * cb
    return np.stack([red, (y - RED * red - BLUE * blue) / (1 - RED - BLUE), blue], axis=-1)


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if not each.contents.flags & PALETTE])
def test_every_format_is_read_to_within_a_code_or_refused(name: str, colour_range: int) -> None:
    about = FORMATS[name].contents
    codes = draw(about, np.random.default_rng(len(name)))
    frame = frame_of(name, codes, colour_range)
    if name in REFUSED:
        with pytest.raises(PlateError) as refusal:
            rgb_of(frame, Path("plate.mov"))
        assert name in refusal.value.came
        return
    rgb = rgb_of(frame, Path("plate.mov"))
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    assert rgb.dtype == np.float32
    depth = max(about.comp[number].depth for number in range(about.components))
    code = 1e-6 if about.flags & FLOAT else max(1 / (2**depth - 1), 2e-7)
    full = colour_range == FULL or name.startswith("yuvj")
    assert np.abs(rgb - meant(about, codes, full=full)).max() <= 1.01 * min(code, 1 / 255)


def test_every_alpha_over_8_bits_is_among_them() -> None:
    deep = {
        name
        for name, each in FORMATS.items()
        if name not in REFUSED and each.contents.components == 4 and each.contents.comp[0].depth > 8
    }
    for bits in (10, 12, 14, 16):
        assert f"gbrap{bits}le" in deep
    for layout in ("420", "422", "444"):
        for bits in (9, 10, 16):
            assert f"yuva{layout}p{bits}le" in deep


def test_a_palette_is_looked_up() -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, "pal8")
    colours = np.zeros((256, 4), np.uint8)
    colours[7] = (30, 20, 10, 255)  # B, G, R, A
    frame.planes[0].update(bytes([7]) * frame.planes[0].buffer_size)
    frame.planes[1].update(colours.tobytes()[: frame.planes[1].buffer_size])
    assert np.allclose(rgb_of(frame, Path("plate.avi"))[3, 5] * 255, (10, 20, 30))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("yuv420p", "uint8"),
        ("rgb555le", "uint8"),
        ("gbrap12le", "uint16"),
        ("gbrpf16le", "float"),
        ("grayf32le", "float"),
    ],
)
def test_the_number_type_of_a_pixel_format(name: str, kind: str) -> None:
    assert stored_as(av.VideoFrame(WIDTH, HEIGHT, name)) == kind
