# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.media.output_names import shot_of, tokens_of, versions_taken, with_tokens


def test_tokens_are_replaced_in_names_and_folders() -> None:
    text = "out/{shot}/v{version:03d}/{shot}_{object}_v{version:03d}.####.exr"
    assert tokens_of(text) == {"shot", "object", "version"}
    assert with_tokens(text, shot="sh010", version=7) == "out/sh010/v007/sh010_{object}_v007.####.exr"
    assert with_tokens("{shot}_v{version}.exr", shot="a", version=12) == "a_v12.exr"


@pytest.mark.parametrize("text", ["{shto}.exr", "{}.exr", "{shot:03d}.exr", "{frame}.exr"])
def test_an_unknown_token_is_named(text: str) -> None:
    with pytest.raises(SettingError, match="token"):
        tokens_of(text)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\\b", "..", "C:x", "a b"])
def test_a_token_never_leads_into_another_folder(name: str) -> None:
    path = with_tokens("out/{shot}.exr", shot=name)
    assert Path(path).parent == Path("out")
    assert "\\" not in path
    assert ":" not in path


@pytest.mark.parametrize(
    ("plate", "folder", "shot"),
    [
        ("sh010_plate_v002.####.exr", "x", "sh010_plate"),
        ("sh010.####.exr", "x", "sh010"),
        ("plate1001.exr", "x", "plate1001"),
        ("####.exr", "sh020", "sh020"),
        ("clip.mov", "x", "clip"),
        ("a b_V3_####.exr", "x", "a_b"),
    ],
)
def test_the_shot_is_named_by_its_plate(plate: str, folder: str, shot: str) -> None:
    assert shot_of(plate, Path(folder)) == shot


def test_versions_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "v002").mkdir()
    (tmp_path / "v010").mkdir()
    for name in ("s_all_v001.1001.exr", "s_alice_v0003.matanyone.json", "other_v009.exr", "s_all_vfx.exr"):
        (tmp_path / name).touch()
    assert versions_taken(str(tmp_path / "v{version:03d}" / "a_v{version:03d}.exr")) == [2, 10]
    assert versions_taken(str(tmp_path / "s_{object}_v{version:03d}.####.exr")) == [1, 3]
    assert versions_taken(str(tmp_path / "gone" / "v{version}.exr")) == []
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "a_v4.exr").touch()
    assert versions_taken(str(tmp_path / "{object}" / "a_v{version}.exr")) == [4]
