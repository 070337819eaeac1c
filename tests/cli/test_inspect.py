# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.images import read_plate


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def inspect(shot: Shot, *options: str) -> int:
    return main(["inspect", shot.plate, *options])


def test_it_says_what_will_happen(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        inspect(shot, "--mask", f"{shot.mask}@1002", "--exposure", "1", "--working-size", "32", "--mask-grow", "2") == 0
    )
    said = capsys.readouterr().out
    for part in (
        "frame 1002 of 1001-1006",
        "default for float .exr files",
        "exposure +1 stops",
        "soft shoulder",
        "above white",
        f"{WIDTH}x{HEIGHT}, computed at 42x32",
        "pixel aspect 2",
        "grown by 2 pixels",
        "are soft",
    ):
        assert part in said


def test_the_picture_is_what_the_network_gets(shot: Shot, tmp_path: Path) -> None:
    look = tmp_path / "look.png"
    assert inspect(shot, "--mask", str(shot.mask), "--colorspace", "ACEScg", "--out", str(look)) == 0
    picture = read_image(look)
    seen = NetworkView("ACEScg")(read_plate(shot.folder / "plate.1001.exr").rgb)
    plain = picture[-16 - HEIGHT : -16, 16 : 16 + WIDTH]
    np.testing.assert_allclose(plain, seen, atol=0.5 / 255 + 1e-4)
    masked = picture[-16 - HEIGHT : -16, 32 + WIDTH : 32 + 2 * WIDTH]
    mask = read_image(shot.mask)[..., 0]
    assert np.abs(masked - plain)[mask == 0].max() < 2e-3
    assert (np.abs(masked - plain).max(axis=-1)[mask == 1] > 0.05).mean() > 0.9
    assert oiio.ImageBuf(str(look)).spec().format == oiio.UINT8


def test_exposure_and_space_are_in_the_picture(shot: Shot, tmp_path: Path) -> None:
    for name, options in {"plain": (), "bright": ("--exposure", "2"), "log": ("--colorspace", "LogC3")}.items():
        assert inspect(shot, *options, "--out", str(tmp_path / f"{name}.png")) == 0
    plain, bright, log = (
        read_image(tmp_path / f"{name}.png")[-40:-20, 20:60].mean() for name in ("plain", "bright", "log")
    )
    assert bright > plain + 0.05
    assert abs(log - plain) > 0.05


def test_mistakes_are_said_before_anything_is_written(shot: Shot, tmp_path: Path) -> None:
    small, look = tmp_path / "small.exr", ("--out", str(tmp_path / "look.png"))
    write_image(small, np.ones((8, 8, 1), np.float32), ("Y",))
    for options in (
        ("--mask", str(small)),
        ("--mask", f"{shot.mask}@1099"),
        ("--mask", str(tmp_path / "none.exr")),
        ("--frame", "7"),
        ("--colorspace", "S-Log9"),
        ("--exposure", "99"),
        ("--working-size", "3"),
    ):
        assert inspect(shot, *options, *look) == 2
    assert inspect(shot, "--out", "look.jpg") == 2
    assert inspect(shot, "--mask", str(shot.mask), "--out", str(shot.mask)) == 2
    assert main(["inspect"]) == 2
    assert not (tmp_path / "look.png").exists()


def test_a_wrong_space_is_pointed_out(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    path = shot.folder / "plate.1001.exr"
    write_image(path, read_image(path) * 0.01, ("R", "G", "B"))
    assert inspect(shot) == 0
    said = capsys.readouterr().out
    assert "so dark that the network sees it" in said
    assert "The colour space may be wrong" in said
    assert inspect(shot, "--exposure", "0") == 0
    assert "sees a dark picture" in capsys.readouterr().out


def test_the_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--colorspaces"]) == 0
    said = capsys.readouterr().out
    for name in ("ACEScg", "ARRI LogC4", "S-Log3", "V-Log V-Gamut", "Linear REDWideGamutRGB"):
        assert name in said
