# SPDX-License-Identifier: Apache-2.0
"""Payloads become what the network sees; a file that kills the image library does not take the engine along."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from engines import RAW, mask, raw, shown
from shots import HEIGHT, WIDTH, make_shot, read_image, write_image

from matanyone_engine.engine.pixels import Decoder, PlateFormat, decode, encode_alpha
from matanyone_engine.errors import ColourError, PlateError
from matanyone_engine.sizes import Resolution
from matanyone_engine.wire.arrays import describe_file, describe_raw

SRGB = PlateFormat(Resolution(WIDTH, HEIGHT), "sRGB", 0)


def test_raw_planes_arrive_as_they_are() -> None:
    plate = shown()[0]
    assert np.array_equal(decode(SRGB, raw("plate", plate), None).seen, plate)
    codes = np.arange(HEIGHT * WIDTH * 3, dtype="<u2").reshape(HEIGHT, WIDTH, 3) * 7
    given = (describe_raw("plate", codes.tobytes(), "u2", codes.shape), codes.tobytes())
    assert np.array_equal(decode(SRGB, given, None).seen, codes.astype(np.float32) / np.float32(65535))


def test_exposure_is_the_session_s() -> None:
    plate = raw("plate", shown()[0] * 0.5)
    dark, bright = (
        decode(PlateFormat(Resolution(WIDTH, HEIGHT), "sRGB", 0, stops), plate, None).seen for stops in (-1.0, 1.0)
    )
    assert bright.mean() > dark.mean() + 0.1


def test_raw_planes_must_be_named() -> None:
    with pytest.raises(ColourError, match="raw planes"):
        decode(PlateFormat(Resolution(WIDTH, HEIGHT), None, 0), raw("plate", shown()[0]), None)


def test_an_exr_of_another_size_is_refused_before_its_pixels_are_read(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=1)
    data = (tmp_path / "plate.1001.exr").read_bytes()
    with pytest.raises(PlateError, match="session's size"):
        decode(
            PlateFormat(Resolution(WIDTH + 1, HEIGHT), None, 0), (describe_file("plate", data[:400]), data[:400]), None
        )
    assert shot.first == 1001


def test_a_header_that_asks_for_too_much_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    """The plate's own display window, and a data window that no plate has."""
    spec = oiio.ImageSpec(2000, 1500, 3, oiio.HALF)
    spec.full_width, spec.full_height = WIDTH, HEIGHT
    output = oiio.ImageOutput.create("openexr")
    assert output.open(str(tmp_path / "huge.exr"), spec)
    assert output.write_image(np.zeros((1500, 2000, 3), np.float16))
    output.close()
    data = (tmp_path / "huge.exr").read_bytes()
    with pytest.raises(PlateError, match="2000x1500"):
        decode(SRGB, (describe_file("plate", data), data), None)
    many = ("R", "G", "B", *(f"aov.{n}" for n in range(600)))
    write_image(tmp_path / "many.exr", np.zeros((HEIGHT, WIDTH, len(many)), np.float32), many)
    data = (tmp_path / "many.exr").read_bytes()
    with pytest.raises(PlateError, match="603 channels"):
        decode(SRGB, (describe_file("plate", data), data), None)


def test_a_decoder_that_was_killed_between_two_plates_comes_back(tmp_path: Path) -> None:
    make_shot(tmp_path, count=1)
    data = (tmp_path / "plate.1001.exr").read_bytes()
    plate = (describe_file("plate", data), data)
    decoder = Decoder()
    try:
        seen = decoder(SRGB, plate, mask())
        assert seen.header is not None
        (process,) = decoder.processes()
        with pytest.raises(PlateError, match="finished and not damaged"):
            decoder(SRGB, (describe_file("plate", data[:400]), data[:400]), None)
        assert decoder.processes() == [process], "a damaged file is an answer, and no end of the process"
        os.kill(process, signal.SIGKILL)
        again = decoder(SRGB, plate, mask())
        assert np.array_equal(again.seen, seen.seen)
    finally:
        decoder.close()


@pytest.mark.parametrize(("reply", "kind"), [("f2", "<f2"), ("f4", "<f4")])
def test_raw_alphas(tmp_path: Path, reply: str, kind: str) -> None:
    alpha = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    payload, data = encode_alpha(reply, alpha, None, {}, 1, tmp_path)
    assert payload.shape == (HEIGHT, WIDTH, 1)
    assert np.array_equal(np.frombuffer(data, kind).reshape(HEIGHT, WIDTH), alpha.astype(kind))


def test_an_exr_alpha_carries_the_plates_header(tmp_path: Path) -> None:
    make_shot(tmp_path, count=1)
    data = (tmp_path / "plate.1001.exr").read_bytes()
    header = decode(SRGB, (describe_file("plate", data), data), None).header
    alpha = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    _, written = encode_alpha("exr", alpha, header, {"model": "toy"}, 1, tmp_path)
    (tmp_path / "back.exr").write_bytes(written)
    assert (read_image(tmp_path / "back.exr") == 0.5).all()
    assert b"matanyone:model" in written
    assert not list(tmp_path.glob(".alpha*"))
    assert RAW.reply == "f4"
