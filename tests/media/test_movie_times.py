# SPDX-License-Identifier: Apache-2.0
"""Trimmed movies, varying rates, interlaced pictures, and names that FFmpeg would take for a protocol."""

from __future__ import annotations

import logging
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from matanyone_engine.errors import MaskError, PlateError
from matanyone_engine.media import high_bit_depth_movies
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.movies import Movie
from matanyone_engine.media.plates import open_plate

VARYING = (0, 40, 80, 240, 280, 320, 700, 740, 780, 820)


def movie(
    path: Path,
    frames: int = 24,
    codec: str = "mpeg4",
    times: tuple[int, ...] = (),
    options: dict[str, str] | None = None,
    gop: int = 12,
    file_format: str | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """Frame k has the grey 10 + 8 k; times in milliseconds."""
    with av.open(str(path), "w", options=options or {}, format=file_format) as file:
        stream = file.add_stream(codec, rate=24, options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", gop
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(len(times) or frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 + 8 * k, np.uint8), format="rgb24")
            if times:
                picture.pts, picture.time_base = times[k], Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def trimmed(source: Path, target: Path, start: int) -> Path:
    """As ffmpeg -ss START -c copy does: frames before START stay in the file, an edit list hides them."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = int(start / 24 / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                new.mux(packet)
    return target


@pytest.mark.parametrize("name", ["t.mp4", "t.mov"])
def test_a_trimmed_movie_has_the_frames_it_shows(tmp_path: Path, name: str) -> None:
    plate = Movie(trimmed(movie(tmp_path / "whole.mp4"), tmp_path / name, 5))
    assert plate.frames == tuple(range(1, 20))
    assert plate.read(1).rgb.mean() == pytest.approx((10 + 8 * 5) / 255, abs=0.02)
    assert plate.read(19).rgb.mean() == pytest.approx((10 + 8 * 23) / 255, abs=0.02)


def test_without_pyav_a_trimmed_movie_is_refused_with_what_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = trimmed(movie(tmp_path / "whole.mp4"), tmp_path / "trimmed.mp4", 5)
    monkeypatch.setattr(high_bit_depth_movies, "is_available", lambda: False)
    with pytest.raises(PlateError, match=r"only 19 of 24.*trimmed movie from one that is cut off.*engine\[movies\]"):
        Movie(short)


def with_edits(source: Path, target: Path, *edits: tuple[int, int, float], version: int = 0) -> Path:
    """Write the movie with this edit list: of each edit its frames, its first frame or -1 for none, and its rate."""
    data = bytearray(source.read_bytes())

    def place(name: bytes) -> int:
        return data.index(name) - 4

    def grow(name: bytes, by: int) -> None:
        at = place(name)
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + by)

    ticks = [struct.unpack_from(">I", data, place(name) + 20)[0] for name in (b"mvhd", b"mdhd")]
    old, size = place(b"edts"), struct.unpack_from(">I", data, place(b"edts"))[0]
    begins = struct.unpack_from(">i", data, old + 8 + 8 + 4 + 4 + 4)[0]
    listed = b"".join(
        struct.pack(
            ">QqI" if version else ">IiI",
            count * ticks[0] // 24,
            -1 if first < 0 else begins + first * ticks[1] // 24,
            int(rate * 65536),
        )
        for count, first, rate in edits
    )
    box = struct.pack(">I4sB3xI", 16 + len(listed), b"elst", version, len(edits)) + listed
    box = struct.pack(">I4s", 8 + len(box), b"edts") + box
    data[old : old + size] = box
    grow(b"trak", len(box) - size)
    grow(b"moov", len(box) - size)
    target.write_bytes(data)
    return target


def levels(path: Path) -> list[int]:
    plate = Movie(path)
    return [round((float(plate.read(frame).rgb.mean()) * 255 - 10) / 8) for frame in plate.frames]


@pytest.mark.parametrize("version", [0, 1])
def test_edits_are_followed_or_refused(tmp_path: Path, version: int) -> None:
    """FFmpeg shows a held frame, a change of speed and a hole as other frames than QuickTime does."""
    whole, made = movie(tmp_path / "w.mov"), tmp_path / "e.mov"
    assert levels(with_edits(whole, made, (10, 5, 1), version=version)) == list(range(5, 15))
    assert levels(with_edits(whole, made, (6, -1, 1), (24, 0, 1), version=version)) == list(range(24))
    assert levels(with_edits(whole, made, (8, 0, 1), (8, 16, 1), version=version)) == [*range(8), *range(16, 24)]
    for edits, said in (
        ([(12, 3, 0)], "a frame that is held"),
        ([(12, 0, 2)], "a change of speed"),
        ([(8, 0, 1), (4, -1, 1), (8, 8, 1)], "a stretch without a picture"),
    ):
        with pytest.raises(PlateError, match=f"{said} in the edit list of"):
            Movie(with_edits(whole, made, *edits, version=version))


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.97])
def test_a_movie_that_is_cut_stays_refused(tmp_path: Path, share: float) -> None:
    path = movie(tmp_path / "front.mp4", options={"movflags": "faststart"}, gop=1)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(PlateError, match="frames can be decoded"):
        Movie(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mkv", "ffv1"), ("v.webm", "libvpx"), ("v.mp4", "mpeg4"), ("v.mov", "mpeg4"), ("v.avi", "mpeg4")],
)
def test_a_movie_of_varying_rate_is_read_with_a_warning(
    tmp_path: Path, name: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = movie(tmp_path / name, codec=codec, times=VARYING)
    with caplog.at_level(logging.WARNING, "matanyone_engine"):
        plate = Movie(path)
    assert plate.frames == tuple(range(1, 11))
    assert plate.read(10).rgb.mean() == pytest.approx((10 + 8 * 9) / 255, abs=0.03)
    assert "frame rate varies" in caplog.text


def test_a_steady_movie_gets_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("s.mp4", "s.mkv"):  # Matroska rounds to milliseconds: 41, 42, 42
        with caplog.at_level(logging.WARNING, "matanyone_engine"):
            Movie(movie(tmp_path / name))
    assert not caplog.text


def test_interlaced_plates_get_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = movie(tmp_path / "i.ts", codec="mpeg2video", file_format="mpegts", codec_options={"flags": "+ilme+ildct"})
    with caplog.at_level(logging.WARNING, "matanyone_engine"):
        Movie(path)
    assert "interlaced" in caplog.text


@pytest.mark.parametrize("name", ["clip.mts", "clip.m2ts", "clip.ts"])
def test_camcorder_movies_are_plates(tmp_path: Path, name: str) -> None:
    path = movie(tmp_path / name, 6, codec="mpeg2video", file_format="mpegts")
    assert open_plate(path).frames == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize("name", ["take:01.mov", "http:x.mov", "a#1%04d{b}.mov"])
def test_a_file_name_with_a_colon_is_not_taken_for_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    movie(tmp_path / "plain.mov", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert open_plate(name).frames == (1, 2, 3)
    assert open_plate(tmp_path / name).read(2).rgb.shape == (48, 64, 3)


@pytest.mark.parametrize("name", [b"J\xf6rg", b"J\xf6rg.mov", b"J\xf6rg.####.exr"])
def test_a_name_in_latin_1_is_named_as_the_reason(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(PlateError, match="UTF-8"):
        open_plate(tmp_path / os.fsdecode(name))


def test_a_movie_is_no_mask_and_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(MaskError) as refusal:
        read_mask(movie(tmp_path / "roto.mov", 2), (64, 48))
    assert "the movie" in refusal.value.came
    assert "images" in refusal.value.action


def test_a_last_frame_that_is_cut_off_is_not_counted(tmp_path: Path) -> None:
    """A decoder makes up what is missing of it, in silence."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as made:
        stream = made.add_stream("mjpeg", rate=Fraction(24))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for picture in np.random.default_rng(7).integers(0, 256, (8, 96, 160, 3), dtype=np.uint8):
            made.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        made.mux(stream.encode())
    assert len(open_plate(path).frames) == 8
    with av.open(str(path)) as whole:
        last = [packet for packet in whole.demux(video=0) if packet.size][-1]
        end = last.pos + last.size // 2
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(PlateError, match="only 7 of 8"):
        open_plate(path)
