# SPDX-License-Identifier: Apache-2.0
"""The command track, and matte --track: a guide by a tracker from the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import tracked
from shots import read_image
from tiny_trackers import tiny
from toy import toy_network

from matanyone_engine.cli import progress as shown
from matanyone_engine.cli import track
from matanyone_engine.cli.exit_codes import INTERRUPTED
from matanyone_engine.cli.main import main
from matanyone_engine.jobs.track import GuideDone
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.preview import percent
from matanyone_engine.model import save_checkpoint
from matanyone_engine.runs.record import read_record

FIRST = tracked.FIRST
FRAMES = range(FIRST, FIRST + 4)


@pytest.fixture
def plate(tmp_path: Path) -> str:
    return tracked.write_plate(tmp_path, FRAMES)


def test_it_says_what_it_does_how_far_it_is_and_what_comes_next(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "_HEARTBEAT", 0.0)
    words = ["track", plate, "--mask", f"{tracked.write_mask(tmp_path)}@{FIRST}"]
    words += ["--out", str(tmp_path / "guide" / "g.####.exr")]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "DIS optical flow" in said
    assert f"frame {FIRST + 1}  2 of 4" in said
    assert "s left" in said
    assert (
        f"--mask {tmp_path}/mask.{FIRST}.exr@{FIRST} --guide {tmp_path}/guide/g.####.exr --guide-band 14 "
        in said.replace("'", "")
    )
    assert all(tracked.overlap(read_alpha(tmp_path / "guide" / f"g.{frame}.exr"), frame) > 0.85 for frame in FRAMES)
    assert main(words) == 0
    assert f"kept    4 guides were there: {FIRST}-{FIRST + 3}" in capsys.readouterr().err


def test_a_mask_from_a_box_is_named_with_its_size_so_that_somebody_looks_at_it(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the box takes in beside the subject is in all guides after it."""
    rows, columns = np.nonzero(read_image(tracked.write_mask(tmp_path))[..., 0] > 0.5)
    box = ",".join(map(str, (columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)))
    out = str(tmp_path / "guide" / "g.####.exr")
    assert main(["track", f"{plate}@{FIRST}", "--box", box, "--out", out]) == 0
    said = capsys.readouterr().err
    first = tmp_path / "guide" / f"g.{FIRST}.exr"
    share = percent(float(read_alpha(first).mean(dtype=np.float64)))
    assert f"mask    {first}  covers {share} of frame {FIRST}: look at it" in said
    assert "colour  " in said


def test_ctrl_c_stops_after_the_frame_and_the_same_command_goes_on(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["track", plate, "--mask", f"{tracked.write_mask(tmp_path)}@{FIRST}", "--out", str(tmp_path / "g.####.exr")]
    show = track._TrackProgress.show

    def pressed(progress: track._TrackProgress, *said: int, made: GuideDone | None) -> None:
        show(progress, *said, made=made)
        if made is not None and made.done == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as at_the_keyboard:
        at_the_keyboard.setattr(track._TrackProgress, "show", pressed)
        assert main(words) == INTERRUPTED
    assert "expected guides for 4 frames got a stop after 2 do Run the same command again" in " ".join(
        capsys.readouterr().err.split()
    )
    assert sorted(path.name for path in tmp_path.glob("g.*")) == [f"g.{FIRST}.exr", f"g.{FIRST + 1}.exr"]
    assert main(words) == 0
    assert f"kept    2 guides were there: {FIRST}-{FIRST + 1}" in capsys.readouterr().err


def test_the_words_of_a_network_name_its_licence_and_that_its_weights_were_never_run(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny("edgetam", tmp_path / "tiny")
    words = ["track", f"{plate}@{FIRST}", "--box", "20,16,60,56", "--tracker", "edgetam", "--weights", str(folder)]
    assert main([*words, "--out", str(tmp_path / "g.####.exr"), "--frames", f"{FIRST}-{FIRST + 1}"]) == 0
    said = capsys.readouterr().err
    assert "Real weights of this tracker were never run by the makers of this engine" in said
    assert "the published weights of EdgeTAM are under Apache-2.0" in said
    assert f"tracker EdgeTAM, {folder.name}, sha256 " in said
    assert f"--mask {tmp_path}/g.{FIRST}.exr@{FIRST} --guide {tmp_path}/g.####.exr --out" in said.replace("'", "")


def test_matte_tracks_first_and_takes_what_it_finds_as_the_guide(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "toy.safetensors"
    save_checkpoint(toy_network(), weights)
    words = [
        "matte",
        plate,
        "--mask",
        f"{tracked.write_mask(tmp_path)}@{FIRST}",
        "--model",
        str(weights),
        "--warm-up",
        "1",
    ]
    words += ["--accept-doubt", "--cache", "0"]
    assert main([*words, "--out", str(tmp_path / "one" / "a.####.exr"), "--track", "flow"]) == 0
    guide = str(tmp_path / "one" / "guide" / "guide.####.exr")
    assert main([*words, "--out", str(tmp_path / "two" / "a.####.exr"), "--guide", guide, "--guide-band", "14"]) == 0
    assert main([*words, "--out", str(tmp_path / "none" / "a.####.exr")]) == 0
    # The band of flow is three sixteenths of the plate's shorter side, 72 pixels.
    alphas = [read_image(tmp_path / name / f"a.{FIRST + 3}.exr") for name in ("one", "two", "none")]
    assert np.array_equal(alphas[0], alphas[1])
    assert not np.array_equal(alphas[0], alphas[2])
    assert "guide" in str(read_record(tmp_path / "one" / "a.matanyone.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--track-out", "g.####.exr"], "--track with --track-out"),
        (["--track", "sam2"], "weights fetch sam2"),
        (["--track", "flow", "--guide", "g.####.exr"], "--track or --guide"),
        (["--track", "flow", "--mask", "b=mask.exr"], "one mask of one object in one view"),
    ],
)
def test_matte_refuses_a_track_that_cannot_be(
    plate: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    mask = tracked.write_mask(tmp_path)
    command = ["matte", plate, "--mask", f"{mask}@{FIRST}", "--out", str(tmp_path / "out" / "a.####.exr"), *words]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
