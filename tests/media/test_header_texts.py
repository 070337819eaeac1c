# SPDX-License-Identifier: Apache-2.0
"""What a header says never stops a shot: texts that are no UTF-8, lists, and rates of any type."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import PlateError
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import rate_of, read_plate, readable
from matanyone_engine.media.mattes import write_alpha
from matanyone_engine.media.movies import Movie

LATIN, PLAIN, MEANT = b"Studio J\xf6erg 2024", "Studio Xoerg 2024", "Studio Jöerg 2024"


def exr(path: Path, header: dict[str, Any]) -> Path:
    base = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**base, **header}, {name: np.full((6, 8), 0.5, np.float32) for name in "RGB"}).write(str(path))
    return path


def patch(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def other(path: Path) -> Path:
    """With a copyright in Latin-1."""
    spec = oiio.ImageSpec(8, 6, 3, oiio.UINT8 if path.suffix in (".png", ".jpg") else oiio.UINT16)
    spec.attribute("Copyright", PLAIN)
    out = oiio.ImageOutput.create(str(path))
    assert out is not None
    assert out.open(str(path), spec)
    assert out.write_image(np.full((6, 8, 3), 100, np.uint8 if path.suffix in (".png", ".jpg") else np.uint16))
    out.close()
    if path.suffix != ".png":
        return patch(path, PLAIN.encode(), LATIN)
    text = b"tEXtCopyright\0" + LATIN
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + chunk + data[at:])
    return path


MAKES: dict[str, Callable[[Path], Path]] = {
    "text": lambda at: patch(exr(at / "p.exr", {"owner": PLAIN}), PLAIN.encode(), LATIN),
    "0xff": lambda at: patch(exr(at / "p.exr", {"audio": "X" * 9}), b"X" * 9, b"\xff" * 9),
    "list": lambda at: patch(exr(at / "p.exr", {"notes": ["abc", PLAIN]}), PLAIN.encode(), LATIN),
    "good list": lambda at: exr(at / "p.exr", {"notes": ["abc", "ü"]}),
    "one in a list": lambda at: exr(at / "p.exr", {"notes": ["abc"]}),
    "name": lambda at: patch(exr(at / "p.exr", {"Kuenxler": "abc"}), b"Kuenxler", b"Kuen\xfcler"),
    "dpx": lambda at: other(at / "p.dpx"),
    "tif": lambda at: other(at / "p.tif"),
    "jpg": lambda at: other(at / "p.jpg"),
    "png": lambda at: other(at / "p.png"),
}


@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize("suffix", [".exr", ".png", ".tif"])
def test_texts_in_any_encoding_are_carried(tmp_path: Path, name: str, suffix: str) -> None:
    path = MAKES[name](tmp_path)
    header = read_plate(path).header
    out = tmp_path / f"alpha{suffix}"
    write_alpha(out, np.zeros((6, 8), np.float32), header, {"key": "value"})
    assert read_facts(out).provenance or suffix != ".exr"
    said = read_facts(path).parts[0].attributes
    str(said).encode("utf-8")  # no surrogate is left
    if name in ("text", "dpx", "tif", "jpg", "png") and suffix == ".exr":
        assert read_facts(out).parts[0].attributes["Copyright"] == MEANT


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeCode": "01:00:00:00"}, {"pixelAspectRatio2": "1"}, {"keyCode": "text"},
        {"owner": 3}, {"xDensity": "72"}, {"multiView": "left"}, {"view": 3}, {"capDate": 1.5}, {"comments": ["a"]},
    ],
    ids=str,
)  # fmt: skip
def test_known_names_of_another_type_do_not_stop_a_shot(tmp_path: Path, wrong: dict[str, Any]) -> None:
    header = read_plate(exr(tmp_path / "p.exr", wrong)).header
    write_alpha(tmp_path / "a.exr", np.zeros((6, 8), np.float32), header, {})


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("25 fps", Fraction(25)),
        (24.0, Fraction(24)),
        (24, Fraction(24)),
        ((24000, 1001), Fraction(24000, 1001)),
        ((24.0, 1.0), Fraction(24)),
        ((24, 1, 0), None),
        ((0, 0), None),
        ((24, -1), None),
        (("24", "25"), None),
        ("film", None),
        ("1/0", None),
        ("nan", None),
        ((float("nan"), 1.0), None),
        (None, None),
        (0.0, None),
    ],
)
def test_a_frame_rate_of_any_type(value: Any, rate: Fraction | None) -> None:
    assert rate_of(value) == rate


@pytest.mark.parametrize(
    "value", ["24", 24.0, 24, np.array([24, 1], np.int32), np.array([24, 1], np.float32), ["24", "25"]], ids=repr
)
def test_frames_per_second_of_any_type_in_a_file(tmp_path: Path, value: Any) -> None:
    path = exr(tmp_path / "p.exr", {"framesPerSecond": value})
    header = read_plate(path).header
    assert header.fps == (None if isinstance(value, list) else 24)
    read_facts(path)
    write_alpha(tmp_path / "a.exr", np.zeros((6, 8), np.float32), header, {})


def test_text_that_is_utf_8_stays() -> None:
    assert readable("撮影") == "撮影"
    assert readable("J\udcf6erg") == "Jöerg"
    assert readable(("a", "\udcff", 3)) == ("a", "ÿ", 3)


@pytest.mark.parametrize("name", ["movie.avi", "movie.mkv"])
def test_a_movie_with_a_latin_title_is_a_movie(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as file:
        file.metadata["title"] = PLAIN
        stream = file.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        file.mux(stream.encode())
    assert Movie(patch(path, PLAIN.encode(), LATIN)).frames == (1, 2, 3)


def test_a_damaged_header_with_an_undecodable_message_is_a_plate_error(tmp_path: Path) -> None:
    """OpenImageIO quotes the file in its complaint, with bytes that are no UTF-8."""
    path = patch(exr(tmp_path / "plate.exr", {}), b"\0chlist\0", b"\0chli\xff\xfe\0")
    for read in (read_plate, read_facts):
        with pytest.raises(PlateError, match="chli"):
            read(path)
