# SPDX-License-Identifier: Apache-2.0
"""Which channel of a file is the mask (docs/masks.md). Each file here was once read wrongly without a word."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from matanyone_engine.errors import MaskError
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.masks import read_alpha, read_constraint_mask, read_mask

HEIGHT, WIDTH = 12, 20
SIZE = (WIDTH, HEIGHT)
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
SOFT = np.clip((5 - np.hypot(X - 8, Y - 6)) / 3 + 0.5, 0, 1).astype(np.float32)
OTHER = np.roll(SOFT, 6, axis=1)
PICTURE = {"R": 0.1 + 0.4 * X / WIDTH, "G": 0.2 + 0.3 * Y / HEIGHT, "B": 0.5 - 0.3 * X / WIDTH}
GREY = dict.fromkeys("RGB", SOFT)
ONE, NONE = np.ones_like(SOFT), np.zeros_like(SOFT)


def write(path: Path, channels: Mapping[str, np.ndarray], kind: type = np.float32, crop: int = 0) -> Path:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if crop:
        header["dataWindow"] = (np.array([crop, 0], np.int32), np.array([WIDTH - 1, HEIGHT - 1], np.int32))
        header["displayWindow"] = (np.array([0, 0], np.int32), np.array([WIDTH - 1, HEIGHT - 1], np.int32))
    planes = {name: np.ascontiguousarray(plane[:, crop:].astype(kind)) for name, plane in channels.items()}
    OpenEXR.File(header, planes).write(str(path))
    return path


def png(path: Path, kind: int, image: np.ndarray, *more: bytes, bits: int = 8) -> Path:
    """kind: 0 grey, 2 RGB, 3 palette."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in image)
    size = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], bits, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", size), *(chunk(b"PLTE", data) for data in more), chunk(b"IDAT", zlib.compress(rows))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b""))
    return path


def layer(name: str, channels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}.{channel}": plane for channel, plane in channels.items()}


# ------------------------------------------------------------------------------------------- beside a picture


@pytest.mark.parametrize(
    "channels",
    [
        {**PICTURE, "Object_0.Y": SOFT},
        {**PICTURE, "A": ONE, "roto.A": SOFT},
        {**PICTURE, "A": 0.999 * ONE, "roto.A": SOFT},
        {**PICTURE, "roto.alpha": SOFT},
        {**PICTURE, "roto.hero": SOFT},
        {**PICTURE, "matte": SOFT},
        {**PICTURE, **layer("roto", GREY)},
        {**PICTURE, "A": SOFT},
        {**PICTURE, "A": SOFT, "roto.A": SOFT},  # the same twice is no question
        {**PICTURE, "A": SOFT, "Z": 100 * X, "N.X": X, "N.Y": Y, "N.Z": X, "forward.u": X, "forward.v": Y},
        {**layer("ViewLayer.Combined", {**PICTURE, "A": SOFT}), "ViewLayer.Depth.Z": X},
        {
            **layer("ViewLayer.Combined", {**PICTURE, "A": SOFT}),
            **layer("ViewLayer.CryptoObject00", {**PICTURE, "A": OTHER}),
            **layer("ViewLayer.UV", {"U": X / WIDTH, "V": Y / HEIGHT, "A": ONE}),
        },
    ],
    ids=lambda channels: " ".join(name for name in channels if name not in "RGB"),
)
def test_the_only_matte_is_read_from_any_channel(tmp_path: Path, channels: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(read_mask(write(tmp_path / "m.exr", channels), SIZE), SOFT)


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        ({**PICTURE, "Object_0.Y": SOFT, "Object_1.Y": OTHER}, ("Object_0.Y", "Object_1.Y")),
        ({**PICTURE, "A": SOFT, "roto.A": OTHER}, ("A", "roto.A")),
        ({**PICTURE, "roto.hero": SOFT, "roto.bg": OTHER}, ("roto.hero", "roto.bg")),
        ({**GREY, "A": OTHER}, ("A", "RGB")),
    ],
)
def test_two_mattes_are_named_and_can_be_chosen(
    tmp_path: Path, channels: dict[str, np.ndarray], names: tuple[str, str]
) -> None:
    path = write(tmp_path / "m.exr", channels)
    for read in (read_mask, read_constraint_mask):
        with pytest.raises(MaskError) as refusal:
            read(path, SIZE)
        assert all(name in refusal.value.came for name in names)
    assert f"{path}:" in refusal.value.action
    chosen = [read_mask(MaskSource.parse(f"{path}:{name}"), SIZE) for name in names]
    assert {mask.tobytes() for mask in chosen} == {SOFT.tobytes(), OTHER.tobytes()}


