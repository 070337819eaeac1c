# SPDX-License-Identifier: Apache-2.0
"""`matanyone-engine shapes` from files to files, and what it refuses before it works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from shaped import FRAMES, alpha_of
from shots import write_image

from matanyone_engine.cli.exit_codes import BAD_INPUT
from matanyone_engine.cli.main import main


@pytest.fixture(scope="module")
def alphas(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("alphas")
    for frame in FRAMES:
        write_image(folder / f"alpha.{frame}.exr", alpha_of(frame)[..., None], ("A",))
    return str(folder / "alpha.####.exr")


def test_three_files_of_one_call_keep_the_frame_numbers(
    alphas: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [str(tmp_path / f"ring{ending}") for ending in (".nk", ".fxs", ".json")]
    assert main(["shapes", alphas, *(word for each in out for word in ("--out", each)), "--frames", "1002-1007"]) == 0
    said = capsys.readouterr().err
    assert "1002-1007" in said
    assert "hole2" in said
    body = json.loads(Path(out[2]).read_text(encoding="utf-8"))
    assert (body["first"], body["last"]) == (1002, 1007)
    assert [shape["first"] for shape in body["shapes"]] == [1002, 1002, 1004]
    assert "Roto {" in Path(out[0]).read_text(encoding="utf-8")
    assert 'workRangeStart="1002"' in Path(out[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "ring.svg"], ".nk, .fxs, .json"),
        (["--out", "ring.nk", "--error", "0"], "--error from 0.05 to 50"),
        (["--out", "ring.nk", "--frames", "1001-1020"], "1009-1020"),
        (["--out", "ring.nk", "--smooth", "nan"], "--smooth from 0 to 50"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    alphas: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["shapes", alphas, *words]) == BAD_INPUT
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_black_alphas_and_alphas_of_two_sizes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for frame in (1, 2):
        write_image(tmp_path / f"black.{frame:04d}.exr", np.zeros((40, 60, 1), np.float32), ("A",))
        write_image(tmp_path / f"sizes.{frame:04d}.exr", np.ones((40, 60 + frame, 1), np.float32), ("A",))
    for name, says in (("black", "above one half"), ("sizes", "of one size, 61x40")):
        assert main(["shapes", str(tmp_path / f"{name}.####.exr"), "--out", str(tmp_path / "out.nk")]) == BAD_INPUT
        assert says in capsys.readouterr().err
    assert not (tmp_path / "out.nk").exists()


def test_one_object_of_several_has_shapes_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = np.zeros((2, 60, 100), np.float32)
    left[20:40, 10:35] = 1
    right[15:45, 60:90] = 1
    for frame in (1001, 1002, 1003):
        write_image(
            tmp_path / f"a.{frame}.exr",
            np.stack([left + right, left, right], axis=-1),
            ("A", "hero.A", "dog.A"),
            **{"matanyone:objects": json.dumps({"hero": "hero.A", "dog": "dog.A"})},
        )
    alphas, out = f"{tmp_path}/a.####.exr", tmp_path / "dog.json"
    assert main(["shapes", alphas, "--out", str(out)]) == 0
    assert f"hero, dog together, as in the A of the file. For the shapes of one object, write {alphas}:hero." in (
        capsys.readouterr().err.replace("\n", " ")
    )
    assert len(json.loads(out.read_text(encoding="utf-8"))["shapes"]) == 2
    assert main(["shapes", f"{alphas}:dog", "--out", str(out)]) == 0
    assert "together" not in capsys.readouterr().err
    (shape,) = json.loads(out.read_text(encoding="utf-8"))["shapes"]
    places = [point["x"] if isinstance(point, dict) else point[0] for point in next(iter(shape["keys"]))["points"]]
    assert min(places) > 55
    assert main(["shapes", f"{alphas}:cat", "--out", str(out)]) == BAD_INPUT
