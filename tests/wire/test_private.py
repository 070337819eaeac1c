# SPDX-License-Identifier: Apache-2.0
"""Where everybody may write, nothing of another user is opened, and no link is followed."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from matanyone_engine.client.launcher import ensure_engine
from matanyone_engine.engine.store import SessionStore
from matanyone_engine.wire.connection import Connection, default_path, read_connection, write_connection
from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.lock import try_lock
from matanyone_engine.wire.private import give_home, home_or_temporary, open_private, private_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has a profile for each user")
HERE = Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "token", "epoch", 1, "0.1.0")


def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on everything that is there is somebody else's."""
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = private_folder(tmp_path / "matanyone-engine-7")
    assert folder.stat().st_mode & 0o777 == 0o700
    write_connection(folder / "engine.json", HERE)
    assert read_connection(folder / "engine.json") == HERE
    another_user(monkeypatch)
    for use in (
        lambda: private_folder(folder),
        lambda: write_connection(folder / "engine.json", HERE),
        lambda: try_lock(folder / "engine.starting") and try_lock(folder / "engine.json"),
        lambda: SessionStore(folder),
    ):
        with pytest.raises(PermissionError):
            use()
    for ask in (
        lambda: read_connection(folder / "engine.json"),
        lambda: ensure_engine(folder / "engine.json", ["false"]),
    ):
        with pytest.raises(WireError, match="not a f"):
            ask()
    assert not list(folder.glob("*.log")), "nothing was opened"


@pytest.mark.parametrize("name", ["engine.log", "engine.starting", "engine.json"])
def test_no_link_is_followed(tmp_path: Path, name: str) -> None:
    folder = private_folder(tmp_path / "run")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (folder / name).symlink_to(precious)
    if name == "engine.json":
        with pytest.raises(WireError):
            read_connection(folder / name)
        write_connection(folder / name, HERE)  # takes the link's place
        assert not (folder / name).is_symlink()
    else:
        with pytest.raises(WireError, match="own engine"):
            ensure_engine(folder / "engine.json", [sys.executable, "-c", "raise SystemExit(3)"], 20)
    assert precious.read_text() == "mine"


def test_a_folder_that_is_a_link_of_another_or_open_to_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError, match="chmod"):
        private_folder(tmp_path / "open")
    (tmp_path / "open" / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "open" / "link")


def test_a_pipe_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PermissionError):
        open_private(tmp_path / "pipe", os.O_RDWR)


def test_a_user_without_a_home_has_a_place_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_RUNTIME_DIR", "MATANYONE_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    import pwd

    def nobody(_uid: int) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    home = home_or_temporary()
    assert home.is_absolute()
    assert home.parent == tmp_path
    assert default_path().parent == home
    give_home()
    assert Path("~/x").expanduser() == home / "x"
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_user_with_a_home_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    give_home()
    assert os.environ["HOME"] == str(tmp_path)


def test_a_pipe_in_place_of_the_connection_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "engine.json")
    failed: list[WireError] = []

    def ask() -> None:
        try:
            read_connection(tmp_path / "engine.json")
        except WireError as error:
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(10)
    assert [error.code for error in failed] == [Code.UNREACHABLE]
