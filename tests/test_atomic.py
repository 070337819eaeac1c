# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from matanyone_engine.atomic import confine_writes, make_folder, open_inside, whole_file
from matanyone_engine.engine import store
from matanyone_engine.jobs.cache import DiskCache
from matanyone_engine.wire import connection


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


def write_alpha(folder: Path) -> None:
    with whole_file(folder / "alpha.exr") as temporary:
        temporary.write_bytes(b"new")


def write_cache_entry(folder: Path) -> None:
    DiskCache(folder)["0a1b.state"] = b"new"


def write_of_a_session(folder: Path) -> None:
    store._write(folder / "state-3", [b"new"])


def write_how_to_connect(folder: Path) -> None:
    connection.write_connection(folder / "engine.json", connection.Connection("", "", "", "", 1, ""))


@pytest.mark.parametrize("write", [write_alpha, write_cache_entry, write_of_a_session, write_how_to_connect])
def test_a_second_ctrl_c_while_a_file_is_written_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(folder)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    write(folder)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), whole_file(tmp_path / "nowhere" / "alpha.exr") as temporary:
        temporary.write_bytes(b"x")


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may write in, with a folder for alphas."""
    root = tmp_path / "root"
    (root / "out").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    confine_writes([root])
    yield root
    confine_writes(None)


def test_a_confined_process_writes_inside_its_folders(confined: Path) -> None:
    with whole_file(confined / "out" / "alpha.exr") as temporary:
        temporary.write_bytes(b"new")
    with open_inside(confined / "out" / "ledger", "a") as file:
        file.write("line")
    make_folder(confined / "more" / "folders")
    assert (confined / "out" / "alpha.exr").read_bytes() == b"new"
    assert sorted(path.name for path in (confined / "out").iterdir()) == ["alpha.exr", "ledger"]


def test_a_folder_that_became_a_link_is_not_written_through(confined: Path) -> None:
    """It was checked when the job was planned; what counts is where it leads when the file is made."""
    outside = confined.parent / "else"
    (confined / "out").rmdir()
    (confined / "out").symlink_to(outside)
    with pytest.raises(PermissionError), whole_file(confined / "out" / "alpha.exr") as temporary:
        temporary.write_bytes(b"x")
    with pytest.raises(PermissionError):
        open_inside(confined / "out" / "ledger", "a")
    with pytest.raises(PermissionError):
        make_folder(confined / "out" / "deeper")
    assert not list(outside.iterdir())


def test_a_link_in_place_of_a_file_is_not_followed(confined: Path) -> None:
    precious = confined.parent / "else" / "precious"
    precious.write_bytes(b"mine")
    for name in ("ledger", "alpha.exr"):
        (confined / "out" / name).symlink_to(precious)
    with pytest.raises(OSError, match=r"symbolic|links"):
        open_inside(confined / "out" / "ledger", "a")
    with whole_file(confined / "out" / "alpha.exr") as temporary:
        temporary.write_bytes(b"new")
    assert precious.read_bytes() == b"mine"
    assert not (confined / "out" / "alpha.exr").is_symlink()


def test_a_folder_that_is_swapped_while_a_file_is_written_gets_nothing(confined: Path) -> None:
    outside = confined.parent / "else"
    with whole_file(confined / "out" / "alpha.exr") as temporary:
        temporary.write_bytes(b"ne")
        (confined / "out").rename(confined / "moved")
        (confined / "out").symlink_to(outside)
        with temporary.open("ab") as file:
            file.write(b"w")
    assert not list(outside.iterdir())
    assert (confined / "moved" / "alpha.exr").read_bytes() == b"new"
