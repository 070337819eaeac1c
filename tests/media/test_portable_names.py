# SPDX-License-Identifier: Apache-2.0
"""A new file gets no name that Windows cannot open."""

from __future__ import annotations

from pathlib import Path

import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.media.portable_names import check_portable


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("CON.1001.exr", "the device CON"),
        ("aux.####.exr", "the device AUX"),
        ("Nul", "the device NUL"),
        ("com#.exr", "the device COM1"),
        ("lpt\u00b2.exr", "the device LPT"),
        ("prn/a.####.exr", "the device PRN"),
        ("a:b.####.exr", "has : in it"),
        ("D:\\show\\a.####.exr", "has : in it"),
        ("show\\a.####.exr", r"has \\ in it"),
        ('a"b.exr', 'has " in it'),
        ("what?.exr", r"has \? in it"),
        ("v2./a.exr", "ends with a dot"),
        ("v2 /a.exr", "ends with a space"),
        ("a.exr ", "ends with a space"),
    ],
)
def test_names_that_windows_cannot_open_are_refused(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(SettingError, match=why):
        check_portable(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    ["console.exr", "com####.exr", "alpha_CON.####.exr", "a b.exr", "v02/\u00e9.exr", ".a.exr", "com10.exr", "../a"],
)
def test_other_names_are_taken(tmp_path: Path, name: str) -> None:
    check_portable(tmp_path / name)


def test_folders_that_are_there_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "take:01").mkdir()
    check_portable(tmp_path / "take:01" / "v01" / "a.####.exr")
    with pytest.raises(SettingError, match="take:02"):
        check_portable(tmp_path / "take:02" / "a.####.exr")
    with pytest.raises(SettingError, match="device CON"):
        check_portable(tmp_path / "take:01" / "con.exr")
