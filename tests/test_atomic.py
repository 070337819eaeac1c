# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from matanyone_engine.atomic import whole_file


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "alpha.exr") as temporary:
        temporary.write_bytes(b"new")
        assert [path.name for path in tmp_path.iterdir()] == [temporary.name]
        assert temporary.name.startswith(".")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "alpha.exr") as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    (tmp_path / "alpha.exr").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), whole_file(tmp_path / "nowhere" / "alpha.exr") as temporary:
        temporary.write_bytes(b"x")
