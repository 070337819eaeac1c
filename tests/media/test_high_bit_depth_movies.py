# SPDX-License-Identifier: Apache-2.0
"""Movies of 10 and 12 bits, made with PyAV. A subject of these tests is that no step has 8."""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media import high_bit_depth_movies, pixel_formats
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.color_spaces import choose_space
from matanyone_engine.media.mattes import write_alpha
from matanyone_engine.media.movies import Movie
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.timecode import Timecode

LIMITED, FULL = 1, 2
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def codes(rgb: np.ndarray, weights: tuple[float, float], bits: int, value_range: int) -> list[np.ndarray]:
    """R'G'B' 0..1 -> Y', Cb, Cr as a camera stores them, by the book."""
    kr, kb = weights
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64), -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    if value_range == FULL:
        top = 2**bits - 1
        planes = [y * top, cb * top + 2 ** (bits - 1), cr * top + 2 ** (bits - 1)]
    else:
        planes = [2.0 ** (bits - 8) * plane for plane in (219 * y + 16, 224 * cb + 128, 224 * cr + 128)]
    return [np.rint(plane).clip(0, 2**bits - 1) for plane in planes]


def make_movie(
    path: Path,
    rgb: np.ndarray,
    codec: str = "ffv1",
    bits: int = 10,
    tag: int = 1,
    value_range: int = LIMITED,
    frames: int = 2,
    rate: Fraction = Fraction(24),
    layout: str = "444",
    metadata: dict[str, str] | None = None,
    transfer: int = 1,
) -> Path:
    """Every frame is rgb (H, W, 3), R'G'B' 0..1."""
    name = f"yuv{layout}p{bits}le"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = name
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_trc = tag, value_range, transfer
        for number in range(frames):
            frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], name)
            for plane, values in zip(frame.planes, codes(rgb, WEIGHTS[tag], bits, value_range), strict=True):
                across, down = values.shape[1] // plane.width, values.shape[0] // plane.height
                padded = np.zeros((plane.height, plane.line_size // 2), "<u2")
                padded[:, : plane.width] = values[::down, ::across]
                plane.update(padded.tobytes())
            frame.colorspace, frame.color_range, frame.pts = tag, value_range, number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey_ramp(width: int = 1024, height: int = 16) -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, width)[None, :, None], (height, width, 3))


def chart() -> np.ndarray:
    return np.random.default_rng(0).random((24, 32, 3))


# ------------------------------------------------------------------------------------------------------ precision


def test_a_10_bit_ramp_keeps_over_1000_codes_to_the_network(tmp_path: Path) -> None:
    plate = open_plate(make_movie(tmp_path / "a.mkv", grey_ramp(), value_range=FULL)).read(2)
    assert plate.header.pixel_format == "uint16"
    assert len(np.unique(plate.rgb[8])) >= 1000
    assert len(np.unique(NetworkView("sRGB")(plate.rgb)[8])) >= 1000
    np.testing.assert_allclose(plate.rgb, grey_ramp(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "bits", "layout"),
    [("a.mov", "prores_ks", 10, "422"), ("a.mkv", "libx265", 10, "420"), ("a.mov", "prores_ks", 10, "444")],
)
def test_production_codecs_keep_more_than_8_bits(tmp_path: Path, name: str, codec: str, bits: int, layout: str) -> None:
    """Lossy, so not code by code: the ramp has many times the 220 levels of 8 bits, each near where it belongs."""
    plate = open_plate(make_movie(tmp_path / name, grey_ramp(), codec, bits, layout=layout)).read(1)
    assert len(np.unique(plate.rgb[8, :, 1])) > 700
    assert np.abs(plate.rgb - grey_ramp()).max() < 0.01
    assert np.abs(plate.rgb - grey_ramp()).mean() < 0.002


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("value_range", [LIMITED, FULL])
@pytest.mark.parametrize("tag", WEIGHTS)
def test_matrix_and_range_are_the_streams_own(tmp_path: Path, tag: int, value_range: int, bits: int) -> None:
    path = make_movie(tmp_path / "a.mkv", chart(), bits=bits, tag=tag, value_range=value_range)
    np.testing.assert_allclose(Movie(path).read(1).rgb, chart(), atol=2.2 / 2**bits)


