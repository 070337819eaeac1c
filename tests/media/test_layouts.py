# SPDX-License-Identifier: Apache-2.0
"""Layouts, read back by readers that are not ours: the OpenEXR package, and cryptomatte-api."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from matanyone_engine.errors import BadResult, OutputError, PlateError, SettingError
from matanyone_engine.media import mattes
from matanyone_engine.media.foreground import estimate_foreground
from matanyone_engine.media.images import PlateHeader, read_plate
from matanyone_engine.media.layouts import (
    COMPRESSIONS,
    LAYOUTS,
    LOSSLESS,
    LOSSY,
    SUBJECT,
    Delivery,
    FrameContent,
    check_delivery,
    compose,
    layer_names,
)
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.mattes import write_picture

HEIGHT, WIDTH = 24, 33
OBJECTS = ("alice", "böb 2", "3")
LAYERS = ("alice", "bob_2", "object_3")

Write = Callable[..., Path]
WRITE = mattes._write


def disc(at: float, radius: float = 8.0) -> np.ndarray:
    """(H, W) with an edge six pixels wide."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip((radius - np.hypot(y - 12, x - at)) / 6 + 0.5, 0, 1).astype(np.float32)


ALPHAS = {"alice": disc(10), "böb 2": disc(20)}  # the third object is not in this frame
UNION = np.minimum(ALPHAS["alice"] + ALPHAS["böb 2"], 1)


@pytest.fixture
def content(write_image: Write) -> FrameContent:
    """Two of three objects before a scene-linear plate with values far outside 0..1."""
    values = np.random.default_rng(0).normal(0.5, 3, (HEIGHT, WIDTH, 3)).astype(np.float16).astype(np.float32)
    plate = read_plate(write_image("plate.exr", values, attributes={"chromaticities": ("float[8]", AP1)}))
    return FrameContent(plate.header, ALPHAS, plate.canvas)


AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


def delivered(path: Path, delivery: Delivery, content: FrameContent, objects: tuple[str, ...] = OBJECTS) -> Path:
    """Checked and written as a job would."""
    check_delivery(delivery, path.suffix, content.header, linear=True)
    write_picture(path, compose(delivery, content, objects, {"model": "mini"}, path.suffix))
    return path


