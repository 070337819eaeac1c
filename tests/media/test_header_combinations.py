# SPDX-License-Identifier: Apache-2.0
"""Any EXR header there is: the output fits the plate's windows and shows its pixels, or there is a clear refusal."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from matanyone_engine.errors import BadInput, EngineError, OutputError, PlateError
from matanyone_engine.media.images import read_plate
from matanyone_engine.media.layouts import LAYOUTS, SUBJECT, Delivery, FrameContent, check_delivery, compose
from matanyone_engine.media.mattes import write_picture
from matanyone_engine.media.plates import check_plates, open_plate

Window = tuple[int, int, int, int]
Planes = list[np.ndarray]

CHANNEL_SETS = (
    ("R", "G", "B"),
    ("A", "B", "G", "R"),
    ("R", "G", "B", "Z"),
    ("red", "green", "blue"),
    ("beauty.R", "beauty.G", "beauty.B", "id"),
    ("R", "G", "B", "right.R", "right.G", "right.B"),
    ("Y",),
    ("Y", "A"),
    # No picture, or none that is told from another:
    ("R", "G"),
    ("A",),
    ("depth.Z", "X"),
    ("a.R", "a.G", "a.B", "b.R", "b.G", "b.B"),
)
PICTURES = (("R", "G", "B"), ("red", "green", "blue"), ("beauty.R", "beauty.G", "beauty.B"), ("Y", "Y", "Y"))
SPECIALS = (float("nan"), float("inf"), -float("inf"), -3.5, 60000.0, 1e20, 1e-30)


@dataclass(frozen=True)
class Header:
    """One combination. special: a value that every channel has somewhere; at: where, as shares of height and width."""

    data: Window
    display: Window
    channels: tuple[str, ...]
    formats: tuple[str, ...]
    aspect: float
    tile: int
    compression: str
    depth_part_first: bool
    special: float | None
    at: tuple[float, float]
    layout: str
    foreground: bool


@st.composite
def headers(draw: st.DrawFn) -> Header:
    def window(most_offset: int, most_side: int) -> Window:
        offset, side = st.integers(-most_offset, most_offset), st.integers(1, most_side)
        return draw(offset), draw(offset), draw(side), draw(side)

    display = window(9, 21)
    channels = tuple(draw(st.permutations(draw(st.sampled_from(CHANNEL_SETS)))))
    kinds = draw(st.sampled_from([("half",), ("half",), ("float",), ("half", "float"), ("half", "uint")]))
    return Header(
        data=display if draw(st.booleans()) else window(15, 29),
        display=display,
        channels=channels,
        formats=tuple(draw(st.sampled_from(kinds)) for _ in channels),
        aspect=draw(st.sampled_from([1.0, 2.0, 0.5, 1.4587])),
        tile=draw(st.sampled_from([0, 0, 8, 64])),
        compression=draw(st.sampled_from(["none", "zips", "piz", "pxr24", "b44", "dwaa"])),
        depth_part_first=draw(st.integers(0, 3)) == 0,
        special=draw(st.none() | st.sampled_from(SPECIALS)),
        at=(draw(st.floats(0, 0.99)), draw(st.floats(0, 0.99))),
        layout=draw(st.sampled_from(sorted(LAYOUTS))),
        foreground=draw(st.booleans()),
    )


def write_plate(path: Path, header: Header) -> None:
    """The file, by OpenImageIO."""
    height, width = header.data[3], header.data[2]
    values = np.random.default_rng(5).uniform(0.1, 2, (height, width, len(header.channels))).astype(np.float32)
    if header.special is not None:
        values[int(header.at[0] * height), int(header.at[1] * width)] = header.special
    specs = [spec_of(header, header.channels, header.formats, "picture")]
    if header.depth_part_first:
        specs.insert(0, spec_of(header, ("Z",), ("float",), "depth"))
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), tuple(specs)), output.geterror()
    for number, spec in enumerate(specs):
        assert number == 0 or output.open(str(path), spec, "AppendSubimage"), output.geterror()
        assert output.write_image(np.ascontiguousarray(values[..., : spec.nchannels])), output.geterror()
    assert output.close(), output.geterror()


def spec_of(header: Header, channels: tuple[str, ...], formats: tuple[str, ...], part: str) -> Any:
    spec = oiio.ImageSpec(header.data[2], header.data[3], len(channels), "float")
    spec.channelnames = channels
    spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in formats)
    spec.x, spec.y = header.data[:2]
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = header.display
    spec.tile_width = spec.tile_height = header.tile
    spec.tile_depth = 1 if header.tile else 0
    spec.attribute("PixelAspectRatio", header.aspect)
    spec.attribute("compression", header.compression)
    spec.attribute("oiio:subimagename", part)
    if "right.R" in channels:
        spec.attribute("multiView", oiio.TypeDesc("string[2]"), ("left", "right"))
    return spec


def stored_picture(path: Path) -> Planes | None:
    """R, G, B over the data window, as the OpenEXR package reads them and as they should be found; None for none."""
    file = OpenEXR.File(str(path), separate_channels=True)
    channels = {name: channel.pixels for name, channel in file.channels(len(file.parts) - 1).items()}
    return next(([channels[name] for name in names] for names in PICTURES if set(names) <= set(channels)), None)


def over(window: Window, data: Window, plane: np.ndarray) -> np.ndarray:
    """A plane of the data window over another window; 0 elsewhere. Pixel by pixel, unlike the code under test."""
    placed = np.zeros((window[3], window[2]), np.float32)
    for row in range(window[3]):
        for column in range(window[2]):
            y, x = row + window[1] - data[1], column + window[0] - data[0]
            if 0 <= y < data[3] and 0 <= x < data[2]:
                placed[row, column] = plane[y, x]
    return placed


def both(one: Window, other: Window) -> Window:
    x, y = min(one[0], other[0]), min(one[1], other[1])
    right, bottom = max(one[0] + one[2], other[0] + other[2]), max(one[1] + one[3], other[1] + other[3])
    return x, y, right - x, bottom - y


def delivered(path: Path, out: Path, header: Header) -> np.ndarray | EngineError:
    """The alpha that was written, or the refusal."""
    try:
        return deliver(path, out, header)
    except EngineError as refusal:
        return refusal


def deliver(path: Path, out: Path, header: Header) -> np.ndarray:
    """As a job does, with an alpha that no network made. Returns that alpha."""
    source = open_plate(path)
    delivery = Delivery(header.layout, foreground=header.foreground)
    check_delivery(delivery, ".exr", check_plates(source, source.frames), linear=True)
    plate = source.read(source.frames[0])
    alpha = np.linspace(0, 1, plate.rgb[..., 0].size, dtype=np.float32).reshape(plate.rgb.shape[:2])
    content = FrameContent(plate.header, {SUBJECT: alpha}, plate.canvas)
    write_picture(out, compose(delivery, content, (SUBJECT,), {}, ".exr"))
    return alpha


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers())
def test_the_output_fits_the_plate_or_there_is_a_clear_refusal(header: Header) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "plate.exr", Path(folder) / "out.exr"
        write_plate(path, header)
        picture = stored_picture(path)
        outcome = delivered(path, out, header)
        if isinstance(outcome, EngineError):
            event(f"refused: {type(outcome).__name__}")
            assert not out.exists()
            assert is_due(outcome, header, picture), outcome
        else:
            event("delivered")
            assert picture is not None
            assert not any(plane.dtype == np.uint32 for plane in picture)
            check_output(out, header, outcome, picture)


def is_due(refusal: EngineError, header: Header, picture: Planes | None) -> bool:
    """Whether there is a reason to refuse."""
    if picture is None or any(plane.dtype == np.uint32 for plane in picture):
        return isinstance(refusal, PlateError)
    shown = LAYOUTS[header.layout].shows_plate
    window = both(header.display, header.data) if shown else header.display
    values = np.stack([over(window, header.data, plane) for plane in picture])
    if isinstance(refusal, OutputError):
        return bool(np.abs(values).max() > 65504)
    return isinstance(refusal, BadInput) and not np.isfinite(values).all()


def check_output(out: Path, header: Header, alpha: np.ndarray, picture: Planes) -> None:
    """Windows, aspect, and the pixels of a layout."""
    file = OpenEXR.File(str(out), separate_channels=True)
    said, channels = file.header(), {name: channel.pixels for name, channel in file.channels().items()}
    shown = LAYOUTS[header.layout].shows_plate
    window = both(header.display, header.data) if shown else header.display
    for attribute, (x, y, width, height) in (("displayWindow", header.display), ("dataWindow", window)):
        low, high = said[attribute]
        assert (*low, *high) == (x, y, x + width - 1, y + height - 1), attribute
    assert said["pixelAspectRatio"] == pytest.approx(header.aspect)
    assert ("fg.R" in channels) == header.foreground
    assert all(np.isfinite(plane).all() for plane in channels.values())
    expected = over(window, header.display, alpha)
    np.testing.assert_array_equal(channels["A"], expected.astype(channels["A"].dtype))
    if header.layout == "straight":
        for name, plane in zip("RGB", picture, strict=True):
            values = over(window, header.data, plane)
            np.testing.assert_array_equal(channels[name], values.astype(channels[name].dtype), err_msg=name)


def test_the_pictures_of_subsampled_files_are_refused(tmp_path: Path) -> None:
    """Luminance and chroma of half the size, as OpenEXR's RgbaOutputFile writes them."""
    path = tmp_path / "yc.exr"
    path.write_bytes(subsampled(8, 8))
    with pytest.raises(PlateError):
        read_plate(path)