def test_a_layer_chooses_its_own_matte(tmp_path: Path) -> None:
    path = write(tmp_path / "m.exr", {**PICTURE, "A": OTHER, **layer("roto", {**PICTURE, "A": SOFT})})
    for text in ("roto", "ROTO", "roto.A", "roto.a"):
        np.testing.assert_array_equal(read_mask(MaskSource.parse(f"{path}:{text}"), SIZE), SOFT)
    np.testing.assert_allclose(read_mask(MaskSource.parse(f"{path}:R"), SIZE), PICTURE["R"], atol=1e-6)
    with pytest.raises(MaskError, match=r"'nothing'.*roto\.A"):
        read_mask(MaskSource.parse(f"{path}:nothing"), SIZE)


def test_a_matte_in_a_part_of_its_own(tmp_path: Path) -> None:
    parts = [
        OpenEXR.Part({"name": "rgba", "type": OpenEXR.scanlineimage}, {n: p.copy() for n, p in PICTURE.items()}),
        OpenEXR.Part({"name": "hero", "type": OpenEXR.scanlineimage}, {"A": SOFT.copy()}),
    ]
    path = tmp_path / "parts.exr"
    OpenEXR.File(parts).write(str(path))
    np.testing.assert_array_equal(read_mask(path, SIZE), SOFT)
    np.testing.assert_array_equal(read_mask(MaskSource.parse(f"{path}:hero"), SIZE), SOFT)


@pytest.mark.parametrize("channels", [PICTURE, {**PICTURE, "A": ONE}, {**PICTURE, "A": NONE, "Z": X}])
def test_a_picture_is_no_mask(tmp_path: Path, channels: dict[str, np.ndarray]) -> None:
    for read in (read_mask, read_constraint_mask):
        with pytest.raises(MaskError, match=r"a colour picture|black"):
            read(write(tmp_path / "m.exr", {name: plane for name, plane in channels.items() if name != "A"}), SIZE)


# ---------------------------------------------------------------------------------------------- alphas that say nothing


@pytest.mark.parametrize("alpha", [ONE, 0.99 * ONE, NONE, 0.5 * ONE])
@pytest.mark.parametrize("crop", [0, 4])
def test_an_alpha_of_one_value_is_no_mask(tmp_path: Path, alpha: np.ndarray, crop: int) -> None:
    """A grey mask whose alpha is 1 only in its data window was read as that box; one with an empty alpha as nothing."""
    expected = np.where(crop <= X, SOFT, 0)
    path = write(tmp_path / "m.exr", {**GREY, "A": alpha}, crop=crop)
    for read in (read_mask, read_constraint_mask):
        np.testing.assert_array_equal(read(path, SIZE), expected)


@pytest.mark.parametrize("grey", [SOFT, 0.7 * SOFT, (SOFT > 0) * 1.0, ONE, NONE])
def test_a_grey_that_the_alpha_explains_is_no_second_mask(tmp_path: Path, grey: np.ndarray) -> None:
    path = write(tmp_path / "m.exr", {**dict.fromkeys("RGB", grey), "A": SOFT})
    np.testing.assert_array_equal(read_mask(path, SIZE), SOFT)


def test_a_black_constraint_mask_is_a_constraint_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "m.exr", {**dict.fromkeys("RGB", NONE), "A": NONE})
    assert read_constraint_mask(path, SIZE).max() == 0
    with pytest.raises(MaskError, match="a black mask"):
        read_mask(path, SIZE)


# --------------------------------------------------------------------------------------------------------- labels

INSIDE = SOFT > 0.5
BESIDE = np.zeros_like(INSIDE)
BESIDE[1:4, 16:19] = True
DAVIS = bytes([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])


def coloured() -> np.ndarray:
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[INSIDE], rgb[BESIDE] = (128, 0, 0), (0, 128, 0)
    return rgb


MAPS: dict[str, tuple[Callable[[Path], Path], str, tuple[str, ...]]] = {
    "8 bits": (lambda at: png(at / "m.png", 0, (INSIDE * 2 + BESIDE).astype(np.uint8)), "2", ("1", "2")),
    "one label": (lambda at: png(at / "m.png", 0, INSIDE.astype(np.uint8)), "1", ("1",)),
    "with ignore": (lambda at: png(at / "m.png", 0, (INSIDE * 3 + BESIDE * 255).astype(np.uint8)), "3", ("3", "255")),
    "16 bits": (lambda at: png(at / "m.png", 0, (INSIDE * 300 + BESIDE).astype(">u2"), bits=16), "300", ("1", "300")),
    "palette": (lambda at: png(at / "m.png", 3, (INSIDE + BESIDE * 2).astype(np.uint8), DAVIS), "1", ("1", "2")),
    "colours": (lambda at: png(at / "m.png", 2, coloured()), "800000", ("008000", "800000")),
    "ids": (lambda at: write(at / "m.exr", {"A": INSIDE * 7 + BESIDE * 70000}, np.uint32), "7", ("7", "70000")),
    "ids in floats": (lambda at: write(at / "m.exr", {"Y": INSIDE * 2.0 + BESIDE}), "2", ("1", "2")),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_label_map_is_named_and_a_label_can_be_chosen(tmp_path: Path, name: str) -> None:
    make, label, labels = MAPS[name]
    path = make(tmp_path)
    for read in (read_mask, read_constraint_mask):
        with pytest.raises(MaskError) as refusal:
            read(path, SIZE)
        assert f"label{'s' * (len(labels) > 1)} {', '.join(labels)}" in refusal.value.came
        assert f"{path}#{labels[0]}" in refusal.value.action
        np.testing.assert_array_equal(read(MaskSource.parse(f"{path}#{label}"), SIZE), INSIDE)
    absent = replace(MaskSource.parse(f"{path}#9"), label_may_be_absent=True)  # as of a frame that it has left
    assert not read_constraint_mask(absent, SIZE).any()
    with pytest.raises(MaskError, match="without label 9"):
        read_mask(MaskSource.parse(f"{path}#9"), SIZE)


def test_32_bit_integers_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="32-bit integers"):
        read_mask(write(tmp_path / "m.exr", {"A": INSIDE}, np.uint32), SIZE)


