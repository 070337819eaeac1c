# SPDX-License-Identifier: Apache-2.0
"""Plates that look ordinary and were read as other pixels than they hold: each is read right, or refused in words."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import ColourError, MaskError, PlateError
from matanyone_engine.media.color_spaces import choose_space
from matanyone_engine.media.high_bit_depth_movies import _Times
from matanyone_engine.media.images import check_ends, read_plate
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.movies import Movie
from matanyone_engine.media.plates import check_plates, open_plate
from matanyone_engine.media.upright import Upright, upright_of
from matanyone_engine.sizes import Resolution

Write = Callable[..., Path]


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """No two corners are alike: (H, W, 3) uint8."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = (200, 20, 20), (20, 200, 20)
    rgb[height // 2 :, : width // 2] = (20, 20, 200)
    return rgb


def movie(
    path: Path, rgb: np.ndarray, codec: str = "ffv1", layout: str = "yuv444p", transfer: int = 2, primaries: int = 2
) -> Path:
    """Three frames of one picture."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=24)
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt, stream.codec_context.color_trc = layout, transfer
        stream.codec_context.color_primaries = primaries
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=layout)
            frame.pts = k
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


# ---------------------------------------------------------------------------------------------------------- movies


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda rgb: rgb[:, ::-1]),
        ((1, 0, 0, -1), lambda rgb: rgb[::-1]),
        ((0, 1, 1, 0), lambda rgb: np.swapaxes(rgb, 0, 1)),
        ((0, -1, -1, 0), lambda rgb: np.swapaxes(rgb[::-1, ::-1], 0, 1)),
        ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, -1)),
    ],
    ids=["mirrored", "upside down", "turned and mirrored", "turned back and mirrored", "turned"],
)
def test_a_mirrored_movie_is_shown_as_players_show_it(
    tmp_path: Path, matrix: tuple[int, ...], shown: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = movie(tmp_path / "a.mov", picture(), "mpeg4", "yuv420p")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of times, layer and volume before it
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    wanted = shown(picture()) / 255
    plate = Movie(path)
    assert plate.header(1).resolution == (wanted.shape[1], wanted.shape[0])
    assert np.abs(plate.read(2).rgb - wanted).mean() < 0.03


def test_a_movie_rotated_by_another_angle_than_quarters_is_refused(tmp_path: Path) -> None:
    class Matrix(bytes):
        type = SimpleNamespace(name="DISPLAYMATRIX")

    half = int(0.7071 * 65536)
    frame = SimpleNamespace(side_data=[Matrix(struct.pack("=9i", half, half, 0, -half, half, 0, 0, 0, 1 << 30))])
    with pytest.raises(PlateError, match=r"display matrix is \[0\.707, 0\.707, -0\.707, 0\.707\]"):
        upright_of(frame, tmp_path / "a.mov")


def test_a_movie_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    parts = [movie(tmp_path / f"{size}.ts", picture(size, 64), "mpeg2video", "yuv420p") for size in (48, 96)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(PlateError, match=r"like the first, 64x48.*64x96.* at frame [34] of"):
        Movie(joined)


def test_a_cover_picture_is_no_plate(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        cover, stream = file.add_stream("mjpeg", rate=24), file.add_stream("mpeg4", rate=24)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        file.mux(cover.encode())
        for k in range(3):
            frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
            frame.pts = k
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with av.open(str(path)) as file:
        assert len(file.streams.video) == 2
    plate = Movie(path)
    assert (plate.header(1).resolution, len(plate.frames)) == ((64, 48), 3)


def test_the_first_of_several_video_tracks_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "stereo.mkv"
    with av.open(str(path), "w") as file:
        eyes = [file.add_stream("ffv1", rate=24) for _ in range(2)]
        for eye in eyes:
            eye.width, eye.height, eye.pix_fmt = 64, 48, "yuv444p"
        for k in range(3):
            for eye, rgb in zip(eyes, (picture(), picture()[::-1]), strict=True):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv444p")
                frame.pts = k
                file.mux(eye.encode(frame))
        for eye in eyes:
            file.mux(eye.encode())
    with caplog.at_level(logging.WARNING):
        plate = Movie(path)
    assert "It has 2 pictures" in caplog.text
    assert np.abs(plate.read(1).rgb - picture() / 255).mean() < 0.01


def test_a_transfer_that_is_not_of_ordinary_video_is_converted_or_refused(tmp_path: Path) -> None:
    def space(transfer: int) -> str:
        return choose_space(
            Movie(movie(tmp_path / "a.mkv", picture(), transfer=transfer)).header(1), None, ".mkv"
        ).space

    assert space(1) == space(13) == "sRGB Encoded Rec.709 (sRGB)"
    assert space(8) == "Linear Rec.709 (sRGB)"
    for transfer in (9, 10, 17):
        with pytest.raises(ColourError, match="transfer characteristics"):
            space(transfer)


def joined(folder: Path, *codes: tuple[int, int]) -> Path:
    """Write a movie of parts with these primaries and transfer characteristics, codes of ITU-T H.273."""
    path = folder / "joined.ts"
    with path.open("wb") as file:
        for primaries, transfer in codes:
            part = folder / "part.ts"
            movie(part, picture(), "mpeg2video", "yuv420p", transfer=transfer, primaries=primaries)
            file.write(part.read_bytes())
    return path


@pytest.mark.parametrize(("first", "then"), [((1, 1), (9, 1)), ((2, 2), (9, 16)), ((2, 2), (9, 1))])
def test_a_movie_that_changes_its_colours_is_refused(
    tmp_path: Path, first: tuple[int, int], then: tuple[int, int]
) -> None:
    """A part that says nothing counts as of an ordinary display, which one in PQ or Rec.2020 is not like."""
    said = rf"with primaries {first[0]} and.*with primaries {then[0]} and.* at frame [34] of"
    with pytest.raises(PlateError, match=said):
        Movie(joined(tmp_path, first, then))


def test_a_part_without_tags_is_like_one_of_an_ordinary_display(tmp_path: Path) -> None:
    assert len(Movie(joined(tmp_path, (2, 2), (1, 1))).frames) in (5, 6)


def test_unreadable_side_data_of_a_frame_is_ignored(tmp_path: Path) -> None:
    """Frames of TIFF and of cameras' Motion JPEG carry Exif, for which PyAV (18) has no name."""
    path = movie(tmp_path / "a.mov", picture(), "tiff", "rgb24")
    assert (np.rint(Movie(path).read(2).rgb * 255) == picture()).all()

    class Unnamed:
        rotation = 0.0

        @property
        def side_data(self) -> None:
            raise ValueError("31 is not a valid Type")

    frame = Unnamed()
    assert upright_of(frame, path) == Upright()
    frame.rotation = -90.0
    assert upright_of(frame, path) == Upright(True, columns=True)
    frame.rotation = 180.0
    with pytest.raises(PlateError, match=r"turned by half or mirrored, .*31 is not a valid Type"):
        upright_of(frame, path)


def test_a_file_without_a_picture_is_refused_as_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=48000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), format="s16", layout="mono")
        sound.sample_rate = 48000
        file.mux(stream.encode(sound))
        file.mux(stream.encode())
    with pytest.raises(PlateError, match="no picture, as a file of sound alone"):
        Movie(path)


