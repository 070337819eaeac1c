# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.media.views import has_view, views_on_disk, with_view


def test_tokens_stand_for_the_view_as_in_nuke() -> None:
    assert with_view("/s/%V/p_%v.%04d.exr", "left") == "/s/left/p_l.%04d.exr"
    assert with_view("p.%04d.exr", None) == "p.%04d.exr"
    assert not has_view("p.%04d.exr")
    with pytest.raises(SettingError, match="%V"):
        with_view("p.%V.exr", None)


@pytest.mark.parametrize("view", ["", "..", "a/b", "a\\b", "1", "left right"])
def test_a_view_never_leads_into_another_folder(view: str) -> None:
    with pytest.raises(SettingError):
        with_view("/s/%V/p.exr", view)


def test_views_are_found_by_their_files_and_folders(tmp_path: Path) -> None:
    for name in ("left/p.1001.exr", "right/p.1001.exr", "p.left.1001.exr", "p.right.1001.exr", "p.right.1002.exr"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "p.1001.exr").touch()
    assert views_on_disk(f"{tmp_path}/p.%V.####.exr") == ["left", "right"]
    assert views_on_disk(f"{tmp_path}/%V/p.####.exr") == ["left", "right"]
    assert views_on_disk(f"{tmp_path}/nowhere/%V.exr") == []
    with pytest.raises(SettingError, match="--view left"):
        views_on_disk(f"{tmp_path}/p.%v.####.exr")