def test_a_stream_without_a_tag_is_bt709_from_720_rows_on(tmp_path: Path) -> None:
    """Made by the matrix that is expected, and labelled with none."""
    for rows, tag in ((720, 1), (576, 6)):
        rgb = np.broadcast_to(chart()[:1, :1], (rows, 32, 3))
        with av.open(str(tmp_path / f"{rows}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=24)
            stream.height, stream.width, stream.pix_fmt = rows, 32, "yuv444p10le"
            frame = av.VideoFrame(32, rows, "yuv444p10le")
            for plane, values in zip(frame.planes, codes(rgb, WEIGHTS[tag], 10, LIMITED), strict=True):
                plane.update(values.astype("<u2").tobytes())
            frame.pts = 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        np.testing.assert_allclose(Movie(tmp_path / f"{rows}.mkv").read(1).rgb, rgb, atol=2.2 / 1024)


def test_values_above_white_and_below_black_are_kept(tmp_path: Path) -> None:
    extremes = np.broadcast_to(np.array([-0.05, 1.07])[None, :, None], (16, 2, 3)).repeat(8, axis=1)
    read = Movie(make_movie(tmp_path / "a.mkv", extremes)).read(1).rgb
    np.testing.assert_allclose(read, extremes, atol=1e-3)


def test_a_transfer_that_is_not_for_sdr_displays_is_followed(tmp_path: Path) -> None:
    movie = Movie(make_movie(tmp_path / "a.mkv", chart(), tag=9, transfer=16))
    choice = choose_space(movie.header(1), None, ".mkv")
    assert "PQ" in choice.space
    assert "stated by the file" in choice.reason
    plain = Movie(make_movie(tmp_path / "b.mkv", chart()))
    assert "8 bits" not in choose_space(plain.header(1), None, ".mkv").reason


def test_a_phones_upright_movie_comes_upright(tmp_path: Path) -> None:
    """Stored lying, with a matrix in its track header that turns it: as OpenCV shows it, which turns it too."""
    rgb = np.zeros((24, 32, 3))
    rgb[:8, :8], rgb[:8, 24:] = (1, 0, 0), (0, 1, 0)
    path = make_movie(tmp_path / "a.mov", rgb, "prores_ks", layout="422")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of times, layer and volume before it
    for turned in ((0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1)):
        a, b, c, d = (value << 16 for value in turned)
        data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
        shown = cv2.VideoCapture(str(path)).read()[1][..., ::-1] / 255
        movie = Movie(path)
        assert movie.header(1).resolution == (shown.shape[1], shown.shape[0])
        assert np.abs(movie.read(1).rgb - shown).mean() < 0.02  # the chroma is enlarged in another way
        assert np.abs(np.rot90(movie.read(1).rgb, 2) - shown).mean() > 0.1


# ---------------------------------------------------------------------------------------- timecode, camera, rate


def test_timecode_rate_and_camera_are_in_the_alphas_header(tmp_path: Path) -> None:
    said = {"timecode": "10:20:30:22", "com.apple.quicktime.make": "ARRI", "com.arri.camera.SerialNumber": "K1.0012"}
    path = make_movie(tmp_path / "a.mov", chart(), "prores_ks", layout="422", frames=4, metadata=said)
    header = Movie(path, first_frame=1001).header(1003)
    assert header.timecode == "10:20:31:00"
    assert header.fps == 24
    write_alpha(tmp_path / "a.exr", np.full((24, 32), 0.5, np.float32), header, {})
    written = OpenEXR.File(str(tmp_path / "a.exr")).header()
    stamp = written["timeCode"]
    assert (stamp.hours, stamp.minutes, stamp.seconds, stamp.frame) == (10, 20, 31, 0)
    assert written["framesPerSecond"] == Fraction(24)
    assert "ARRI" in written.values()
    assert written["com.arri.camera.SerialNumber"] == "K1.0012"


@pytest.mark.parametrize(
    ("start", "fps", "frames", "expected"),
    [
        ("01:00:00:00", Fraction(24000, 1001), 25, "01:00:01:01"),
        ("00:00:59;29", Fraction(30000, 1001), 1, "00:01:00;02"),
        ("00:09:59;29", Fraction(30000, 1001), 1, "00:10:00;00"),
        ("00:01:00;02", Fraction(30000, 1001), 17982, "00:11:00;02"),
        ("00:00:59;59", Fraction(60000, 1001), 1, "00:01:00;04"),
        ("23:59:59:24", Fraction(25), 1, "00:00:00:00"),
        ("23:59:59;29", Fraction(30000, 1001), 1, "00:00:00;00"),
    ],
)
def test_timecode_counts_on(start: str, fps: Fraction, frames: int, expected: str) -> None:
    parsed = Timecode.parse(start, fps)
    assert parsed is not None
    assert str(parsed) == start
    assert str(parsed.later(frames)) == expected


def test_every_label_of_a_dropped_hour_comes_once() -> None:
    start = Timecode.parse("00:00:00;00", Fraction(30000, 1001))
    assert start is not None
    labels = [start.later(frame).fields for frame in range(107892)]  # frames of an hour at 29.97
    assert labels[-1] == (0, 59, 59, 29)
    assert len(set(labels)) == len(labels)
    assert not any(frame < 2 and second == 0 and minute % 10 for _, minute, second, frame in labels)


def test_a_timecode_that_exr_cannot_pack_is_left_out() -> None:
    late = Timecode.parse("00:00:00:45", Fraction(50))
    assert late is not None
    assert late.packed is None
    assert Timecode.parse("no timecode", Fraction(24)) is None


# ------------------------------------------------------------------------------------------------- without PyAV


def test_without_pyav_a_deep_movie_is_read_at_8_bits_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deep = make_movie(tmp_path / "deep.mkv", chart())
    flat = tmp_path / "flat.avi"
    writer = cv2.VideoWriter(str(flat), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 24.0, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    monkeypatch.setattr(high_bit_depth_movies, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert Movie(deep).header(1).pixel_format == "uint8"
        Movie(flat)
    assert [record.getMessage() for record in caplog.records if "deep.mkv: It holds 10 bits" in record.getMessage()]
    assert not any("flat.avi" in record.getMessage() for record in caplog.records)
    assert "8 bits" in choose_space(Movie(deep).header(1), None, ".mkv").reason


def test_a_matrix_that_is_not_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(pixel_formats._WEIGHTS, 9)
    with pytest.raises(PlateError, match="matrix 9"):
        Movie(make_movie(tmp_path / "a.mkv", chart(), tag=9)).read(1)
