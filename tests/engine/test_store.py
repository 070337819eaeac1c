# SPDX-License-Identifier: Apache-2.0
"""What is on disk is whole, checked, and bounded."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from matanyone_engine.engine.store import RESULTS_KEPT, JournalLine, SessionFolder, SessionStore, public_name
from matanyone_engine.errors import SettingError
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.arrays import describe_raw
from matanyone_engine.wire.errors import Code, WireError

SECRET = "5" * 32
OPENING = say.Open("0" * 32, (64, 48), options=say.Options(working_size=720))


def put(folder: SessionFolder, seq: int) -> bytes:
    data = bytes([seq]) * 12
    result = say.Result("", seq, 1001 + seq, ("w",), held=True, region=(0, 16, 32, 48))
    folder.put_result(
        JournalLine(seq, 1001 + seq, f"d{seq}", "c"),
        describe_raw("alpha", data, "u1", (3, 4, 1)),
        data,
        result,
    )
    return data


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    return SessionStore(tmp_path / "state").create(SECRET, OPENING, 5)


def test_stored_results_are_returned_unchanged(folder: SessionFolder) -> None:
    data = put(folder, 0)
    result, payload, came = folder.get_result(SECRET, 0)
    assert (result, came) == (say.Result(SECRET, 0, 1001, ("w",), held=True, region=(0, 16, 32, 48)), data)
    assert payload.shape == (3, 4, 1)
    assert folder.about() == (SECRET, OPENING, 5)
    assert folder.journal() == {0: JournalLine(0, 1001, "d0", "c")}


def test_the_last_results_are_kept_and_the_others_said_to_be_gone(folder: SessionFolder) -> None:
    for seq in range(RESULTS_KEPT + 3):
        put(folder, seq)
    assert len(list(folder.folder.glob("result-*"))) == RESULTS_KEPT
    with pytest.raises(WireError) as caught:
        folder.get_result(SECRET, 0)
    assert caught.value.code is Code.RESULT_GONE
    assert len(folder.journal()) == RESULTS_KEPT + 3


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"nonsense", None])
def test_a_damaged_result_is_gone(folder: SessionFolder, damage: bytes | None) -> None:
    put(folder, 0)
    path = folder.folder / "result-0"
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    with pytest.raises(WireError) as caught:
        folder.get_result(SECRET, 0)
    assert caught.value.code is Code.RESULT_GONE


def test_a_line_that_was_cut_short_does_not_count_and_does_not_spoil_the_next(folder: SessionFolder) -> None:
    put(folder, 0)
    with (folder.folder / "journal").open("ab") as journal:
        journal.write(b'[1,1002,"d1"')
    assert set(folder.journal()) == {0}
    folder.mend_journal()
    put(folder, 1)
    assert set(folder.journal()) == {0, 1}


def test_two_snapshots_are_kept(folder: SessionFolder) -> None:
    for seq in (1, 4, 7):
        folder.put_snapshot(seq, b"state")
    assert folder.snapshots() == [7, 4]


def test_sessions_are_for_their_owner_only_and_names_tell_no_secret(folder: SessionFolder) -> None:
    assert folder.folder.stat().st_mode & 0o077 == 0
    assert SECRET not in folder.folder.name
    assert folder.folder.name == public_name(SECRET)


def test_sessions_over_the_disk_limit_are_deleted(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    for number in range(3):
        made = store.create(f"{number:032x}", OPENING, 5)
        put(made, 0)
        for path in made.folder.iterdir():
            os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
    (tmp_path / "state" / "stray").mkdir()
    assert len(list(store.sessions())) == 3
    one = sum(path.stat().st_size for path in made.folder.iterdir())
    store.prune(most_age_s=1e12, most_bytes=one)
    assert [folder.about()[0] for folder in store.sessions()] == [f"{2:032x}"]
    assert [folder.about()[0] for folder in store.sessions()] == [f"{2:032x}"]


def test_what_is_too_much_while_the_engine_runs_is_named_oldest_last(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    for number in range(3):
        made = store.create(f"{number:032x}", OPENING, 5)
        for path in made.folder.iterdir():
            os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))
    one = sum(path.stat().st_size for path in made.folder.iterdir())
    assert store.excess(3 * one) == []
    assert store.excess(one) == [f"{1:032x}", f"{0:032x}"]


DAY = 86400.0


def test_a_session_that_is_not_used_for_long_is_deleted(tmp_path: Path) -> None:
    now = [1e9]
    store = SessionStore(tmp_path / "state", lambda: now[0])
    put(store.create("0" * 32, OPENING, 5), 0)
    for days in range(9):
        now[0] = 1e9 + days * DAY
        assert len(list(store.sessions())) == 1, days
        store.prune(most_age_s=7.5 * DAY, most_bytes=1 << 30)
    assert not list(store.sessions())


@pytest.mark.parametrize("leap", [30 * DAY, -30 * DAY, 1e11])
def test_a_clock_that_jumps_deletes_no_session(tmp_path: Path, leap: float) -> None:
    now = [1e9]
    store = SessionStore(tmp_path / "state", lambda: now[0])
    put(store.create("0" * 32, OPENING, 5), 0)
    store.prune(7 * DAY, 1 << 30)
    now[0] += leap
    store.prune(7 * DAY, 1 << 30)
    put(store.create("1" * 32, OPENING, 5), 0)  # written while the clock is wrong
    now[0] -= leap
    store.prune(7 * DAY, 1 << 30)
    assert len(list(store.sessions())) == 2


def answer_and_keep(folder: SessionFolder, count: int, snapshots: tuple[int, ...]) -> None:
    for seq in range(count):
        data = bytes([seq]) * 12
        line = JournalLine(seq, 1001 + seq, f"d{seq}", "c", "m" if seq == 0 else "")
        folder.put_result(line, describe_raw("alpha", data, "u1", (3, 4, 1)), data, say.Result("", seq, 1001 + seq))
        if seq + 1 in snapshots:
            folder.put_snapshot(seq + 1, b"state")


def test_any_flipped_bit_is_found(folder: SessionFolder) -> None:
    """Whatever is read back is what was written, or it is not read back at all."""
    answer_and_keep(folder, 3, ())
    whole = folder.journal()
    answers = {seq: folder.get_result(SECRET, seq) for seq in range(3)}
    for name in ("journal", "session.json", "result-1"):
        path = folder.folder / name
        data = path.read_bytes()
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            assert all(whole[seq] == line for seq, line in folder.journal().items()), (name, at)
            assert len(folder.journal()) >= 1
            with suppress(WireError):
                assert folder.get_result(SECRET, 1) == answers[1], (name, at)
            with suppress(WireError):
                assert folder.about() == (SECRET, OPENING, 5), (name, at)
        path.write_bytes(data)


def test_a_state_whose_answers_are_lost_is_not_gone_on_from(folder: SessionFolder) -> None:
    answer_and_keep(folder, 8, (1, 6))
    assert folder.usable_snapshots() == [6, 1]
    (folder.folder / "result-3").unlink()
    assert folder.usable_snapshots() == [1], "frame 3 is computed again"
    (folder.folder / "result-0").unlink()
    assert folder.usable_snapshots() == []


def test_a_state_whose_mask_is_not_known_is_not_gone_on_from(folder: SessionFolder) -> None:
    answer_and_keep(folder, 8, (6,))
    journal = folder.folder / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert folder.usable_snapshots() == [], "line 2 may have been another key"
    journal.write_bytes(b"".join(lines[:6]))
    assert folder.usable_snapshots() == [6]


def test_what_a_snapshot_has_seen_is_on_the_disk_before_it(
    folder: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_and_keep(folder, 2, ())
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(Path(f"/proc/self/fd/{handle}").readlink()), real(handle))
    )
    folder.put_snapshot(2, b"state")
    assert [path.name for path in synced[:3]] == ["result-0", "result-1", "journal"]
    assert synced[3].name == ".state-2.tmp"
    assert synced[4] == folder.folder


@pytest.mark.parametrize("name", ["session.json", "journal", "result-0", "../ages"])
@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe", b"{}", b"", b'{"session": 1}', b"null\n"])
def test_an_engine_starts_whatever_files_are_in_its_folder(tmp_path: Path, name: str, text: bytes) -> None:
    store = SessionStore(tmp_path / "state")
    made = store.create(SECRET, OPENING, 5)
    put(made, 0)
    (made.folder / name).write_bytes(text)
    store.prune(7 * DAY, 1 << 30)
    assert len(list(store.sessions())) == (name != "session.json")
    made.usable_snapshots()
    assert store.excess(0) == ([SECRET] if name != "session.json" else [])


def test_two_engines_never_use_the_same_folder(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    with pytest.raises(SettingError, match="running engine"):
        SessionStore(tmp_path / "state")
    store.close()
    SessionStore(tmp_path / "state").close()
