# SPDX-License-Identifier: Apache-2.0
"""The main job, as a user types it: real EXR files, a real network of toy size."""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image, write_image
from toy import disc

from matanyone_engine import MattingSession, load_network
from matanyone_engine.cli.main import main
from matanyone_engine.cli.mask_options import add_masks, masks_of
from matanyone_engine.cli.matte import parse_working_size
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.masks import KeyMask
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.masks import read_alpha

LINEAR = "Linear Rec.709 (sRGB)"


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path)


def alphas(shot: Shot) -> np.ndarray:
    return np.stack([read_image(shot.alpha(frame))[..., 3] for frame in range(shot.first, shot.last + 1)])


def test_a_draft_is_computed_smaller() -> None:
    assert parse_working_size("draft") == 288
    assert parse_working_size("720") == 720
    with pytest.raises(SettingError, match="working-size draft"):
        parse_working_size("half")


def test_plate_frame_n_is_alpha_frame_n(shot: Shot) -> None:
    assert main(shot.arguments()) == 0
    assert shot.written() == [f"alpha.{frame}.exr" for frame in range(1001, 1007)]


def test_the_command_line_computes_what_the_library_computes(shot: Shot) -> None:
    assert main(shot.arguments()) == 0
    session, view = MattingSession(load_network(shot.weights, "cpu"), warm_up_passes=1), NetworkView(LINEAR)
    seen = [
        torch.from_numpy(view(read_image(shot.folder / f"plate.{n}.exr"))).permute(2, 0, 1) for n in range(1001, 1007)
    ]
    expected = [session.seed(seen[0], disc(HEIGHT, WIDTH)), *(session.advance(plate) for plate in seen[1:])]
    assert np.array_equal(alphas(shot), torch.stack(expected).half().float().numpy())


def test_an_alpha_says_how_it_was_made_and_fits_the_plate(shot: Shot) -> None:
    assert main(shot.arguments()) == 0
    spec = oiio.ImageInput.open(str(shot.alpha(1003))).spec()
    assert (spec.width, spec.height, spec.get_float_attribute("PixelAspectRatio")) == (WIDTH, HEIGHT, 2.0)
    stated = {a.name.removeprefix("matanyone:"): a.value for a in spec.extra_attribs if a.name.startswith("matanyone:")}
    assert stated["model"] == "toy.safetensors"
    assert len(stated["modelSha256"]) == 64
    assert (stated["mask"], stated["maskFrame"]) == ("mask.exr", "1001")
    assert LINEAR in stated["plateColorspace"]


def test_foreground_core_and_edge_on_demand(shot: Shot) -> None:
    assert main(shot.arguments("--frames", "1002", "--foreground", "--split", "1")) == 0
    image = oiio.ImageBuf(str(shot.alpha(1002)))
    names, pixels = image.spec().channelnames, image.get_pixels(oiio.FLOAT)
    layers = {name: pixels[..., column] for column, name in enumerate(names)}
    assert set(names) == {*"RGBA", "fg.R", "fg.G", "fg.B", "core.A", "edge.A"}
    np.testing.assert_array_equal(layers["core.A"] + layers["edge.A"], layers["A"])
    plate = read_image(shot.folder / "plate.1002.exr")
    inside = layers["A"] == 1
    # The file's half floats round an alpha just below 1 up; its foreground was still estimated.
    np.testing.assert_allclose(layers["fg.G"][inside], plate[..., 1][inside], atol=0.01)
    assert image.spec().get_string_attribute("matanyone:foreground")


def test_cropped_alphas_are_drawn_within_the_region(shot: Shot) -> None:
    region = ("--frames", "1003", "--region", "0,0,20,16")
    assert main(shot.arguments(*region)) == 0
    whole = read_image(shot.alpha(1003))
    assert main(shot.arguments(*region, "--crop")) == 0
    spec = oiio.ImageInput.open(str(shot.alpha(1003))).spec()
    assert (spec.full_width, spec.full_height) == (WIDTH, HEIGHT)
    assert spec.width * spec.height < WIDTH * HEIGHT
    assert spec.x + spec.width <= 32  # cells of 16
    np.testing.assert_array_equal(read_alpha(shot.alpha(1003)), whole[..., 3])


