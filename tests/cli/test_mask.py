# SPDX-License-Identifier: Apache-2.0
"""A first mask from the command line: a real plate in, an ordinary mask out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import prompted
import pytest
from shots import read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.cli.mask import parse_stroke, plate_frame
from matanyone_engine.errors import FrameRangeError, MaskError
from matanyone_engine.media.images import read_header
from matanyone_engine.media.masks import read_mask
from matanyone_engine.media.prompts import Stroke

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "masks.md").read_text()
WORDS = ("--box", "34,8,80,54", "--point", "50,30,+", "--stroke", "6,60 90,60,-")


@pytest.fixture
def plate(tmp_path: Path) -> str:
    return prompted.write_plate(tmp_path)


def make(plate: str, *words: str, out: str = "mask.exr") -> int:
    return main(["mask", plate, *(words or WORDS), "--out", str(Path(plate).parent / out)])


def test_the_mask_is_soft_and_carries_the_plate(plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(f"{plate}@1002") == 0
    said = capsys.readouterr().out
    assert f"matanyone-engine matte '{plate}' --mask {tmp_path}/mask.exr@1002" in said
    mask = read_mask(tmp_path / "mask.exr", (prompted.WIDTH, prompted.HEIGHT))
    assert prompted.overlap(mask, prompted.disc()) > 0.9
    assert 0.01 < ((mask > 0.05) & (mask < 0.95)).mean() < 0.1, "an edge of some pixels, no more"
    header = {item.name: item.value for item in read_header(tmp_path / "mask.exr").attributes}
    assert header["PixelAspectRatio"] == 2.0
    assert header["scene"] == "12", "the plate's header comes along"
    assert header["matanyone:maskPrompts"] == "box 34,8,80,54; stroke 50,30,+; stroke 6,60 90,60,-"
    assert header["matanyone:maskBackend"].startswith("watershed and GrabCut of OpenCV")
    assert header["matanyone:maskFrame"] == "1002"
    assert "default for float .exr files" in header["matanyone:plateColorspace"]


def test_overscan_and_windows_are_kept(tmp_path: Path) -> None:
    spec = oiio.ImageSpec(prompted.WIDTH + 8, prompted.HEIGHT, 3, oiio.HALF)
    spec.x, spec.full_x, spec.full_width = 6, 10, prompted.WIDTH
    image = oiio.ImageBuf(spec)
    pixels = np.zeros((prompted.HEIGHT, prompted.WIDTH + 8, 3), np.float32)
    pixels[:, 4:-4] = prompted.picture()
    image.set_pixels(oiio.ROI.All, pixels)
    assert image.write(str(tmp_path / "wide.exr"))
    assert make(str(tmp_path / "wide.exr")) == 0
    display = read_header(tmp_path / "mask.exr").display_window
    assert display == (10, 0, prompted.WIDTH, prompted.HEIGHT)
    assert prompted.overlap(read_image(tmp_path / "mask.exr")[..., 3], prompted.disc()) > 0.9


def test_each_view_of_a_stereo_plate_has_its_mask(tmp_path: Path) -> None:
    left = prompted.picture()
    both = np.concatenate([left, left[:, ::-1]], axis=-1)
    spec = oiio.ImageSpec(prompted.WIDTH, prompted.HEIGHT, 6, oiio.HALF)
    spec.channelnames = ("R", "G", "B", "right.R", "right.G", "right.B")
    spec.attribute("multiView", oiio.TypeDesc("string[2]"), ("left", "right"))
    output = oiio.ImageOutput.create("both.exr")
    assert output.open(str(tmp_path / "both.exr"), spec)
    assert output.write_image(np.ascontiguousarray(both))
    output.close()
    for view, words in (("left", ("--point", "56,30,+")), ("right", ("--point", "40,30,+"))):
        for _ in range(2):  # made again it takes its own place
            assert make(str(tmp_path / "both.exr"), *words, "--view", view, out="new/mask.%V.exr") == 0
    masks = [read_image(tmp_path / "new" / f"mask.{view}.exr")[..., 3] for view in ("left", "right")]
    assert prompted.overlap(masks[0], masks[1][:, ::-1]) > 0.9


def test_a_second_run_gives_the_same_mask_and_never_replaces_an_edited_one(plate: str, tmp_path: Path) -> None:
    assert make(plate) == 0
    first = read_image(tmp_path / "mask.exr")
    assert make(plate) == 0
    assert np.array_equal(read_image(tmp_path / "mask.exr"), first)
    header = {item.name: item.value for item in read_header(tmp_path / "mask.exr").attributes}
    mended = first.copy()
    mended[10:12, 10:12] = 1.0
    digest = header["matanyone:pixelsSha256"]
    write_image(tmp_path / "mask.exr", mended, ("R", "G", "B", "A"), **{"matanyone:pixelsSha256": digest})
    assert make(plate) == 2
    assert np.array_equal(read_image(tmp_path / "mask.exr"), mended)
    write_image(tmp_path / "other.exr", mended, ("R", "G", "B", "A"))
    assert make(plate, out="other.exr") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--point", "6,60,-"), "neither"),
        (("--box", "100,0,120,40"), "a box on the plate, 96x64 pixels"),
        (("--box", "34,8,34,54"), "x1 and y1 larger"),
        (("--box", "34,8,80"), "x0,y0,x1,y1"),
        (("--box", "0,0,96,64"), "a box around the whole plate"),
        (("--box", "34,8,80,54", "--point", "10,10,+"), "the subject inside the box 34,8,80,54"),
        (("--point", "96,10,+"), "a point at 96,10"),
        (("--point", "50,30"), "x,y,+ on the subject"),
        ((*WORDS, "--brush", "0"), "a brush of more than 0"),
        ((*WORDS, "--colorspace", "nonsense"), "nonsense"),
        ((*WORDS, "--picture", "mask.jpg"), ".png"),
    ],
)
def test_what_cannot_be_is_an_error(
    plate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert make(plate, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "mask.exr").exists()


@pytest.mark.parametrize("out", ["plate.1001.exr", "mask.png"])
def test_names_that_cannot_be_written(plate: str, tmp_path: Path, out: str) -> None:
    before = (tmp_path / "plate.1001.exr").read_bytes()
    assert make(plate, out=out) == 2
    assert (tmp_path / "plate.1001.exr").read_bytes() == before


def test_a_subject_that_cannot_be_told_from_its_background_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.full((prompted.HEIGHT, prompted.WIDTH, 3), 0.5, np.float32)
    write_image(tmp_path / "grey.exr", grey, ("R", "G", "B"))
    assert make(str(tmp_path / "grey.exr"), "--box", "34,8,80,54") == 2
    assert "every pixel counts as background" in capsys.readouterr().err


def test_the_picture_shows_the_mask(plate: str, tmp_path: Path) -> None:
    assert make(plate, *WORDS, "--look", str(tmp_path / "look.png")) == 0
    assert read_image(tmp_path / "look.png").shape[1] >= 2 * prompted.WIDTH


def test_the_commands_of_the_document_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command, code = (re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)[0] for language in ("bash", "python"))
    assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
    given = read_mask(ROOT / "examples" / "mask.1001.exr", (640, 360))
    ours = read_mask(tmp_path / "mask.exr", (640, 360))
    assert prompted.overlap(ours, given) > 0.95, "as the document says"
    names: dict[str, object] = {}
    exec(compile(code, "masks.md", "exec"), names)
    again = read_mask(tmp_path / "mask.exr", (640, 360))
    assert not np.array_equal(again, ours), "new prompts replace it"


def test_words_are_read(tmp_path: Path) -> None:
    assert parse_stroke("1,2.5 3,4,-") == Stroke(((1.0, 2.5), (3.0, 4.0)), subject=False)
    for wrong in ("1,2,*", "1,+", "1;2,+", ""):
        with pytest.raises(MaskError):
            parse_stroke(wrong)
    assert plate_frame("a/plate.####.exr@1001") == ("a/plate.####.exr", 1001)
    assert plate_frame("plate.exr") == ("plate.exr", None)
    (tmp_path / "odd@7.exr").touch()
    assert plate_frame(str(tmp_path / "odd@7.exr")) == (str(tmp_path / "odd@7.exr"), None)
    with pytest.raises(FrameRangeError):
        plate_frame("plate.####.exr@1001-1003")