@pytest.mark.parametrize("bits", [8, 16])
def test_soft_and_hard_masks_are_no_label_maps(tmp_path: Path, bits: int) -> None:
    kind, top = (np.uint8, 255) if bits == 8 else (">u2", 65535)
    for mask in (SOFT, INSIDE, 0.6 * SOFT):
        path = png(tmp_path / "m.png", 0, np.rint(mask * top).astype(kind), bits=bits)
        np.testing.assert_allclose(read_mask(path, SIZE), mask, atol=0.5 / 255)


def test_a_grey_palette_is_a_mask(tmp_path: Path) -> None:
    greys = bytes(value for value in range(256) for _ in range(3))
    path = png(tmp_path / "m.png", 3, np.rint(SOFT * 255).astype(np.uint8), greys)
    np.testing.assert_allclose(read_mask(path, SIZE), SOFT, atol=0.5 / 255)


def test_a_faint_mask_is_read_when_its_channel_is_named(tmp_path: Path) -> None:
    path = png(tmp_path / "m.png", 0, (INSIDE * 2).astype(np.uint8))
    np.testing.assert_allclose(read_mask(MaskSource.parse(f"{path}:Y"), SIZE), INSIDE * 2 / 255, atol=1e-6)


def test_no_label_is_cut_from_a_soft_mask(tmp_path: Path) -> None:
    ramp = np.arange(240, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    path = png(tmp_path / "m.png", 0, ramp)
    with pytest.raises(MaskError, match="without labels"):
        read_constraint_mask(replace(MaskSource.parse(f"{path}#1"), label_may_be_absent=True), SIZE)
    with pytest.raises(MaskError, match="without labels"):
        read_mask(MaskSource.parse(f"{path}#200"), SIZE)


# ---------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "file", "layer_", "label"),
    [
        ("roto.exr", "roto.exr", "", ""),
        ("roto.exr:hero.A", "roto.exr", "hero.A", ""),
        ("a/roto.####.exr:hero", "a/roto.####.exr", "hero", ""),
        ("labels.png#2", "labels.png", "", "2"),
        ("labels.####.PNG#80FF00", "labels.####.PNG", "", "80ff00"),
        ("ids.exr:id#12", "ids.exr", "id", "12"),
        ("P:/sh010/roto.exr", "P:/sh010/roto.exr", "", ""),
        ("P:/sh010/roto.exr:hero.A", "P:/sh010/roto.exr", "hero.A", ""),
        ("take:01.####", "take:01.####", "", ""),
        ("roto.####", "roto.####", "", ""),
    ],
)
def test_names_with_a_layer_or_a_label(text: str, file: str, layer_: str, label: str) -> None:
    assert MaskSource.parse(text) == MaskSource(Path(file), layer_, label)


def test_an_existing_file_with_a_colon_or_hash_is_read_as_named(tmp_path: Path) -> None:
    for name in ("m.exr:hero", "m.png#2", "take:01.exr"):
        path = write(tmp_path / name, {"A": SOFT})
        assert MaskSource.parse(str(path)) == MaskSource(path)


def test_a_delivered_alpha_may_be_black_and_faint(tmp_path: Path) -> None:
    assert read_alpha(write(tmp_path / "black.exr", {**dict.fromkeys("RGB", NONE), "A": NONE})).max() == 0
    faint = png(tmp_path / "faint.png", 0, INSIDE.astype(">u2"), bits=16)
    np.testing.assert_allclose(read_alpha(faint), INSIDE / 65535, atol=1e-8)
    several = write(tmp_path / "several.exr", {**PICTURE, "A": SOFT, "twin.A": OTHER})
    np.testing.assert_array_equal(read_alpha(several), SOFT)
