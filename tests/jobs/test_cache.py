# SPDX-License-Identifier: Apache-2.0
"""A cache decides what alphas come out of it, so it is taken from nobody else."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
from shots import Shot, files, make_shot

from matanyone_engine.cli.main import main
from matanyone_engine.errors import OutputError
from matanyone_engine.jobs.cache import DiskCache, RunStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has a profile for each user")
NAME = "0a1b.state"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with one entry."""
    DiskCache(tmp_path / "cache")[NAME] = b"kept"
    assert DiskCache(tmp_path / "cache")[NAME] == b"kept"
    return tmp_path / "cache"


def refuses(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is read, and what a run needs it holds in memory, with a word."""
    cache = DiskCache(folder)
    assert NAME not in cache
    assert not list(cache)
    with pytest.raises(KeyError):
        cache[NAME]
    with pytest.raises(KeyError):
        del cache[NAME]
    with pytest.raises(OutputError, match="MATANYONE_ENGINE_CACHE"):
        cache["ff00.state"] = b"mine"
    store = RunStore(cache)
    with caplog.at_level(logging.WARNING):
        store["ff00.state"] = b"mine"
    assert store["ff00.state"] == b"mine"
    assert "are not kept" in caplog.text
    assert not (folder / "ff").exists()


def test_a_cache_of_another_user_is_neither_read_nor_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    refuses(folder, caplog)


def test_a_cache_that_everybody_may_write_to_is_neither_read_nor_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.chmod(0o777)
    refuses(folder, caplog)


def test_an_entry_that_is_a_link_or_a_pipe_is_ignored(folder: Path) -> None:
    entry = folder / NAME[:2] / NAME
    (folder.parent / "elsewhere").write_bytes(entry.read_bytes())
    entry.unlink()
    entry.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(KeyError):
        DiskCache(folder)[NAME]
    entry.unlink()
    os.mkfifo(entry)
    with pytest.raises(KeyError):
        DiskCache(folder)[NAME]


def test_a_cache_on_another_disk_by_a_link_of_our_own_is_used(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert DiskCache(tmp_path / "link")[NAME] == b"kept"


def test_a_run_goes_on_without_a_cache_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shot: Shot = make_shot(tmp_path, count=3)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    monkeypatch.setenv("MATANYONE_ENGINE_CACHE", str(tmp_path / "cache"))
    assert main(shot.arguments("--out", str(tmp_path / "o/a.####.exr"))) == 0
    assert "everybody" in caplog.text
    assert len(files(tmp_path / "o")) >= 3
    assert not list((tmp_path / "cache").iterdir())