def test_a_range_runs_only_those_frames(shot: Shot) -> None:
    assert main(shot.arguments("--frames", "1002-1003,1005")) == 0
    assert shot.written() == ["alpha.1002.exr", "alpha.1003.exr", "alpha.1005.exr"]


def test_negative_frames_keep_their_numbers(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, first=-2, count=4)
    assert main(shot.arguments()) == 0
    assert shot.written() == ["alpha.-0001.exr", "alpha.-0002.exr", "alpha.0000.exr", "alpha.0001.exr"]


def test_a_mask_in_mid_shot_runs_both_ways(shot: Shot) -> None:
    assert main(shot.arguments("--mask", f"{shot.mask}@1004")) == 0
    both = alphas(shot)
    assert shot.written() == [f"alpha.{frame}.exr" for frame in range(1001, 1007)]
    assert main(shot.arguments("--mask", f"{shot.mask}@1004", "--frames", "1004-1006")) == 0
    assert np.array_equal(alphas(shot)[3:], both[3:])
    assert np.abs(both[2] - both[3]).max() > 0


@pytest.mark.parametrize(
    "options",
    [
        ("--settle", "4"),
        ("--mask-grow", "4"),
        ("--mask-grow", "-4"),
        ("--working-size", "32"),
        ("--colorspace", "ACEScg"),
        ("--mask", "{mask}@1003"),
        ("--model", "mini"),
    ],
    ids=" ".join,
)
def test_every_option_changes_the_alphas(shot: Shot, options: tuple[str, str]) -> None:
    assert main(shot.arguments()) == 0
    before = alphas(shot)
    assert main(shot.arguments(options[0], options[1].format(mask=shot.mask))) == 0
    assert not np.array_equal(alphas(shot), before)


def test_a_preview_shows_the_shot(shot: Shot) -> None:
    preview = shot.folder / "look" / "preview.png"
    assert main(shot.arguments("--preview", str(preview))) == 0
    sheet = read_image(preview)
    assert sheet.shape[0] > 6 * HEIGHT
    assert sheet.std() > 0.05


def test_sixteen_bit_png_masks_keep_their_softness(shot: Shot) -> None:
    soft = shot.folder / "soft.png"
    write_image(soft, disc(HEIGHT, WIDTH).numpy()[..., None], ("Y",), oiio.UINT16)
    assert main(shot.arguments("--mask", str(soft))) == 0
    from_png = alphas(shot)
    assert main(shot.arguments()) == 0
    assert np.abs(alphas(shot) - from_png).max() < 2e-3
    hard = (disc(HEIGHT, WIDTH) > 0.5).float().numpy()[..., None]
    write_image(soft, hard, ("Y",), oiio.UINT16)
    assert main(shot.arguments("--mask", str(soft))) == 0
    assert not np.array_equal(alphas(shot), from_png)


def test_non_ascii_and_spaced_paths_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shot = make_shot(tmp_path / "José Ünïcode 镜头 [v1]", count=2)
    assert main(shot.arguments("--out", str(shot.out / "märk.%04d.exr"))) == 0
    assert str(shot.out / "märk.1001.exr") in capsys.readouterr().err
    assert shot.written() == ["märk.1001.exr", "märk.1002.exr"]


def test_nothing_but_fetch_opens_a_connection(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a network connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert main(shot.arguments("--frames", "1001-1002")) == 0
    assert main(["doctor", "--device", "cpu"]) == 0
    assert main(["weights", "list"]) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.exr", KeyMask("a.exr")),
        ("a.exr@1001", KeyMask("a.exr", (1001,))),
        ("a@b.exr@-5", KeyMask("a@b.exr", (-5,))),
        ("hero=a.exr@1001", KeyMask("a.exr", (1001,), "hero")),
        ("the hero=roto.####.exr@1001,1047-1049", KeyMask("roto.####.exr", (1001, 1047, 1048, 1049), "the hero")),
        ("shots=1/a.exr", KeyMask("1/a.exr", (), "shots")),
        ("/mnt/v=2/a.exr@7", KeyMask("/mnt/v=2/a.exr", (7,))),
        ("hero=comp.####.exr:hero.A@1001,1047", KeyMask("comp.####.exr:hero.A", (1001, 1047), "hero")),
        ("labels.png#2@1001", KeyMask("labels.png#2", (1001,))),
    ],
)
def test_a_mask_may_name_its_object_and_frames(text: str, expected: KeyMask) -> None:
    parser = argparse.ArgumentParser()
    add_masks(parser)
    asked = masks_of(parser.parse_args(["--mask", text]))
    assert (asked["keys"] or (KeyMask(asked["mask"], tuple(filter(None, [asked["mask_frame"]]))),)) == (expected,)