def subsampled(width: int, height: int) -> bytes:
    """An uncompressed EXR with Y at every pixel, BY and RY at every fourth; written by hand, no writer here does."""

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + np.int32(len(value)).tobytes() + value

    def channel(name: str, step: int) -> bytes:
        return f"{name}\0".encode() + np.array([1, 0, step, step], "<i4").tobytes()

    box = np.array([0, 0, width - 1, height - 1], "<i4").tobytes()
    channels = channel("BY", 2) + channel("RY", 2) + channel("Y", 1) + b"\0"
    header = b"".join(
        (
            np.array([20000630, 2], "<i4").tobytes(),
            attribute("channels", "chlist", channels),
            attribute("compression", "compression", b"\0"),
            attribute("dataWindow", "box2i", box),
            attribute("displayWindow", "box2i", box),
            attribute("lineOrder", "lineOrder", b"\0"),
            attribute("pixelAspectRatio", "float", np.float32(1).tobytes()),
            attribute("screenWindowCenter", "v2f", np.zeros(2, "<f4").tobytes()),
            attribute("screenWindowWidth", "float", np.float32(1).tobytes()),
            b"\0",
        )
    )
    rows = []
    for row in range(height):
        halves = width if row % 2 else width + 2 * (width // 2)
        rows.append(np.array([row, 2 * halves], "<i4").tobytes() + np.full(halves, 0.25, "<f2").tobytes())
    starts = np.cumsum([len(header) + 8 * height, *map(len, rows[:-1])]).astype("<u8")
    return header + starts.tobytes() + b"".join(rows)


def test_a_display_window_larger_than_memory_is_refused(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(4, 4, 3, "half")
    spec.full_width = spec.full_height = 1_000_000
    path = tmp_path / "huge.exr"
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(np.zeros((4, 4, 3), np.float32))
    assert output.close()
    with pytest.raises(PlateError, match="1000000x1000000"):
        read_plate(path)
