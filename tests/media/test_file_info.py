# SPDX-License-Identifier: Apache-2.0
"""matanyone-engine info, and what it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from matanyone_engine.cli.main import main
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.images import DataWindow, PlateHeader
from matanyone_engine.media.mattes import write_alpha

Write = Callable[..., Path]
ALPHA = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def header() -> PlateHeader:
    window = DataWindow(2, 3, 4, 3)
    return PlateHeader(
        Path("p"), window, window, 2.0, Fraction(24000, 1001), None, ("R", "G", "B"), {}, "openexr", "half"
    )


@pytest.mark.parametrize("name", ["a.exr", "a.png", "a.tif"])
def test_how_the_engine_made_a_file_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write_alpha(tmp_path / name, ALPHA, header(), {"model": "mini", "mask": "mäsk=1.png"})
    assert main(["info", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert "made by MatAnyone Engine" in said
    assert "mäsk=1.png" in said
    assert "4x3" in said
    assert main(["info", "--json", str(tmp_path / name)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ours"]
    assert facts["provenance"]["mask"] == "mäsk=1.png"
    assert facts["provenance"]["layout"] == "matte"


def test_what_the_header_says(tmp_path: Path) -> None:
    write_alpha(tmp_path / "a.exr", ALPHA, header(), {})
    (part,) = read_facts(tmp_path / "a.exr").parts
    assert part.display_window == (2, 3, 4, 3)
    assert (part.fps, part.pixel_aspect, part.compression) == ("24000/1001", 2.0, "zips")
    assert part.channels == dict.fromkeys("RGBA", "half")
    assert part.colour == {"colorInteropID": "data"}


def test_a_file_of_another_program_is_described_as_such(write_image: Write, capsys: pytest.CaptureFixture[str]) -> None:
    plate = write_image("p.exr", np.ones((2, 3, 1), np.float32), channels=("Z",), attributes={"cameraModel": "A35"})
    assert main(["info", str(plate)]) == 0
    said = capsys.readouterr().out
    assert "not made by MatAnyone Engine" in said
    assert "A35" in said


def test_every_part_of_a_file_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = []
    for name, kind in (("left", oiio.HALF), ("right", oiio.FLOAT)):
        spec = oiio.ImageSpec(4, 3, 1, kind)
        spec.channelnames = ("A",)
        spec.attribute("oiio:subimagename", name)
        spec.attribute("view", name)
        specs.append(spec)
    output = oiio.ImageOutput.create("openexr")
    assert output.open(str(tmp_path / "s.exr"), tuple(specs))
    assert output.write_image(ALPHA)
    assert output.open(str(tmp_path / "s.exr"), specs[1], "AppendSubimage")
    assert output.write_image(ALPHA)
    output.close()
    parts = read_facts(tmp_path / "s.exr").parts
    assert [(part.name, part.view, part.channels["A"]) for part in parts] == [
        ("left", "left", "half"),
        ("right", "right", "float"),
    ]
    assert main(["info", str(tmp_path / "s.exr")]) == 0
    assert "2 parts" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_what_is_no_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.exr").write_bytes(content)
    assert main(["info", str(tmp_path / "x.exr")]) == 2
    assert "x.exr" in capsys.readouterr().err