def test_telecine_is_noted() -> None:
    """Two frames of five are woven of two pictures; fewer than half, and yet no accident."""

    def notes(*interlaced: bool) -> str:
        times = _Times(None)
        for number, woven in enumerate(interlaced * 4):
            times.add(SimpleNamespace(interlaced_frame=woven, pts=number, time_base=0.04, duration=1))
        return " ".join(times.notes())

    assert "8 of its 20 frames are interlaced, as after telecine" in notes(False, False, True, True, False)
    assert "It is interlaced" in notes(True, True, True, True, False)
    assert notes(False, False, False, False, False) == ""


# ---------------------------------------------------------------------------------------------------------- images


def test_luminance_and_chroma_of_less_resolution_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "p.exr"
    path.write_bytes(exr_of_luminance_and_chroma(8))
    for read in (read_plate, lambda path: read_mask(path, Resolution(8, 8))):
        with pytest.raises((PlateError, MaskError), match=r"BY.*sampling 2,2.*R, G and B of full resolution"):
            read(path)


def exr_of_luminance_and_chroma(side: int) -> bytes:
    """An uncompressed OpenEXR file, written by hand: Y of full, RY and BY of half the resolution, all 0."""

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    sampling = {"BY": 2, "RY": 2, "Y": 1}
    channels = b"".join(name.encode() + struct.pack("<xiB3xii", 1, 0, by, by) for name, by in sampling.items())
    window = struct.pack("<4i", 0, 0, side - 1, side - 1)
    header = struct.pack("<ii", 20000630, 2)
    header += attribute("channels", "chlist", channels + b"\0") + attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", window) + attribute("displayWindow", "box2i", window)
    header += attribute("lineOrder", "lineOrder", b"\0") + attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    header += attribute("screenWindowCenter", "v2f", bytes(8))
    header += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    lines, offsets, at = b"", b"", len(header) + 8 * side
    for y in range(side):
        halves = bytes(2 * sum(side // by for by in sampling.values() if y % by == 0))
        offsets += struct.pack("<Q", at + len(lines))
        lines += struct.pack("<ii", y, len(halves)) + halves
    return header + offsets + lines


def test_of_deep_and_flat_parts_the_flat_one_is_read(tmp_path: Path) -> None:
    samples = np.empty((8, 8), object)
    samples[...] = [[np.array([0.2, 0.3], np.float32) for _ in range(8)] for _ in range(8)]
    grey = {name: np.full((8, 8), 0.5, np.float32) for name in "RGB"}
    flat = OpenEXR.Part({"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}, grey, "beauty")
    kind = {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}
    path = tmp_path / "p.exr"
    for deep_first in (False, True):
        deep = OpenEXR.Part(kind, {"A": samples, "Z": samples}, "deep")
        OpenEXR.File([deep, flat] if deep_first else [flat, deep]).write(str(path))
        check_ends(path)
        assert (read_plate(path).rgb == 0.5).all()
    OpenEXR.File([OpenEXR.Part(kind, {"A": samples, "Z": samples}, "deep")]).write(str(path))
    for read in (read_plate, lambda path: read_mask(path, Resolution(8, 8))):
        with pytest.raises((PlateError, MaskError), match="deep samples"):
            read(path)


def test_pictures_in_inks_are_refused(tmp_path: Path) -> None:
    """CMYK can be made RGB with the profile of its press alone; OpenImageIO does without."""
    inks = np.zeros((8, 8, 4), np.uint8)
    path = tmp_path / "p.tif"
    data = bytearray(cmyk_tiff(inks))
    path.write_bytes(data)
    with pytest.raises(PlateError, match=r"CMYK.*Save it as RGB"):
        read_plate(path)
    with pytest.raises(MaskError, match=r"CMYK.*Save it as RGB"):
        read_mask(path, Resolution(8, 8))


def cmyk_tiff(inks: np.ndarray) -> bytes:
    """A TIFF of one strip with four samples of 8 bits, (H, W, 4)."""
    height, width, _ = inks.shape
    data, bits = inks.tobytes(), struct.pack("<4H", 8, 8, 8, 8)
    numbers = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 4, 8 + len(data)), 259: (3, 1, 1), 262: (3, 1, 5),
        273: (4, 1, 8), 277: (3, 1, 4), 278: (4, 1, height), 279: (4, 1, len(data)),
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in numbers.items())
    at = 8 + len(data) + len(bits)
    return b"II" + struct.pack("<HI", 42, at) + data + bits + struct.pack("<H", len(numbers)) + entries + bytes(4)


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_signed_codes_are_refused(write_image: Write, kind: str) -> None:
    path = write_image("p.tif", np.full((8, 8, 3), 0.5, np.float32), kind)
    with pytest.raises(PlateError, match=f"codes with a sign .{kind}"):
        read_plate(path)
    with pytest.raises(MaskError, match=f"codes with a sign .{kind}"):
        read_mask(path, Resolution(8, 8))


DPX_LOW, DPX_SIGN, DPX_HIGH, DPX_DESCRIPTOR = 784, 780, 792, 800


def test_a_dpx_with_signed_codes_or_luma_and_chroma_is_refused(write_image: Write) -> None:
    path = write_image("p.dpx", np.full((8, 8, 3), 0.5, np.float32), "uint16")
    data = path.read_bytes()
    for at, value, why in ((DPX_SIGN, 1, "with a sign"), (DPX_DESCRIPTOR, 102, "luma and chroma")):
        changed = bytearray(data)
        changed[at] = value  # little-endian, as OpenImageIO writes it here
        path.write_bytes(changed)
        with pytest.raises(PlateError, match=why):
            read_plate(path)


def test_a_dpx_with_the_black_and_white_of_video_gets_a_warning(
    write_image: Write, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_image("p.dpx", np.full((8, 8, 3), 0.5, np.float32), "uint16", attributes={"oiio:BitsPerSample": 10})
    data = bytearray(path.read_bytes())
    for low, high, is_said in ((0, 1023, False), (95, 685, False), (64, 940, True)):
        data[DPX_LOW : DPX_LOW + 4], data[DPX_HIGH : DPX_HIGH + 4] = struct.pack("<I", low), struct.pack("<I", high)
        path.write_bytes(data)
        read_plate(path)
        assert ("black is code 64 and white is code 940" in caplog.text) == is_said


def test_a_tiff_in_lab_is_refused(write_image: Write) -> None:
    path = write_image("p.tif", np.full((8, 8, 3), 0.5, np.float32), "uint8", attributes={"compression": "none"})
    data, rgb = path.read_bytes(), struct.pack("<HHIHH", 262, 3, 1, 2, 0)
    assert data.count(rgb) == 1
    for model in (8, 9, 10, 32845):
        path.write_bytes(data.replace(rgb, struct.pack("<HHIHH", 262, 3, 1, model, 0)))
        with pytest.raises(PlateError, match=r"colour model|cannot be read|can be read"):
            read_plate(path)
        with pytest.raises(MaskError):
            read_mask(path, Resolution(8, 8))


def tiff(path: Path, pixels: np.ndarray, bits: int, model: int, sample_format: int) -> Path:
    """Write a TIFF of one strip by hand, as no library writes it any more. pixels (H, W, C): bytes as they are stored;
    model: PhotometricInterpretation; sample_format: 1 for integers, 3 for floats.
    """
    height, width, channels = pixels.shape
    data = pixels.tobytes()
    numbers = {
        256: width, 257: height, 258: bits, 259: 1, 262: model, 273: 8, 277: channels, 278: height, 279: len(data),
        339: sample_format,
    }  # fmt: skip
    assert channels == 1, "more would not fit into the entries"
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items())
    ends = struct.pack("<H", len(numbers)), struct.pack("<I", 0)
    path.write_bytes(b"II" + struct.pack("<HI", 42, 8 + len(data)) + data + ends[0] + entries + ends[1])
    return path


def test_a_tiff_whose_white_is_0_is_inverted_or_refused(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)
    eight = tiff(tmp_path / "8.tif", (255 - np.rint(grey * 255)).astype(np.uint8), 8, 0, 1)
    assert np.abs(read_plate(eight).rgb - grey).max() < 0.003
    for name, stored, bits, kind in (
        ("16.tif", (65535 - np.rint(grey * 65535)).astype("<u2"), 16, 1),
        ("float.tif", 1 - grey, 32, 3),
    ):
        path = tiff(tmp_path / name, stored, bits, 0, kind)
        with pytest.raises(PlateError, match="WhiteIsZero"):
            read_plate(path)
        with pytest.raises(MaskError, match="WhiteIsZero"):
            read_mask(path, Resolution(8, 8))
        assert np.abs(read_plate(tiff(path, stored, bits, 1, kind)).rgb - (1 - grey)).max() < 0.003


def test_a_tiff_of_24_bit_floats_is_refused(tmp_path: Path) -> None:
    half = np.zeros((8, 24, 1), np.uint8)
    half[:, 2::3] = 62  # exponent 62 of bias 63, and no mantissa
    path = tiff(tmp_path / "24.tif", half, 24, 1, 3)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<HHII", 256, 4, 1, 24), struct.pack("<HHII", 256, 4, 1, 8)))
    with pytest.raises(PlateError, match="floats of 24 bits"):
        read_plate(path)


@pytest.mark.parametrize("ratio", [(0, 0), (0, 1), (1, 0), (1 << 30, 1)], ids=str)
def test_an_impossible_pixel_aspect_counts_as_square(write_image: Write, ratio: tuple[int, int]) -> None:
    """FFmpeg writes DPX files with an aspect of 0, and OpenEXR refuses to write an alpha with it."""
    path = write_image("p.dpx", np.full((8, 8, 3), 0.5, np.float32), "uint16")
    data = bytearray(path.read_bytes())
    order = ">" if data[:4] == b"SDPX" else "<"
    data[1628:1636] = struct.pack(f"{order}II", *ratio)
    path.write_bytes(data)
    assert read_plate(path).header.pixel_aspect == 1.0
    data[1628:1636] = struct.pack(f"{order}II", 2, 1)
    path.write_bytes(data)
    assert read_plate(path).header.pixel_aspect == 2.0


def test_an_animation_or_pages_of_one_size_are_no_plate(tmp_path: Path) -> None:
    for name in ("a.gif", "a.tif"):
        path = tmp_path / name
        output = oiio.ImageOutput.create(str(path))
        specs = [oiio.ImageSpec(8, 8, 3, oiio.UINT8)] * 2
        assert output.open(str(path), specs if output.supports("multiimage") else specs[0])
        for number in range(2):
            assert number == 0 or output.open(str(path), specs[number], "AppendSubimage")
            assert output.write_image(np.full((8, 8, 3), 0.2 + number / 2, np.float32))
        output.close()
        with pytest.raises(PlateError, match="several frames or pages"):
            check_ends(path)
        with pytest.raises(PlateError, match="several frames or pages"):
            read_plate(path)
        with pytest.raises(MaskError, match="several frames or pages"):
            read_mask(path, Resolution(8, 8))


def test_a_thumbnail_is_refused_only_before_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    for sides, is_read in (((8, 4), True), ((4, 8), False)):
        output = oiio.ImageOutput.create(str(path))
        for number, side in enumerate(sides):
            assert output.open(
                str(path), oiio.ImageSpec(side, side, 3, "uint8"), "AppendSubimage" if number else "Create"
            )
            assert output.write_image(np.full((side, side, 3), 0.5, np.float32))
        output.close()
        if is_read:
            assert read_plate(path).rgb.shape == (8, 8, 3)
            assert read_mask(path, Resolution(8, 8)).shape == (8, 8)
        else:
            with pytest.raises(PlateError, match="several frames or pages"):
                read_plate(path)


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = name + content
    whole = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:33] + whole + png[33:]


@pytest.mark.parametrize("frames", [1, 2])
def test_an_animated_png_is_no_plate(write_image: Write, frames: int) -> None:
    path = write_image("p.png", np.full((8, 8, 3), 0.5, np.float32), "uint8")
    path.write_bytes(with_chunk(path.read_bytes(), b"acTL", struct.pack(">II", frames, 0)))
    if frames == 1:
        assert abs(read_plate(path).rgb - 0.5).max() < 0.01
    else:
        with pytest.raises(PlateError, match="several frames or pages"):
            read_plate(path)
        with pytest.raises(MaskError, match="several frames or pages"):
            read_mask(path, Resolution(8, 8))


def test_a_png_with_video_codes_is_refused(write_image: Write) -> None:
    path = write_image("p.png", np.full((8, 8, 3), 0.5, np.float32), "uint8")
    data = path.read_bytes()
    for full, is_read in ((1, True), (0, False)):
        path.write_bytes(with_chunk(data, b"cICP", bytes([1, 1, 0, full])))
        if is_read:
            assert abs(read_plate(path).rgb - 0.5).max() < 0.01
        else:
            with pytest.raises(PlateError, match="limited"):
                read_plate(path)


def test_a_webp_is_a_plate(write_image: Write) -> None:
    path = write_image("p.webp", np.full((8, 8, 3), 0.5, np.float32), "uint8")
    check_ends(path)
    assert abs(read_plate(path).rgb - 0.5).max() < 0.05


def test_a_colour_space_that_changes_within_a_sequence_is_refused(write_image: Write, tmp_path: Path) -> None:
    for frame, space in ((1, "lin_rec709_scene"), (2, "lin_rec709_scene"), (3, "lin_ap0_scene")):
        write_image(f"p.{frame:04d}.exr", np.full((4, 6, 3), 0.5, np.float32), attributes={"colorInteropID": space})
    plate = open_plate(tmp_path)
    with pytest.raises(PlateError, match=r"Linear Rec\.709.*ACES2065-1 at frame 3.*--colorspace"):
        check_plates(plate, plate.frames)
    check_plates(plate, (1, 2))
    check_plates(plate, plate.frames, colorspace="ACEScg")


def test_a_plate_that_changes_from_integers_to_floats_is_refused(write_image: Write, tmp_path: Path) -> None:
    """Integers count as sRGB and floats as linear where nobody says more: one of the two would be wrong."""
    for frame, kind in ((1, "uint8"), (2, "uint16"), (3, "half")):
        write_image(f"p.{frame:04d}.tif", np.full((4, 6, 3), 0.5, np.float32), kind)
    plate = open_plate(tmp_path)
    with pytest.raises(PlateError, match=r"sRGB.*Linear Rec\.709.*at frame 3.*--colorspace"):
        check_plates(plate, plate.frames)
    check_plates(plate, (1, 2))
    check_plates(plate, plate.frames, colorspace="ACEScg")
