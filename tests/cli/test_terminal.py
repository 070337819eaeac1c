# SPDX-License-Identifier: Apache-2.0
"""Names and headers of others are printed as text: no control character of theirs reaches a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import make_shot

from matanyone_engine.cli.main import main
from matanyone_engine.cli.plain_console import PlainConsole
from matanyone_engine.cli.terminal import PlainStream
from matanyone_engine.wire.text import printable_lines

TITLE = "\x1b]0;PWNED\x07"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def commands(place: Path, plate: Path, mask: Path) -> list[list[str]]:
    """Each command that prints a path or a header, and some paths that cannot be read."""
    out, nothing = str(place / "a.####.exr"), str(place / "nothing.json")
    return [
        ["matte", str(plate), "--mask", str(mask), "--out", out, "--accept-doubt"],
        ["matte", str(plate), "--mask", f"{place}/m.exr@1001", "--out", out],
        ["inspect", str(plate), "--mask", str(mask)],
        ["info", str(next(plate.parent.glob("*.1001.exr")))],
        ["run", nothing],
        ["merge", nothing],
        ["batch", str(place)],
        ["review", out],
        ["weights", "import", nothing],
    ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / TITLE
    folder.mkdir()
    return folder


def test_no_command_prints_control_characters_of_a_name(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shot = make_shot(place, count=2)
    for command in commands(place, Path(shot.plate), Path(shot.mask)):
        main(command)
        said = "".join(capfd.readouterr())
        assert said, command
        assert not CONTROL.search(said), (command, said)
    pages = list(place.rglob("*.html"))
    assert {page.name for page in pages} >= {"review.html"}
    for page in pages:
        assert not CONTROL.search(page.read_text(encoding="utf-8")), page.name


def test_no_command_prints_control_characters_of_a_header(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = oiio.ImageSpec(8, 8, 3, oiio.HALF)
    spec.attribute("Artist", f"x{TITLE}")
    output = oiio.ImageOutput.create("x.exr")
    output.open(str(tmp_path / "p.1001.exr"), spec)
    output.write_image(np.zeros((8, 8, 3), np.float32))
    output.close()
    main(["info", str(tmp_path / "p.1001.exr"), "--json"])
    main(["info", str(tmp_path / "p.1001.exr")])
    assert not CONTROL.search("".join(capfd.readouterr()))


def test_colours_of_our_own_stay_and_those_of_a_text_do_not() -> None:
    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=True, color_system="standard")
    console.print(f"[bold]a{TITLE}[/bold]")
    assert screen.getvalue().startswith("\x1b[1ma")
    assert "\\u001b" in screen.getvalue()
    assert "\x07" not in screen.getvalue()


def test_lines_and_tabs_stay_and_json_stays_json() -> None:
    stream = io.StringIO()
    print("a\tb\n\x1b[2J\udcff\x9b", file=PlainStream(stream))
    assert stream.getvalue() == "a\tb\n\\u001b[2J\\udcff\\u009b\n"
    assert printable_lines('{"a": "日本"}') == '{"a": "日本"}'


@pytest.mark.parametrize(
    "name", ["/".join("d" for _ in range(2500)), "n" * 5000, "a\udcffb"], ids=["deep", "long", "bytes"]
)
def test_a_name_that_no_file_can_have_is_bad_input(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shot = make_shot(tmp_path, count=2)
    whole = ["matte", str(shot.plate), "--mask", str(shot.mask), "--out", str(tmp_path / "o" / "a.####.exr")]
    for command in (
        ["matte", f"{name}/p.####.exr", *whole[2:]],
        [*whole[:3], f"{name}/m.exr@1001", *whole[4:]],
        [*whole[:-1], f"{name}/a.####.exr"],
        ["inspect", f"{name}.exr"],
        ["info", f"{name}.exr"],
        ["review", f"{name}.exr"],
        ["batch", name],
        ["run", name],
    ):
        assert main(command) == 2, command
        said = "".join(capsys.readouterr())
        assert "frames/s" not in said, "no work is done before"
        assert "Traceback" not in said