@pytest.mark.parametrize("mask", ["take=3/mask.1001.exr", "take=3/mask.####.exr", "take=4.exr", "take=5.####.exr"])
def test_a_folder_or_file_with_an_equals_sign_is_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(mask.replace("####", "1001"))
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    parser = argparse.ArgumentParser()
    add_masks(parser)
    for frames in ("", "@1001"):
        asked = masks_of(parser.parse_args(["--mask", f"{mask}{frames}"]))
        assert asked["mask"] == mask
        assert asked["keys"] == ()


def test_keys_objects_and_constraint_masks_on_the_command_line(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    garbage = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    garbage[:, :20] = 1.0
    write_image(shot.folder / "garbage.exr", garbage, ("Y",), oiio.FLOAT)
    write_image(shot.folder / "fix.1005.exr", read_image(shot.mask)[:, ::-1], ("Y",), oiio.FLOAT)
    masks = [f"hero={shot.mask}@1001", f"dog={shot.mask}@1003", f"hero={shot.folder / 'fix.####.exr'}@1005"]
    options = [text for mask in masks for text in ("--mask", mask)]
    options += ["--distractor", f"twin={shot.mask}@1002", "--life", "dog=1003-1005"]
    options += ["--outside", f"dog={shot.folder}/garbage.exr"]
    command = shot.arguments("--layout", "layers", *options)
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "mask    hero  " in said
    assert "mask    twin  (distractor)  " in said
    assert "outside dog  on 1001-1006" in said
    image = oiio.ImageBuf(str(shot.alpha(1004)))
    layers = dict(zip(image.spec().channelnames, np.moveaxis(image.get_pixels(oiio.FLOAT), -1, 0), strict=True))
    assert {name for name in layers if "." in name} == {"hero.A", "dog.A"}
    assert not layers["dog.A"][:, :20].any()
    assert layers["dog.A"].any()
    assert float((layers["hero.A"] + layers["dog.A"]).max()) <= 1.001  # distractors separate
    assert main(command) == 0
    assert "kept    6 alphas" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--life", "dog=1001-1003"], "dog"),
        (["--distractor", "mask.exr@1001", "--inside", "=a.exr"], "NAME=FILE"),
        (["--cache", "-1"], "--cache"),
        (["--life", "1001-1003", "--life", "1001-1002"], "twice"),
    ],
)
def test_objects_that_cannot_be_are_refused(
    shot: Shot, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shot.arguments(*options)) == 2
    assert words in capsys.readouterr().err
    assert not [name for name in shot.written() if name.endswith(".exr")]


# Bad input -----------------------------------------------------------------------------------------------------------


