# SPDX-License-Identifier: Apache-2.0
"""Stereo shots on the command line: a session per view, and output files that keep the views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest
from engines import running
from shots import Shot, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.images import read_plate

FRAMES = ("1001", "1002")


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """Plates left.####, right.#### (mirrored), both.#### (one stereo file), a mask for each."""
    shot = make_shot(tmp_path_factory.mktemp("stereo"), count=2)
    mask = read_image(shot.mask)
    for frame in FRAMES:
        left = read_image(shot.folder / f"plate.{frame}.exr")
        right = left[:, ::-1]
        for view, pixels in (("left", left), ("right", right)):
            write_image(shot.folder / f"{view}.{frame}.exr", pixels, ("R", "G", "B"))
            write_image(shot.folder / f"mask.{view}.exr", mask if view == "left" else mask[:, ::-1], ("Y",), oiio.FLOAT)
        write_stereo(shot.folder / f"both.{frame}.exr", left, right)
    return shot


def write_stereo(path: Path, left: np.ndarray, right: np.ndarray) -> None:
    spec = oiio.ImageSpec(left.shape[1], left.shape[0], 6, oiio.HALF)
    spec.channelnames = ("R", "G", "B", "right.R", "right.G", "right.B")
    spec.attribute("multiView", oiio.TypeDesc("string[2]"), ("left", "right"))
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(np.ascontiguousarray(np.concatenate([left, right], axis=-1)))
    output.close()


def matte(shot: Shot, out: Path, plate: str, mask: str, *options: str) -> int:
    paths = ["matte", str(shot.folder / plate), "--mask", str(shot.folder / mask), "--out", str(out)]
    return main([*paths, "--model", str(shot.weights), "--settle", "1", *options])


def test_each_view_is_as_if_it_were_alone(shot: Shot, tmp_path: Path) -> None:
    assert matte(shot, tmp_path / "alone.%V.####.exr", "left.####.exr", "mask.left.exr") == 2  # %V, and no view
    for view in ("left", "right"):
        assert matte(shot, tmp_path / f"alone.{view}.####.exr", f"{view}.####.exr", f"mask.{view}.exr") == 0
    assert matte(shot, tmp_path / "one/%V/a.####.exr", "both.####.exr", "mask.%V.exr", "--view", "all") == 0
    two = ("--view", "left", "--view", "right")
    assert matte(shot, tmp_path / "two/a.%v.####.exr", "%V.####.exr", "mask.%V.exr", *two) == 0
    for view in ("left", "right"):
        for frame in FRAMES:
            alone = read_image(tmp_path / f"alone.{view}.{frame}.exr")
            for name in (f"one/{view}/a.{frame}.exr", f"two/a.{view[0]}.{frame}.exr"):
                np.testing.assert_array_equal(read_image(tmp_path / name), alone, err_msg=name)
            spec = oiio.ImageBuf(str(tmp_path / f"one/{view}/a.{frame}.exr")).spec()
            assert spec.get_string_attribute("view") == view
            assert spec.get_string_attribute("matanyone:picture") == f"view {view}"


def test_both_views_use_the_exposure_found_for_the_first(shot: Shot, tmp_path: Path) -> None:
    for view, light in (("left", 0.5**7), ("right", 0.5**2)):
        plate = read_image(shot.folder / f"{view}.1001.exr") * light
        write_image(tmp_path / f"dark.{view}.1001.exr", plate, ("R", "G", "B"), oiio.FLOAT)
    plate, out = tmp_path / "dark.%V.####.exr", tmp_path / "out/a.%V.####.exr"
    assert matte(shot, out, str(plate), "mask.%V.exr", "--view", "left", "--view", "right", "--accept-doubt") == 0
    stops = {
        oiio.ImageBuf(str(tmp_path / f"out/a.{view}.1001.exr")).spec().getattribute("matanyone:exposure")
        for view in ("left", "right")
    }
    assert len(stops) == 1
    assert float(stops.pop()) >= 4.0


def test_views_are_joined_into_one_file_that_others_read(shot: Shot, tmp_path: Path) -> None:
    """Part by part against the files of the views, by OpenEXR's own package; and it can be matted from again."""
    apart, joined = tmp_path / "a.%V.####.exr", tmp_path / "a.####.exr"
    assert matte(shot, apart, "both.####.exr", "mask.%V.exr", "--view", "all", "--layout", "straight") == 0
    assert main(["join", str(apart), "--out", str(joined)]) == 0
    for frame in FRAMES:
        path = tmp_path / f"a.{frame}.exr"
        parts = OpenEXR.File(str(path), separate_channels=True).parts
        assert [(part.header["view"], part.header["name"]) for part in parts] == [("left", "left"), ("right", "right")]
        for part in parts:
            view = part.header["view"]
            alone = OpenEXR.File(str(tmp_path / f"a.{view}.{frame}.exr"), separate_channels=True)
            assert set(part.channels) == set(alone.channels()) == set("RGBA")
            for name, channel in alone.channels().items():
                np.testing.assert_array_equal(part.channels[name].pixels, channel.pixels, err_msg=f"{view} {name}")
            said = {key: value for key, value in alone.header().items() if key.startswith("matanyone:")}
            assert {key: part.header[key] for key in said} == said
            plain = read_image(tmp_path / f"a.{view}.{frame}.exr")[..., :3]
            np.testing.assert_array_equal(read_plate(path, Selection(view=view)).rgb, plain)
    assert main(["join", str(tmp_path / "a.exr"), "--out", str(joined)]) == 2  # no %V


