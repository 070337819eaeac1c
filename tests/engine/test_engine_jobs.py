# SPDX-License-Identifier: Apache-2.0
"""Jobs by path on a real engine: whatever happens to it, the files are those of a run without an engine."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import psutil
import pytest
from engines import FIRST, RAW, SIZE, Engine, expected, mask, numbers, pixels, plate, running
from lossy import LossyWire
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image, write_image

from matanyone_engine.cli.main import main
from matanyone_engine.client import job as job_module
from matanyone_engine.client.client import EngineClient
from matanyone_engine.client.job import JobRun
from matanyone_engine.client.launcher import find_engine
from matanyone_engine.wire import messages as say
from matanyone_engine.wire.codec import Packet
from matanyone_engine.wire.errors import Code, WireError

os.environ["NUMBA_DISABLE_JIT"] = "1"  # the engine runs pymatting as Python: compiling it takes seconds

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("engine")
    with running(folder, "--root", str(folder), "--map", f"P:/shots={folder}") as started:
        yield started


@pytest.fixture
def shot(engine: Engine) -> Iterator[Shot]:
    engine.accident()
    shutil.rmtree(engine.folder / "cache", ignore_errors=True)  # all shots are alike: each is computed anew
    yield make_shot(engine.folder / f"shot {next(_NUMBERS)}", FIRST)
    engine.accident()


def job(shot: Shot, **changes: object) -> say.Job:
    fields = {"plate": shot.plate, "mask": str(shot.mask), "out": str(shot.out / "alpha.####.exr"), "model": "toy"}
    return say.Job(**{"nonce": secrets.token_hex(16), "options": say.Options(warm_up_passes=1), **fields, **changes})  # type: ignore[arg-type]


def events(run: JobRun) -> tuple[list[say.Progress], say.JobEnded]:
    *progress, ended = (event for event in run.events() if event is not None)
    assert isinstance(ended, say.JobEnded)
    return [event for event in progress if isinstance(event, say.Progress)], ended


def check_files(shot: Shot) -> None:
    """What the command line writes without an engine, into a folder beside."""
    alone = shot.folder / "alone"
    assert main(shot.arguments("--out", str(alone / "alpha.####.exr"), "--device", "cpu")) == 0
    names = sorted(path.name for path in alone.glob("*.exr"))
    assert [name for name in shot.written() if not name.startswith(".")] == names
    for name in names:
        assert np.array_equal(read_image(alone / name), read_image(shot.out / name))
        assert confidence_in(alone / name) == confidence_in(shot.out / name) != ""


def confidence_in(alpha: Path) -> str:
    return str(oiio.ImageInput.open(str(alpha)).spec().get_string_attribute("matanyone:confidence"))


@pytest.mark.parametrize("away_s", [0.0, 2.0])
def test_a_job_goes_on_after_kill_9(engine: Engine, shot: Shot, away_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "SILENT_S", 0.5)
    engine.accident("predict", "sleep", **{"for": 0.05})
    with engine.client() as client:
        walk = (event for event in JobRun(client, job(shot)).events() if event is not None)
        for _ in range(3):
            assert isinstance(next(walk), say.Progress)
        engine.kill()
        back = threading.Timer(away_s, engine.start)
        back.start()
        *_, ended = walk
        back.join()
        assert isinstance(ended, say.JobEnded)
        assert ended.outcome == "finished"
        listed = client.call(say.ListSessions())
        assert isinstance(listed, say.Sessions)
        assert not listed.sessions, "it was given to the new engine once"
    check_files(shot)


def test_a_viewer_asks_for_frames_of_a_job_in_any_order(engine: Engine, shot: Shot) -> None:
    engine.accident("predict", "sleep", **{"for": 0.1})
    fix = say.KeyMask(str(shot.mask), (FIRST + 4,))
    with engine.client() as client:
        going = JobRun(client, job(shot, mask_frame=FIRST, keys=(fix,)))
        asked = [FIRST + 5, FIRST + 2, FIRST + 5]
        assert [Path(going.show(frame)) for frame in asked] == [shot.alpha(frame) for frame in asked]
        with pytest.raises(WireError, match="1099"):
            going.show(1099)
        progress, ended = events(going)
        landed = [event.frame for event in progress if event.path]
        assert landed[0] == asked[0]  # else 1001 is the first
        assert landed.index(asked[1]) < landed.index(FIRST + 1)  # else 1002 is the first of what is blended
        assert sorted(landed) == list(range(FIRST, FIRST + 6))
        assert (ended.outcome, ended.written) == ("finished", 6)
        with pytest.raises(WireError, match="no session"):
            going.show(FIRST)
    in_order = {frame: read_image(shot.alpha(frame)) for frame in range(FIRST, FIRST + 6)}
    alone = shot.folder / "alone"
    masks = [f"{shot.mask}@{frame}" for frame in (FIRST, FIRST + 4)]
    options = ["--mask", masks[0], "--mask", masks[1], "--out", str(alone / "alpha.####.exr"), "--device", "cpu"]
    assert main(shot.arguments(*options, "--cache", "0")) == 0
    assert all(np.array_equal(read_image(alone / shot.alpha(f).name), alpha) for f, alpha in in_order.items())


def test_plates_that_are_read_first_are_told_as_such(engine: Engine, shot: Shot) -> None:
    """A host shows that something goes on while a long shot is read from a slow server, and never as frames done."""
    engine.accident("look", "sleep", **{"for": 0.6})
    with engine.client() as client:
        progress, ended = events(JobRun(client, job(shot)))
    looked = [event for event in progress if event.looking]
    assert progress[: len(looked)] == looked != []
    assert all(0 < event.done <= event.of == 6 and event.path == "" for event in looked)
    assert [event.path for event in progress[len(looked) :]] == [str(shot.alpha(n)) for n in range(FIRST, FIRST + 6)]
    assert (ended.outcome, ended.written) == ("finished", 6)


def test_the_solver_of_an_area_is_made_ready_before_the_steps_and_the_client_is_told(
    engine: Engine, shot: Shot
) -> None:
    area = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    area[14:26, 24:36] = 1.0
    write_image(shot.folder / f"area.{FIRST + 1}.exr", area, ("Y",))
    objects = (say.ObjectOptions(refine_area=str(shot.folder / "area.####.exr")),)
    with engine.client() as client:
        progress, ended = events(JobRun(client, job(shot, objects=objects)))
    told = [event for event in progress if event.preparing]
    assert progress[: len(told)] == told != []
    assert all((event.path, event.done, event.of) == ("", 0, 0) for event in told)
    assert [event.path for event in progress[len(told) :]] == [str(shot.alpha(n)) for n in range(FIRST, FIRST + 6)]
    assert (ended.outcome, ended.written) == ("finished", 6)


def test_a_changed_mask_rewrites_only_its_frames_through_an_engine_too(engine: Engine, shot: Shot) -> None:
    fix = shot.folder / f"fix.{FIRST + 4}.exr"
    shutil.copy(shot.mask, fix)
    keys = (say.KeyMask(str(shot.mask), (FIRST + 2,)), say.KeyMask(str(fix), (FIRST + 4,)))
    with engine.client() as client:
        _, first = events(JobRun(client, job(shot, mask_frame=FIRST, keys=keys)))
        before = files(shot)
        write_image(fix, np.roll(read_image(shot.mask), 6, axis=1), ("Y",), oiio.FLOAT)
        progress, again = events(JobRun(client, job(shot, mask_frame=FIRST, keys=keys)))
    assert (first.written, first.unchanged, again.written, again.unchanged) == (6, 0, 3, 3)
    assert {event.frame for event in progress if event.path} == {FIRST + 3, FIRST + 4, FIRST + 5}
    after = files(shot)
    assert {frame for frame in after if after[frame] != before[frame]} == {FIRST + 3, FIRST + 4, FIRST + 5}


def files(shot: Shot) -> dict[int, tuple[bytes, int]]:
    """Frame -> the bytes and the time stamp of its alpha."""
    paths = {frame: shot.alpha(frame) for frame in range(FIRST, FIRST + 6)}
    return {frame: (path.read_bytes(), path.stat().st_mtime_ns) for frame, path in paths.items()}


def test_clients_are_told_of_a_shutdown_and_the_job_resumes(engine: Engine, shot: Shot) -> None:
    engine.accident("predict", "sleep", **{"for": 0.05})
    with engine.client() as client:
        walk = (event for event in JobRun(client, job(shot)).events() if event is not None)
        next(walk)
        assert engine.stop() == 0
        *_, ended = walk
        assert isinstance(ended, say.JobEnded)
        assert (ended.outcome, ended.code) == ("failed", Code.SHUTTING_DOWN.value)
        assert 0 < ended.written < 6
        engine.start()
        progress, rest = events(JobRun(client, job(shot, resume=True)))
        assert (rest.outcome, rest.written, len(progress)) == ("finished", 6 - ended.written, 6 - ended.written)
    check_files(shot)


def test_a_final_message_that_was_lost_is_sent_again(
    engine: Engine, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "SILENT_S", 0.5)
    lost: list[Packet] = []

    def fate(packet: Packet) -> list[float]:
        if not isinstance(packet.message, say.JobEnded) or lost:
            return [0.0]
        lost.append(packet)
        return []

    with LossyWire(find_engine(engine.file), fate) as wire, EngineClient(lambda: wire.connection, "test") as client:
        assert events(JobRun(client, job(shot)))[1].outcome == "finished"
    assert lost
    check_files(shot)


def test_running_out_of_memory_keeps_what_is_finished(engine: Engine, shot: Shot) -> None:
    engine.accident("predict", "sleep", **{"for": 0.05})
    with engine.client() as client:
        walk = (event for event in JobRun(client, job(shot)).events() if event is not None)
        next(walk)
        engine.accident("predict", "no-room")
        *_, ended = walk
        assert isinstance(ended, say.JobEnded)
        assert (ended.outcome, ended.code) == ("failed", Code.OUT_OF_MEMORY.value)
        engine.accident()
        ended = events(JobRun(client, job(shot, resume=True)))[1]
        assert (ended.outcome, ended.message) == ("finished", "")
    check_files(shot)


def test_a_cancel_while_it_is_planned_and_while_it_runs(engine: Engine, shot: Shot) -> None:
    engine.accident("plan", "sleep", **{"for": 0.4})
    with engine.client() as client:
        run = JobRun(client, job(shot))
        engine.accident("predict", "sleep", **{"for": 0.1})
        seen = 0
        for event in run.events(poll_s=0.1):
            seen += isinstance(event, say.Progress)
            if seen == 1:
                run.cancel()
        assert isinstance(event, say.JobEnded)
        assert event.outcome == "cancelled"
        assert event.written <= 3, "told of the first, the second was computed and the third begun"
        assert len([name for name in shot.written() if name.endswith(".exr")]) == event.written


def test_a_cancel_during_the_warm_up(engine: Engine, shot: Shot) -> None:
    engine.accident("predict", "sleep", **{"for": 0.2})  # 20 s
    with engine.client() as client:
        run = JobRun(client, job(shot, options=say.Options(warm_up_passes=100)))
        while not (client.pump.pong and client.pump.pong.activity == "stepping"):
            client.next_event(0.05)
        begun = time.monotonic()
        run.cancel()
        assert events(run)[1].outcome == "cancelled"
        assert time.monotonic() - begun < 10
    assert shot.written() == []


def test_what_an_artist_should_look_at_is_said_once(
    engine: Engine, shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    for frame in (1003, 1004):
        black = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        write_image(shot.folder / f"plate.{frame}.exr", black, ("R", "G", "B"), PixelAspectRatio=2.0)
    with engine.client() as client:
        progress, _ = events(JobRun(client, job(shot)))
    assert [event.frame for event in progress if "the plate is black" in event.warnings] == [1003, 1004]
    sure = {Path(event.path): event.confidences[0] for event in progress}
    assert {each.object for each in sure.values()} == {"subject"}
    assert all(confidence_in(path) == f"{each.value:.3f}" for path, each in sure.items())
    assert main(shot.arguments("--device", "cpu")) == 0
    assert capsys.readouterr().err.count("check   the plate is black (1003-1004)") == 1


def test_paths_of_another_system_and_long_foreign_names(engine: Engine) -> None:
    folder = Path("Zürich 撮影 [x]") / ("sehr lang " * 18).strip() / ("länger " * 20).strip()
    shot = make_shot(engine.folder / folder, FIRST)
    windows = "P:\\shots\\" + str(folder).replace("/", "\\")
    paths = {
        "plate": f"{windows}\\plate.####.exr",
        "mask": f"{windows}\\mask.exr",
        "out": f"{windows}\\out\\alpha.####.exr",
    }
    with engine.client() as client:
        assert events(JobRun(client, job(shot, **paths)))[1].outcome == "finished"
        with pytest.raises(WireError, match="P:/shot2"):
            JobRun(client, job(shot, plate="P:/shot2/plate.####.exr"))
    check_files(shot)


def test_negative_frames_keep_their_numbers(engine: Engine) -> None:
    shot = make_shot(engine.folder / "negative", -2, 4)
    with engine.client() as client:
        progress, _ = events(JobRun(client, job(shot)))
    assert [event.frame for event in progress] == [-2, -1, 0, 1]
    check_files(shot)


def test_what_cannot_be_done_is_said_before_anything_is_written(engine: Engine, shot: Shot) -> None:
    (shot.folder / "a file").write_text("")
    gone = shot.folder / "plate.1004.exr"
    with engine.client() as client:
        for changes, code, words in (
            ({"out": str(shot.folder / "a file" / "alpha.####.exr")}, Code.OUTPUT, "a file"),
            ({"mask": str(shot.folder / "none.exr")}, Code.BAD_INPUT, "none.exr"),
            ({"options": say.Options(colorspace="teal")}, Code.BAD_INPUT, "teal"),
            ({"frames": (1002, 1099)}, Code.BAD_INPUT, "1099"),
        ):
            with pytest.raises(WireError, match=words) as caught:
                JobRun(client, job(shot, **changes))
            assert caught.value.code is code
        gone.unlink()
        with pytest.raises(WireError, match="1004"):
            JobRun(client, job(shot))
        assert shot.written() == []
        assert events(JobRun(client, job(shot, missing="skip")))[1].written == 5


def test_a_sandbox_that_is_killed_between_two_jobs_is_restarted(engine: Engine, shot: Shot) -> None:
    with engine.client() as client:
        session = client.open_shot(SIZE, RAW)
        assert events(JobRun(client, job(shot)))[1].outcome == "finished"
        assert engine.process is not None
        for child in psutil.Process(engine.process.pid).children():
            child.kill()
        assert pixels(session.matte(numbers(0, 3), plate, mask())) == {n: expected()[n] for n in numbers(0, 3)}
        assert events(JobRun(client, job(shot)))[1].outcome == "finished"
    check_files(shot)


def test_keys_objects_and_distractors_are_those_of_a_run_without_an_engine(
    engine: Engine, shot: Shot, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pixel for pixel, each computing by itself; and a second run leaves all files alone."""
    garbage = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    garbage[:, :16] = 1.0
    write_image(shot.folder / "garbage.1003.exr", garbage, ("Y",))
    keys = [f"hero={shot.mask}@{FIRST}", f"hero={shot.mask}@{FIRST + 4}", f"dog={shot.mask}@{FIRST + 1}"]
    asked = [word for key in keys for word in ("--mask", key)]
    asked += ["--distractor", f"twin={shot.mask}@{FIRST + 2}", "--life", f"dog={FIRST + 1}-{FIRST + 3}"]
    asked += ["--outside", f"hero={shot.folder / 'garbage.####.exr'}", "--layout", "layers"]
    served = shot.arguments(*asked, "--model", "toy", "--endpoint", str(engine.file))
    assert main(served) == 0
    alone = shot.folder / "alone"
    assert main(shot.arguments(*asked, "--out", str(alone / "alpha.####.exr"), "--device", "cpu")) == 0
    for frame in range(FIRST, FIRST + 6):
        ours, theirs = read_image(shot.alpha(frame)), read_image(alone / f"alpha.{frame}.exr")
        assert ours.shape[2] > 4
        assert np.array_equal(ours, theirs)
    written = {path: path.stat().st_mtime_ns for path in shot.out.glob("*.exr")}
    capsys.readouterr()
    assert main(served) == 0
    assert "kept    6 alphas" in "".join(capsys.readouterr())
    assert {path: path.stat().st_mtime_ns for path in shot.out.glob("*.exr")} == written