def read_elsewhere(path: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Channel -> pixels, and the header, as the OpenEXR package reads them."""
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}, file.header()


def half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)


def rgb_of(pixels: np.ndarray, layer: str = "") -> dict[str, np.ndarray]:
    return {layer + name: pixels[..., column] for column, name in enumerate("RGB")}


def expected_channels(layout: str, content: FrameContent) -> dict[str, np.ndarray]:
    """What a layout's file holds, written down independently of the code under test."""
    plate = content.plate
    assert plate is not None
    rgb = rgb_of(plate)
    layers = dict(zip((f"{name}.A" for name in LAYERS), (*ALPHAS.values(), np.zeros_like(UNION)), strict=True))
    return {
        "matte": dict.fromkeys("RGBA", UNION),
        "alpha": {"A": UNION},
        "straight": {**rgb, "A": UNION},
        "premult": {**{name: plane * UNION for name, plane in rgb.items()}, "A": UNION},
        "foreground": {**rgb_of(estimate_foreground(plate, half(UNION).astype(np.float32))), "A": UNION},
        "layers": {**dict.fromkeys("RGBA", UNION), **layers},
    }[layout]


SIMPLE = [name for name in LAYOUTS if name != "cryptomatte"]


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("layout", SIMPLE)
def test_a_layout_is_what_openexr_reads(tmp_path: Path, content: FrameContent, layout: str, compression: str) -> None:
    path = delivered(tmp_path / "a.exr", Delivery(layout, compression), content)
    channels, header = read_elsewhere(path)
    expected = expected_channels(layout, content)
    assert set(channels) == set(expected)
    assert str(header["compression"]).rpartition(".")[2].lower() == f"{compression}_compression".replace("none", "no")
    for name, values in expected.items():
        np.testing.assert_array_equal(channels[name], half(values), err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cropped_file_holds_the_same_picture(tmp_path: Path, content: FrameContent, layout: str) -> None:
    whole, cropped = (
        delivered(tmp_path / f"{crop}.exr", Delivery(layout, crop=crop), content) for crop in (False, True)
    )
    (expected, _), (found, header) = read_elsewhere(whole), read_elsewhere(cropped)
    (x0, y0), (x1, y1) = (tuple(int(side) for side in corner) for corner in header["dataWindow"])
    assert [list(corner) for corner in header["displayWindow"]] == [[0, 0], [WIDTH - 1, HEIGHT - 1]]
    there = np.any([plane != 0 for plane in expected.values()], axis=0)
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    assert (y0, y1, x0, x1) == (rows[0], rows[-1], columns[0], columns[-1])
    assert found.keys() == expected.keys()
    for name, plane in expected.items():
        placed = np.zeros_like(plane)
        placed[y0 : y1 + 1, x0 : x1 + 1] = found[name]
        np.testing.assert_array_equal(placed, plane, err_msg=name)
    np.testing.assert_array_equal(read_alpha(cropped), read_alpha(whole))


def test_values_that_half_rounds_to_0_are_cropped(tmp_path: Path, content: FrameContent) -> None:
    alpha = np.full((HEIGHT, WIDTH), 2.0**-25, np.float32)
    alpha[5:7, 11] = 2.0**-24
    nearly = dataclasses.replace(content, alphas={"alice": alpha})
    _, header = read_elsewhere(delivered(tmp_path / "a.exr", Delivery(crop=True), nearly))
    assert np.array(header["dataWindow"]).tolist() == [[11, 5], [11, 6]]


def test_an_empty_frame_is_cropped_to_one_pixel(tmp_path: Path, content: FrameContent) -> None:
    empty = delivered(tmp_path / "a.exr", Delivery(crop=True), dataclasses.replace(content, alphas={}))
    channels, _ = read_elsewhere(empty)
    assert {plane.shape for plane in channels.values()} == {(1, 1)}
    assert read_alpha(empty).shape == (HEIGHT, WIDTH)
    assert not read_alpha(empty).any()


@pytest.mark.parametrize("compression", LOSSY)
@pytest.mark.parametrize("layout", SIMPLE)
def test_a_lossy_codec_keeps_every_alpha(tmp_path: Path, content: FrameContent, layout: str, compression: str) -> None:
    path = delivered(tmp_path / "a.exr", Delivery(layout, compression), content)
    channels, _ = read_elsewhere(path)
    for name, values in expected_channels(layout, content).items():
        if name.endswith("A"):
            np.testing.assert_array_equal(channels[name], half(values), err_msg=name)
        else:
            assert np.abs(channels[name] - values).mean() < 0.03 * np.abs(values).mean(), name


def test_a_difference_beyond_a_codecs_loss_is_found(
    tmp_path: Path, content: FrameContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was written well, but of another picture: colours and alpha are held against what was meant."""
    meant = compose(Delivery("straight", "dwaa"), content, OBJECTS, {}, ".exr")
    for name, wrong in (("R", np.zeros_like(UNION)), ("A", UNION * np.float32(0.999))):
        other = dataclasses.replace(meant, channels={**meant.channels, name: wrong})
        real = mattes._as_stored(other, tmp_path)
        monkeypatch.setattr(
            mattes, "_write", lambda path, kind, spec, _planes, real=real: WRITE(path, kind, spec, real)
        )
        with pytest.raises(OutputError, match="not what was written"):
            write_picture(tmp_path / "a.exr", meant)
        assert not (tmp_path / "a.exr").exists()


@pytest.mark.parametrize("layout", SIMPLE)
def test_float_is_exact(tmp_path: Path, content: FrameContent, layout: str) -> None:
    channels, _ = read_elsewhere(delivered(tmp_path / "a.exr", Delivery(layout, depth="float"), content))
    for name, values in expected_channels(layout, content).items():
        assert channels[name].dtype == np.float32
        np.testing.assert_array_equal(channels[name], values, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_frame_has_the_same_channels_and_windows(tmp_path: Path, content: FrameContent, layout: str) -> None:
    """Also one in which nobody is: a layer that vanishes breaks the comp."""
    empty = FrameContent(content.header, {}, content.plate)
    files = [delivered(tmp_path / f"{n}.exr", Delivery(layout), frame) for n, frame in enumerate((content, empty))]
    (full, full_header), (none, none_header) = map(read_elsewhere, files)
    assert {name: plane.dtype for name, plane in full.items()} == {name: plane.dtype for name, plane in none.items()}
    for window in ("dataWindow", "displayWindow"):
        assert np.array_equal(full_header[window], none_header[window])
    assert not none["A"].any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_oiiotool_reads_the_header(tmp_path: Path, content: FrameContent, layout: str) -> None:
    path = delivered(tmp_path / "a.exr", Delivery(layout), content)
    tool = Path(sys.executable).with_name("oiiotool")
    done = subprocess.run([tool, "--info", "-v", str(path)], capture_output=True, text=True, check=True)
    (listed,) = re.findall(r"channel list: (.*)", done.stdout)
    assert set(listed.split(", ")) == set(read_elsewhere(path)[0])
    assert f'matanyone:layout: "{layout}"' in done.stdout


def test_only_layouts_that_show_the_plate_have_its_colour_attributes(tmp_path: Path, content: FrameContent) -> None:
    for name, layout in LAYOUTS.items():
        _, header = read_elsewhere(delivered(tmp_path / "a.exr", Delivery(name), content))
        assert ("chromaticities" in header) == layout.shows_plate, name
        assert (header.get("colorInteropID") == "data") != layout.shows_plate, name
        assert header["matanyone:layout"] == name
        assert header["matanyone:alphaMode"] == ("straight" if layout.straight else "premultiplied")


def test_a_shown_plate_keeps_its_overscan(write_image: Write, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((HEIGHT + 6, WIDTH + 8, 3)).astype(np.float16).astype(np.float32)
    plate = read_plate(write_image("p.exr", values, data_at=(-3, 7), display=(0, 10, WIDTH, HEIGHT)))
    assert plate.rgb.shape == (HEIGHT, WIDTH, 3)
    content = FrameContent(plate.header, ALPHAS, plate.canvas)
    channels, header = read_elsewhere(delivered(tmp_path / "s.exr", Delivery("straight"), content))
    np.testing.assert_array_equal(np.stack([channels[name] for name in "RGB"], axis=-1), values)
    assert not channels["A"][:3].any()
    np.testing.assert_array_equal(channels["A"][3:-3, 3 : 3 + WIDTH], half(UNION))
    assert [tuple(corner) for corner in header["dataWindow"]] == [(-3, 7), (WIDTH + 4, HEIGHT + 12)]
    assert [tuple(corner) for corner in header["displayWindow"]] == [(0, 10), (WIDTH - 1, HEIGHT + 9)]
    _, header = read_elsewhere(delivered(tmp_path / "m.exr", Delivery("layers"), content))
    assert [tuple(corner) for corner in header["dataWindow"]] == [(0, 10), (WIDTH - 1, HEIGHT + 9)]


def test_a_plate_that_is_cropped_fills_its_display_window(write_image: Write, tmp_path: Path) -> None:
    values = np.ones((5, 6, 3), np.float32)
    plate = read_plate(write_image("p.exr", values, data_at=(4, 3), display=(0, 0, WIDTH, HEIGHT)))
    content = FrameContent(plate.header, ALPHAS, plate.canvas)
    channels, _ = read_elsewhere(delivered(tmp_path / "s.exr", Delivery("straight"), content))
    assert channels["R"].shape == (HEIGHT, WIDTH)
    assert channels["R"].sum() == 30


# ------------------------------------------------------------------------------------------------- other formats


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_integer_plate_keeps_its_codes(write_image: Write, tmp_path: Path, name: str) -> None:
    codes = np.random.default_rng(2).integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.float32)
    plate = read_plate(write_image("p.tif", codes / 65535, "uint16"))
    content = FrameContent(plate.header, ALPHAS, plate.canvas)
    path = delivered(tmp_path / name, Delivery("straight"), content)
    raw = oiio.ImageSpec()
    raw.attribute("oiio:UnassociatedAlpha", 1)
    pixels = oiio.ImageInput.open(str(path), raw).read_image(oiio.UINT16)
    np.testing.assert_array_equal(pixels[..., :3], codes)
    np.testing.assert_array_equal(pixels[..., 3], np.rint(UNION * 65535))


def test_a_float_tiff_holds_a_scene_linear_plate(tmp_path: Path, content: FrameContent) -> None:
    path = delivered(tmp_path / "a.tif", Delivery("premult", depth="float"), content)
    pixels = oiio.ImageInput.open(str(path)).read_image(oiio.FLOAT)
    np.testing.assert_array_equal(pixels[..., :3], content.plate * UNION[..., np.newaxis])


# ----------------------------------------------------------------------------------------------------- refusals

REFUSED = {
    "no such layout": (Delivery("rgba"), ".exr"),
    "no such codec": (Delivery(compression="b44"), ".exr"),
    "no such depth": (Delivery(depth="double"), ".exr"),
    "layers need names": (Delivery("layers"), ".png"),
    "Cryptomatte needs names": (Delivery("cryptomatte"), ".tif"),
    "PNG is straight": (Delivery("premult"), ".png"),
    "PNG has its own compression": (Delivery(compression="zip"), ".png"),
    "PNG is of integers": (Delivery(depth="float"), ".png"),
    "TIFF has no half": (Delivery(depth="half"), ".tif"),
    "16 bit clip a linear plate": (Delivery("straight"), ".tif"),
    "ids are 32 bits": (Delivery("cryptomatte", depth="half"), ".exr"),
    "TIFF has no data window": (Delivery(crop=True), ".tif"),
    "ids are exact": (Delivery("cryptomatte", "dwaa"), ".exr"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_refused_before_work(content: FrameContent, case: str) -> None:
    delivery, suffix = REFUSED[case]
    with pytest.raises(SettingError):
        check_delivery(delivery, suffix, content.header, linear=True)


def test_a_plate_with_a_transfer_curve_is_not_premultiplied(content: FrameContent) -> None:
    with pytest.raises(SettingError, match="scene-linear"):
        check_delivery(Delivery("premult"), ".exr", content.header, linear=False)
    check_delivery(Delivery("straight"), ".exr", content.header, linear=False)


def test_values_that_half_does_not_hold_are_an_error(content: FrameContent, tmp_path: Path) -> None:
    assert content.plate is not None
    content.plate[0, 0, 0] = 70000.0
    with pytest.raises(OutputError, match="70000 in the plate"):
        delivered(tmp_path / "a.exr", Delivery("straight", depth="half"), content)
    assert not (tmp_path / "a.exr").exists()


def test_nan_in_the_overscan_matters_only_where_it_would_be_shown(write_image: Write, tmp_path: Path) -> None:
    values = np.ones((HEIGHT, WIDTH + 2, 3), np.float32)
    values[0, 0, 0] = np.nan
    plate = read_plate(write_image("p.exr", values, data_at=(-2, 0), display=(0, 0, WIDTH, HEIGHT)))
    content = FrameContent(plate.header, ALPHAS, plate.canvas)
    delivered(tmp_path / "m.exr", Delivery("matte"), content)
    with pytest.raises(PlateError, match="NaN"):
        delivered(tmp_path / "s.exr", Delivery("straight"), content)


def test_one_wrong_object_is_an_error(content: FrameContent, tmp_path: Path) -> None:
    wrong = FrameContent(content.header, {**ALPHAS, "3": np.full_like(UNION, 1.5)}, content.plate)
    with pytest.raises(BadResult):
        delivered(tmp_path / "a.exr", Delivery("layers"), wrong)


# ------------------------------------------------------------------------------------------------ depth and names


@pytest.mark.parametrize(("kind", "expected"), [("half", np.float16), ("float", np.float32), ("uint16", np.float32)])
def test_the_plate_decides_the_depth_of_its_colours(
    write_image: Write, tmp_path: Path, kind: str, expected: type
) -> None:
    values = np.random.default_rng(3).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    plate = read_plate(write_image("p.tif" if kind == "uint16" else "p.exr", values, kind))
    content = FrameContent(plate.header, ALPHAS, plate.canvas)
    channels, _ = read_elsewhere(delivered(tmp_path / "s.exr", Delivery("straight"), content))
    assert channels["R"].dtype == expected
    np.testing.assert_array_equal(channels["R"], plate.rgb[..., 0])
    channels, _ = read_elsewhere(delivered(tmp_path / "m.exr", Delivery("matte"), content))
    assert channels["R"].dtype == np.float16


def test_layers_have_names_that_hosts_take() -> None:
    names = ["alice", "Alice", "al ice", "al-ice", "7", "日本", "", "rgba", "fg", "Äpfel/Birnen", "x" * 60, "x" * 61]
    layers = layer_names(names)
    assert list(layers) == names
    assert len({layer.lower() for layer in layers.values()}) == len(names)
    for layer in layers.values():
        assert layer.isascii()
        assert layer[0].isalpha()
        assert layer.replace("_", "").isalnum()
        assert len(layer) + len(".A") <= 31
    assert layers["Äpfel/Birnen"] == "Apfel_Birnen"
    assert (layers["alice"], layers["7"]) == ("alice", "object_7")


def test_the_header_names_the_channel_of_an_object(tmp_path: Path, content: FrameContent) -> None:
    _, header = read_elsewhere(delivered(tmp_path / "a.exr", Delivery("layers"), content))
    assert header["matanyone:objects"] == '{"alice": "alice.A", "böb 2": "bob_2.A", "3": "object_3.A"}'


def test_every_compression_is_known_to_openexr(tmp_path: Path) -> None:
    header = PlateHeader.plain(Path("p"), WIDTH, HEIGHT)
    sizes = {
        name: delivered(tmp_path / f"{name}.exr", Delivery("matte", name), FrameContent(header, ALPHAS)).stat().st_size
        for name in COMPRESSIONS
    }
    assert sizes["none"] > max(size for name, size in sizes.items() if name != "none")


# ------------------------------------------------------------------------------------- foreground, core and edge


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if LAYOUTS[name].suffixes[0] == ".exr"])
def test_foreground_core_and_edge_go_with_every_layout(tmp_path: Path, content: FrameContent, layout: str) -> None:
    path = delivered(tmp_path / "a.exr", Delivery(layout, foreground=True, split=1), content)
    channels, header = read_elsewhere(path)
    plain, _ = read_elsewhere(delivered(tmp_path / "b.exr", Delivery(layout), content))
    assert set(channels) - set(plain) == {"fg.R", "fg.G", "fg.B", "core.A", "edge.A"}
    assert content.plate is not None
    for name, values in rgb_of(estimate_foreground(content.plate, half(UNION).astype(np.float32)), "fg.").items():
        np.testing.assert_array_equal(channels[name], values.astype(channels[name].dtype), err_msg=name)
    alpha = channels["A"].astype(np.float32)
    np.testing.assert_array_equal(channels["core.A"].astype(np.float32) + channels["edge.A"], alpha)
    assert channels["core.A"].max() == 1
    assert "straight" in str(header["matanyone:foreground"])
    assert "1 px" in str(header["matanyone:split"])


def test_with_overscan_every_layer_has_the_files_window(tmp_path: Path, write_image: Write) -> None:
    values = np.full((HEIGHT + 4, WIDTH + 6, 3), 0.25, np.float32)
    plate = read_plate(write_image("o.exr", values, data_at=(-3, -2), display=(0, 0, WIDTH, HEIGHT)))
    content = FrameContent(plate.header, {SUBJECT: disc(20)}, plate.canvas)
    for layout, shape in (("matte", (HEIGHT, WIDTH)), ("foreground", values.shape[:2])):
        path = delivered(tmp_path / f"{layout}.exr", Delivery(layout, foreground=True, split=0), content, (SUBJECT,))
        channels, _ = read_elsewhere(path)
        assert {plane.shape for plane in channels.values()} == {shape}
        np.testing.assert_array_equal(channels["core.A"].astype(np.float32) + channels["edge.A"], channels["A"])
        np.testing.assert_allclose(channels["fg.G"], 0.25, atol=1e-3)


@pytest.mark.parametrize(
    ("delivery", "suffix", "linear", "match"),
    [
        (Delivery("matte", foreground=True), ".png", True, "layers"),
        (Delivery("matte", split=2), ".tif", True, "layers"),
        (Delivery("matte", split=500), ".exr", True, "0 to 200"),
    ],
)
def test_foreground_and_split_are_refused_where_they_cannot_be(
    content: FrameContent, delivery: Delivery, suffix: str, linear: bool, match: str
) -> None:
    with pytest.raises(SettingError, match=match):
        check_delivery(delivery, suffix, content.header, linear=linear)
