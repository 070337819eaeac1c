# SPDX-License-Identifier: Apache-2.0
"""What files say about their colour in numbers is followed or refused, and never passed over for the default."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from jpeg_2000 import RED_OVER_BLUE
from tiffs import tiff

from matanyone_engine.errors import ColourError
from matanyone_engine.media.color_spaces import choose_space
from matanyone_engine.media.encodings import PRIMARIES
from matanyone_engine.media.icc import encoding_of
from matanyone_engine.media.images import MOVIE_PRIMARIES, MOVIE_TRANSFER, PlateHeader, read_header

Write = Callable[..., Path]
GREY = np.full((8, 8, 3), 0.5, np.float32)
SRGB, LINEAR = "sRGB Encoded Rec.709 (sRGB)", "Linear Rec.709 (sRGB)"
REFUSED = ""


def space(path: Path) -> str:
    """The colour space of a plate that nobody has named one for; REFUSED if nobody can tell."""
    header = read_header(path)
    assert choose_space(header, "ACEScg", path.suffix).space == "ACEScg"
    try:
        return choose_space(header, None, path.suffix).space
    except ColourError:
        return REFUSED


# ------------------------------------------------------------------------------------------------------------- PNG


def png(path: Path, chunks: Mapping[str, bytes]) -> Path:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + bytes(24) for _ in range(8))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), *((n.encode(), c) for n, c in chunks.items())]
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def gamma(value: int) -> bytes:
    return struct.pack(">I", value)


def primaries(name: str) -> bytes:
    *colours, x, y = PRIMARIES[name]
    return struct.pack(">8I", *(round(value * 100000) for value in (x, y, *colours)))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, SRGB),
        ({"sRGB": b"\0", "gAMA": gamma(45455), "cHRM": primaries("Rec.709")}, SRGB),
        ({"gAMA": gamma(0)}, REFUSED),
        ({"gAMA": gamma(50000)}, REFUSED),
        ({"gAMA": gamma(45455)}, "Gamma 2.2 Encoded Rec.709"),
        ({"gAMA": gamma(41667)}, "Gamma 2.4 Encoded Rec.709"),
        ({"gAMA": gamma(100000), "cHRM": primaries("Rec.2020")}, "Linear Rec.2020"),
        ({"gAMA": gamma(45455), "cHRM": primaries("P3")}, REFUSED),
        ({"cHRM": primaries("Rec.709")}, SRGB),
        ({"cHRM": primaries("P3")}, "sRGB Encoded P3-D65"),
        ({"cICP": bytes([1, 13, 0, 1])}, SRGB),
        ({"cICP": bytes([1, 1, 0, 1])}, "Rec.1886 Rec.709 - Display"),
        ({"cICP": bytes([12, 13, 0, 1]), "sRGB": b"\0"}, "sRGB Encoded P3-D65"),
        ({"cICP": bytes([9, 14, 0, 1])}, REFUSED),
        ({"cICP": bytes([9, 16, 0, 1])}, "Rec.2100-PQ - Display"),
        ({"cICP": bytes([9, 18, 0, 1])}, "Rec.2100-HLG - Display"),
        ({"cICP": bytes([1, 16, 0, 1])}, REFUSED),
        ({"cICP": bytes([2, 2, 0, 1])}, SRGB),
    ],
    ids=lambda value: " ".join(f"{n} {c.hex()[:16]}" for n, c in value.items()) if isinstance(value, dict) else "",
)
def test_what_a_png_states_in_chunks(tmp_path: Path, chunks: Mapping[str, bytes], expected: str) -> None:
    assert space(png(tmp_path / "p.png", chunks)) == expected


def test_a_png_that_states_srgb_is_not_called_a_default(tmp_path: Path) -> None:
    header = read_header(png(tmp_path / "p.png", {"sRGB": b"\0"}))
    assert choose_space(header, None, ".png").reason == "stated by the file (PNG sRGB chunk)"


# ------------------------------------------------------------------------------------------------------------- ICC


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


SRGB_CURVE = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
SRGB_TABLE = np.linspace(0, 1, 1024)
SRGB_TABLE = np.where(SRGB_TABLE <= 0.04045, SRGB_TABLE / 12.92, ((SRGB_TABLE + 0.055) / 1.055) ** 2.4)
SRGB_TABLE = b"curv" + bytes(4) + struct.pack(">I", 1024) + np.rint(SRGB_TABLE * 65535).astype(">u2").tobytes()
# X, Y and Z of red, green and blue for a white of D50, as published by Adobe, Apple and HP in their profiles.
COLORANTS = {
    "sRGB": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "ProPhoto": ((0.79767, 0.28804, 0.00000), (0.13519, 0.71188, 0.00000), (0.03134, 0.00009, 0.82491)),
}


def profile(colorants: str, trc: bytes, space: bytes = b"RGB ", **more: bytes) -> bytes:
    """An ICC profile that calls itself nothing; its primaries are those of a name."""
    tags = {f"{c}XYZ": b"XYZ " + bytes(4) + fixed(*xyz) for c, xyz in zip("rgb", COLORANTS[colorants], strict=True)}
    tags |= {f"{c}TRC": trc for c in "rgb"} | more
    at, entries, contents = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        entries += struct.pack(">4sII", name.encode(), at + len(contents), len(content))
        contents += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[8:12], head[12:16], head[16:20], head[20:24], head[36:40] = b"\4\0\0\0", b"mntr", space, b"XYZ ", b"acsp"
    head[0:4] = struct.pack(">I", at + len(contents))
    return bytes(head) + struct.pack(">I", len(tags)) + entries + contents


@pytest.mark.parametrize(
    ("icc", "expected"),
    [
        (profile("sRGB", SRGB_CURVE), SRGB),
        (profile("sRGB", SRGB_TABLE), SRGB),
        (profile("sRGB", curve(2.2)), "Gamma 2.2 Encoded Rec.709"),
        (profile("Display P3", SRGB_CURVE), "sRGB Encoded P3-D65"),
        (profile("Adobe RGB", curve(2.19921875)), "Gamma 2.2 Encoded AdobeRGB"),
        (profile("ProPhoto", curve(1.8)), REFUSED),
        (profile("Adobe RGB", SRGB_CURVE), REFUSED),
        (profile("sRGB", SRGB_CURVE, A2B0=b"mft2"), REFUSED),
        (profile("sRGB", SRGB_CURVE, cicp=b"cicp" + bytes(4) + bytes([9, 16, 0, 1])), "Rec.2100-PQ - Display"),
    ],
    ids=["sRGB", "sRGB by table", "2.2", "P3", "Adobe RGB", "ProPhoto", "unheard of", "tables of colours", "cicp"],
)
@pytest.mark.parametrize("name", ["p.jpg", "p.tif", "p.png"])
def test_an_icc_profile_is_recognised_by_its_numbers(tmp_path: Path, name: str, icc: bytes, expected: str) -> None:
    kind = oiio.TypeDesc(f"uint8[{len(icc)}]")
    path, spec = tmp_path / name, oiio.ImageSpec(8, 8, 3, "uint8")
    spec.attribute("ICCProfile", kind, np.frombuffer(icc, np.uint8))
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec)
    assert output.write_image(GREY)
    assert output.close()
    assert space(path) == expected


def test_a_damaged_profile_has_no_known_encoding() -> None:
    whole = profile("sRGB", SRGB_CURVE)
    flat = b"para" + bytes(4) + struct.pack(">HH", 1, 0) + fixed(2.2, 0, 0)
    for icc in (b"", whole[:100], whole[:150], whole[:300], whole[:128] + b"\xff" * 40, profile("sRGB", flat)):
        assert encoding_of(icc) in (("", ""), ("Rec.709", ""))


# ---------------------------------------------------------------------------------------------------------- others


@pytest.mark.parametrize(
    ("code", "expected"), [(1, SRGB), (2, "Gamma 2.2 Encoded AdobeRGB"), (65535, REFUSED)], ids=str
)
def test_a_camera_that_says_that_it_is_not_srgb(write_image: Write, code: int, expected: str) -> None:
    assert space(write_image("p.jpg", GREY, "uint8", attributes={"Exif:ColorSpace": code})) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", LINEAR),
        ("PRIMARIES= 0.708 0.292 0.170 0.797 0.131 0.046 0.3127 0.3290\n", "Linear Rec.2020"),
        ("PRIMARIES= 0.7 0.3 0.2 0.7 0.1 0.0 0.33 0.33\n", REFUSED),
        ("PRIMARIES= 0.7 -- 0.2\n", REFUSED),
    ],
)
def test_primaries_of_a_radiance_file(write_image: Write, line: str, expected: str) -> None:
    path = write_image("p.hdr", GREY, "float")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"FORMAT=", line.encode() + b"FORMAT="))
    assert space(path) == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((2, 2), SRGB),
        ((1, 1), SRGB),
        ((6, 6), SRGB),
        ((1, 4), "Gamma 2.2 Encoded Rec.709"),
        ((12, 1), "sRGB Encoded P3-D65"),
        ((9, 1), REFUSED),
        ((9, 14), REFUSED),
        ((9, 16), "Rec.2100-PQ - Display"),
        ((2, 18), "Rec.2100-HLG - Display"),
        ((12, 16), "ST2084-P3-D65 - Display"),
        ((12, 18), REFUSED),
        ((11, 17), REFUSED),
        ((1, 9), REFUSED),
        ((1, 8), LINEAR),
        ((9, 8), "Linear Rec.2020"),
    ],
    ids=str,
)
def test_the_tags_of_a_movie(codes: tuple[int, int], expected: str) -> None:
    colour = dict(zip((MOVIE_PRIMARIES, MOVIE_TRANSFER), map(str, codes), strict=True))
    header = replace(PlateHeader.plain(Path("p.mov"), 8, 8), colour=colour, pixel_format="uint16")
    if expected == REFUSED:
        with pytest.raises(ColourError, match=f"primaries {codes[0]} and transfer characteristics {codes[1]}"):
            choose_space(header, None, ".mov")
        return
    choice = choose_space(header, None, ".mov")
    assert choice.space == expected
    assert ("ordinary video" in choice.reason) == (codes in [(1, 1), (6, 6)])


# ----------------------------------------------------------------------------------------------- TIFF and others


def rationals(*values: float) -> tuple[str, tuple[int, ...]]:
    return "I", tuple(part for value in values for part in (round(value * 10000), 10000))


def light(*curves: Callable[[np.ndarray], np.ndarray]) -> tuple[str, tuple[int, ...]]:
    """Return a table for each of red, green and blue, of one curve or of three."""
    every = curves if len(curves) == 3 else curves * 3
    tables = [np.rint(65535 * curve(np.linspace(0, 1, 256))) for curve in every]
    return "H", tuple(np.concatenate(tables).astype(int).tolist())


def bent(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda codes: codes + by * np.sin(np.pi * codes)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, SRGB),
        ({319: rationals(*PRIMARIES["Rec.709"][:6]), 318: rationals(*PRIMARIES["Rec.709"][6:])}, SRGB),
        ({319: rationals(*PRIMARIES["P3"][:6])}, "sRGB Encoded P3-D65"),
        ({319: rationals(*PRIMARIES["Rec.2020"][:6])}, REFUSED),
        ({318: rationals(0.3457, 0.3585)}, REFUSED),
        ({301: light(lambda codes: codes)}, LINEAR),
        ({301: light(lambda codes: codes**2.2)}, "Gamma 2.2 Encoded Rec.709"),
        ({301: light(lambda codes: codes**3)}, REFUSED),
        ({301: light(bent(0.05), bent(0.0), bent(-0.05))}, REFUSED),  # their mean is linear, they are not
        ({301: light(lambda codes: codes), 319: rationals(*PRIMARIES["Rec.2020"][:6])}, "Linear Rec.2020"),
    ],
)
def test_the_tags_of_a_tiff(tmp_path: Path, tags: dict[int, tuple[str, tuple[int, ...]]], expected: str) -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    for order in "<>":
        assert space(tiff(tmp_path / "p.tif", rgb, tags, order)) == expected


@pytest.mark.parametrize(("gamma", "expected"), [("1.0", LINEAR), ("2.2", REFUSED), ("10", REFUSED), ("--", REFUSED)])
def test_the_gamma_of_a_radiance_file(write_image: Write, gamma: str, expected: str) -> None:
    path = write_image("p.hdr", GREY, "float")
    path.write_bytes(path.read_bytes().replace(b"FORMAT=", f"GAMMA={gamma}\nFORMAT=".encode()))
    assert space(path) == expected


@pytest.mark.parametrize(
    ("gamma", "expected"), [((0, 0), SRGB), ((22, 10), SRGB), ((1, 1), REFUSED), ((5, 2), REFUSED)]
)
def test_the_gamma_of_a_tga(write_image: Write, gamma: tuple[int, int], expected: str) -> None:
    path = write_image("p.tga", GREY, "uint8")
    data = bytearray(path.read_bytes())
    extension = struct.unpack_from("<I", data, len(data) - 26)[0]
    struct.pack_into("<HH", data, extension + 478, *gamma)
    path.write_bytes(data)
    assert space(path) == expected


@pytest.mark.parametrize(
    ("kind", "gamma", "expected"),
    [(b"BGRs", 0, SRGB), (b" niW", 0, SRGB), (bytes(4), 0, SRGB), (bytes(4), 1 << 16, REFUSED), (b"DEBM", 0, REFUSED)],
)
def test_the_colours_of_a_bmp(tmp_path: Path, kind: bytes, gamma: int, expected: str) -> None:
    head = struct.pack("<IiiHHIIiiII", 124, 8, 8, 1, 24, 0, 192, 0, 0, 0, 0) + bytes(16) + kind + bytes(36)
    head += struct.pack("<3I", gamma, gamma, gamma) + bytes(16)
    path = tmp_path / "p.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 138 + 192, 0, 0, 138) + head + bytes(192))
    assert space(path) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, SRGB), (16, SRGB), (20, REFUSED), (21, REFUSED)])
def test_the_colour_space_of_a_jpeg_2000(tmp_path: Path, number: int, expected: str) -> None:
    path, data = tmp_path / "p.jp2", bytearray(RED_OVER_BLUE)
    at = data.index(b"colr") + 7
    data[at : at + 4] = struct.pack(">I", number)
    path.write_bytes(data)
    assert space(path) == expected
    at = data.index(b"\xff\x4f\xff\x51")
    data[at + 7] = 3  # the capabilities of cinema at 2K
    path.write_bytes(data[at:])
    assert space(path) == REFUSED