def test_joining_refuses_what_does_not_fit(shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for view, frames in (("left", FRAMES), ("right", FRAMES[:1])):
        for frame in frames:
            write_image(tmp_path / f"a.{view}.{frame}.exr", np.zeros((4, 6, 1)), ("A",), view=view)
    pattern = str(tmp_path / "a.%V.####.exr")
    assert main(["join", pattern, "--out", str(tmp_path / "b.####.exr")]) == 2
    assert "1002 in only one of them" in capsys.readouterr().err
    assert main(["join", pattern, "--out", str(tmp_path / "b.####.exr"), "--view", "left"]) == 2
    write_image(tmp_path / "a.right.1002.exr", np.zeros((4, 6, 1)), ("A",), view="left")
    assert main(["join", pattern, "--out", pattern.replace("%V", "left")]) == 2
    assert main(["join", pattern, "--out", str(tmp_path / "b.####.exr")]) == 2
    assert "names the view left" in capsys.readouterr().err
    assert not (tmp_path / "b.1002.exr").exists()


def test_an_engine_runs_a_job_per_view(shot: Shot, tmp_path: Path) -> None:
    options = ("--view", "all", "--frames", "1001")
    assert matte(shot, tmp_path / "local.%V.####.exr", "both.####.exr", "mask.%V.exr", *options) == 0
    with running(tmp_path, "--root", str(tmp_path), "--root", str(shot.folder)) as engine:
        remote = (*options, "--endpoint", str(engine.file), "--model", "toy")
        assert matte(shot, tmp_path / "remote.%V.####.exr", "both.####.exr", "mask.%V.exr", *remote) == 0
        elsewhere = tmp_path.parent / "elsewhere"
        elsewhere.mkdir()
        (tmp_path / "right").symlink_to(elsewhere)
        assert matte(shot, tmp_path / "%V/a.####.exr", "both.####.exr", "mask.%V.exr", *remote) == 2
        assert not list(elsewhere.iterdir()), "a view must not lead out of the roots"
    for view in ("left", "right"):
        local, remote_alpha = (read_image(tmp_path / f"{where}.{view}.1001.exr") for where in ("local", "remote"))
        np.testing.assert_array_equal(remote_alpha, local)


def test_the_files_own_default_view_is_taken_and_said(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert matte(shot, tmp_path / "a.####.exr", "both.####.exr", "mask.left.exr", "--frames", "1001") == 0
    assert "picture view left" in capsys.readouterr().err


def test_inspect_shows_the_view_that_is_asked_for(shot: Shot, tmp_path: Path) -> None:
    for view in ("left", "right"):
        plate, picture = str(shot.folder / "both.####.exr"), str(tmp_path / f"{view}.png")
        assert main(["inspect", plate, "--view", view, "--out", picture]) == 0
        alone = str(tmp_path / f"alone.{view}.png")
        assert main(["inspect", str(shot.folder / f"{view}.####.exr"), "--out", alone]) == 0
    pictures = {name: read_image(tmp_path / f"{name}.png") for name in ("left", "right", "alone.left", "alone.right")}
    height = 48
    for view in ("left", "right"):
        shown, expected = (pictures[name][-height:] for name in (view, f"alone.{view}"))
        np.testing.assert_array_equal(shown, expected)
    assert not np.array_equal(pictures["left"][-height:], pictures["right"][-height:])


@pytest.mark.parametrize(
    ("out", "plate", "mask", "views", "said"),
    [
        ("a.####.exr", "both.####.exr", "mask.%V.exr", ("all",), "%V in the output name"),
        ("a.%v.####.exr", "%V.####.exr", "mask.%V.exr", ("left", "low"), "begin with different letters"),
        ("a.%V.####.exr", "both.####.exr", "mask.%V.exr", ("left", "centre"), "--view left"),
        ("a.%V.####.exr", "plate.####.exr", "mask.%V.exr", ("all",), "views"),
        ("a.%V.####.exr", "both.####.exr", "mask.exr", ("all",), "a mask for each view"),
    ],
)
def test_what_would_mix_the_views_up_is_refused_before_work_starts(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    out: str, plate: str, mask: str, views: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    options = [option for view in views for option in ("--view", view)]
    assert matte(shot, tmp_path / out, plate, mask, *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*.exr"))