def refused(shot: Shot, code: int, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Run, expect this exit code and no alpha; what the user reads."""
    assert main(shot.arguments(*options)) == code
    assert not [name for name in shot.written() if not name.startswith(".")]
    said = capsys.readouterr().err
    assert all(word in said for word in ("expected", "got", "do  "))
    return said


def test_missing_frames_are_named(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    (shot.folder / "plate.1003.exr").unlink()
    (shot.folder / "plate.1004.exr").unlink()
    said = refused(shot, 2, capsys)
    assert "1003-1004" in said
    assert "--missing skip" in said
    assert main(shot.arguments("--missing", "skip")) == 0
    assert len(shot.written()) == 4


def test_a_mask_of_another_size_is_refused_with_both_sizes(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(shot.mask, np.ones((HEIGHT, WIDTH + 1, 1)), ("Y",))
    said = refused(shot, 2, capsys)
    assert "64x48" in said
    assert "65x48" in said


def test_a_black_mask_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(shot.mask, np.zeros((HEIGHT, WIDTH, 1)), ("Y",))
    assert "black" in refused(shot, 2, capsys)


def test_a_mask_shrunk_to_nothing_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing is left" in refused(shot, 2, capsys, "--mask-grow", "-40")


def test_absurd_growth_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert "at most" in refused(shot, 2, capsys, "--mask-grow", "50000")


def test_a_mask_of_a_frame_that_is_not_run_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1001-1006" in refused(shot, 2, capsys, "--mask", f"{shot.mask}@1009")


def test_a_nan_in_the_last_plate_is_found_before_work_starts(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = read_image(shot.folder / "plate.1006.exr")
    pixels[5, 7, 1] = np.nan
    write_image(shot.folder / "plate.1006.exr", pixels, ("R", "G", "B"))
    said = refused(shot, 2, capsys)
    assert "plate.1006.exr" in said
    assert "x=7 y=5" in said


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_truncated_plate_is_found_before_work_starts(
    shot: Shot, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    plate = shot.folder / "plate.1005.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert "plate.1005.exr" in refused(shot, 2, capsys)


def test_plates_of_two_sizes_are_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(shot.folder / "plate.1004.exr", np.ones((HEIGHT, WIDTH - 2, 3)), ("R", "G", "B"))
    said = refused(shot, 2, capsys)
    assert "62x48" in said
    assert "1004" in said


@pytest.mark.parametrize("plate", ["nowhere/plate.####.exr", "nowhere", "mask.exr/plate.####.exr"])
def test_an_unreadable_folder_is_named(shot: Shot, capsys: pytest.CaptureFixture[str], plate: str) -> None:
    arguments = shot.arguments()
    arguments[1] = str(shot.folder / plate)
    assert main(arguments) == 2
    assert str(shot.folder) in capsys.readouterr().err


def test_an_unknown_colour_space_suggests_others(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ACEScg" in refused(shot, 2, capsys, "--colorspace", "ACEScgg")


IMPOSTORS = [b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n", b"x" * 99]


@pytest.mark.parametrize("content", IMPOSTORS)
def test_a_wrong_checkpoint_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (shot.folder / "bad.pth").write_bytes(content)
    assert "bad.pth" in refused(shot, 2, capsys, "--model", str(shot.folder / "bad.pth"))


@pytest.mark.parametrize("preview", ["look.jpg", "mask.exr/look.png"])
def test_a_preview_that_cannot_be_written_is_found_before_work_starts(shot: Shot, preview: str) -> None:
    assert main(shot.arguments("--preview", str(shot.folder / preview))) in {2, 6}
    assert shot.written() == []


def test_a_preview_never_replaces_the_mask(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    mask = shot.folder / "roto.png"
    write_image(mask, disc(HEIGHT, WIDTH).numpy()[..., None], ("Y",), oiio.UINT16)
    before = mask.read_bytes()
    assert "a mask or a plate of this shot" in refused(shot, 2, capsys, "--mask", str(mask), "--preview", str(mask))
    assert mask.read_bytes() == before


def test_a_bad_range_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1001-10x5" in refused(shot, 2, capsys, "--frames", "1001-10x5y")


def test_the_plate_is_never_overwritten(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    before = (shot.folder / "plate.1001.exr").read_bytes()
    assert "plate" in refused(shot, 2, capsys, "--out", shot.plate)
    assert (shot.folder / "plate.1001.exr").read_bytes() == before


def test_a_licence_outside_the_policy_is_refused(
    shot: Shot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATANYONE_ENGINE_ALLOWED_LICENSES", "Apache-2.0")
    assert "Apache-2.0" in refused(shot, 5, capsys)


def test_a_device_that_is_not_there_is_refused(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    refused(shot, 4, capsys, "--device", "cuda:99")


# Output that fails ---------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_found_before_work_starts(
    shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file where the folder should be: permission bits would not hold back root.
    (shot.folder / "out").write_text("in the way")
    assert main(shot.arguments()) == 6
    assert str(shot.out) in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_written_frame_and_can_be_resumed(shot: Shot) -> None:
    """A file size limit stands in for the disk; media/test_mattes.py fills a real one."""
    whole = make_shot(shot.folder / "whole")
    assert main(whole.arguments()) == 0
    size = max(path.stat().st_size for path in whole.out.iterdir())
    code = (
        "import resource, signal, sys\n"
        "from matanyone_engine.cli.main import main\n"
        "import matanyone_engine.jobs.delivery as delivery\n"
        "real, count = delivery.write_picture, [0]\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "def full_after_two(*arguments):\n"
        "    count[0] += 1\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({size} // 2 if count[0] > 2 else -1, -1))\n"
        "    try:\n"
        "        real(*arguments)\n"
        "    finally:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "delivery.write_picture = full_after_two\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *shot.arguments()], capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert "2 alphas are finished and kept" in done.stderr
    assert shot.written() == [".alpha.exr.resume", "alpha.1001.exr", "alpha.1002.exr"]
    assert main(shot.arguments("--resume")) == 0
    assert shot.written() == whole.written()
    assert np.array_equal(alphas(shot), alphas(whole))


def test_too_little_memory_is_said_and_costs_no_finished_frame(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=2)
    pixels = np.zeros((2400, 2400, 3), dtype=np.float32)
    for frame in (1001, 1002):
        write_image(shot.folder / f"plate.{frame}.exr", pixels, ("R", "G", "B"))
    write_image(shot.mask, np.ones((2400, 2400, 1)), ("Y",))
    code = (
        "import re, resource, sys\n"
        "from matanyone_engine.cli.main import main\n"
        "import matanyone_engine.cli.matte\n"
        "used = int(re.search(r'VmSize:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20), -1))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *shot.arguments()], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "--working-size" in done.stderr
    assert not [name for name in shot.written() if name.endswith(".exr")]


# Stopping and going on -----------------------------------------------------------------------------------------------


def interrupted(shot: Shot, *options: str, after: str) -> subprocess.Popen[str]:
    """A run in a process of its own that got Ctrl-C once a certain alpha was there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "matanyone_engine", *shot.arguments(*options)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (shot.out / after).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    return process


@pytest.mark.parametrize(("mask_frame", "after"), [(1001, "alpha.1003.exr"), (1030, "alpha.1027.exr")])
def test_ctrl_c_keeps_finished_frames_and_resume_goes_on_exactly(tmp_path: Path, mask_frame: int, after: str) -> None:
    shot, whole = make_shot(tmp_path / "a", count=40), make_shot(tmp_path / "b", count=40)
    assert main(whole.arguments("--mask", f"{whole.mask}@{mask_frame}")) == 0
    options = ("--mask", f"{shot.mask}@{mask_frame}")
    process = interrupted(shot, *options, after=after)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "--resume" in said
    finished = [name for name in shot.written() if name.startswith("alpha")]
    assert 3 <= len(finished) < 40
    before = {name: (shot.out / name).stat().st_mtime_ns for name in finished}
    assert main(shot.arguments(*options, "--resume")) == 0
    assert {name: (shot.out / name).stat().st_mtime_ns for name in finished} == before
    assert shot.written() == whole.written()
    assert np.array_equal(alphas(shot), alphas(whole))


def test_another_job_is_never_resumed(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shot.arguments("--resume")) == 2
    assert "without --resume" in capsys.readouterr().err
    (shot.folder / "plate.1006.exr").rename(shot.folder / "later.exr")
    process = interrupted(make_shot(shot.folder / "long", count=40), after="alpha.1003.exr")
    process.communicate(timeout=60)
    long = Shot(shot.folder / "long", 1001, 1040, shot.weights)
    assert main(long.arguments("--resume", "--settle", "3")) == 2
    assert "another job" in capsys.readouterr().err


def test_the_installed_program_and_the_module_are_the_same() -> None:
    for command in (["-m", "matanyone_engine"], ["-m", "matanyone_engine.cli.main"]):
        done = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, check=True)
        assert "doctor" in done.stdout
