# SPDX-License-Identifier: Apache-2.0
"""Jobs from files to files in every layout, with and without an engine; names, versions, the record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from engines import running
from shots import HEIGHT, WIDTH, Shot, make_shot, read_image

from matanyone_engine.cli.main import main
from matanyone_engine.engine.access import Access
from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.delivery import Outputs, plan_outputs
from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.jobs.run_identity import identity
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import LAYOUTS, Delivery, FrameContent
from matanyone_engine.media.plates import open_plate
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.runs.record import read_record

TOKENS = "{shot}_{object}_v{version:03d}.####.exr"


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path, count=3)


def outputs(of: Shot, out: str, objects: tuple[str, ...], **options: object) -> Outputs:
    source = open_plate(of.plate)
    delivery, resume = Delivery(**{k: v for k, v in options.items() if k != "resume"}), bool(options.get("resume"))
    return plan_outputs(str(of.out / out), delivery, objects, source, source.header(1001), linear=True, resume=resume)


def header(path: Path) -> oiio.ImageSpec:
    image = oiio.ImageInput.open(str(path))
    assert image is not None, oiio.geterror()
    return image.spec().copy()


# ------------------------------------------------------------------------------------------------ names


def test_objects_have_files_of_their_own_or_share_one(shot: Shot) -> None:
    apart = outputs(shot, TOKENS, ("alice", "bob 2"))
    assert [path.name for path in apart.paths(1001)] == ["plate_alice_v001.1001.exr", "plate_bob_2_v001.1001.exr"]
    together = outputs(shot, TOKENS, ("alice", "bob 2"), layout="cryptomatte")
    assert [path.name for path in together.paths(1001)] == ["plate_all_v001.1001.exr"]


def test_two_objects_are_never_merged_silently(shot: Shot) -> None:
    with pytest.raises(SettingError, match="a file for each object"):
        outputs(shot, "a.####.exr", ("alice", "bob"))


def test_every_object_is_written_with_its_own_alpha(shot: Shot) -> None:
    planned = outputs(shot, "{object}/a.####.exr", ("alice", "bob"))
    for folder in planned.folders:
        folder.mkdir(parents=True)
    alphas = {"alice": np.full((HEIGHT, WIDTH), 0.25, np.float32), "bob": np.ones((HEIGHT, WIDTH), np.float32)}
    content = FrameContent(PlateHeader.plain(Path("p"), WIDTH, HEIGHT), alphas)
    planned.write(1001, content, {}, {})
    assert (read_image(shot.out / "alice" / "a.1001.exr") == 0.25).all()
    assert (read_image(shot.out / "bob" / "a.1001.exr") == 1).all()


def test_disk_space_is_checked_by_layout_and_only_for_new_files(shot: Shot) -> None:
    """Without compression it is no estimate: the files are that large, but for their headers."""
    plate = open_plate(shot.plate).header(1001)
    for layout, channels in (("matte", 4), ("layers", 6), ("straight", 4)):
        planned = outputs(
            shot, f"{layout}.####.exr", ("alice", "bob")[: 1 + (layout == "layers")], layout=layout, compression="none"
        )
        needed = planned.least_bytes((1001, 1002, 1003), plate)
        assert needed == {shot.out: 3 * channels * 2 * WIDTH * HEIGHT}
        shot.out.mkdir(exist_ok=True)
        content = FrameContent(plate, {}, open_plate(shot.plate).read(1001).canvas)
        (path,) = planned.write(1001, content, {}, {})
        assert needed[shot.out] / 3 < path.stat().st_size < needed[shot.out] / 3 + 12 * HEIGHT + 4096
        assert planned.least_bytes((1001, 1002, 1003), plate) == {shot.out: needed[shot.out] * 2 // 3}


@pytest.mark.parametrize(("option", "value"), [("shot", "sh010"), ("version", 3)])
def test_an_option_that_would_do_nothing_is_refused(shot: Shot, option: str, value: object) -> None:
    with pytest.raises(SettingError, match=option):
        outputs(shot, "a.####.exr", ("alice",), **{option: value})


def test_a_foreground_of_a_display_plate_is_in_its_own_code(shot: Shot) -> None:
    """The plate's values wherever the alpha is 1, and no longer the plate's on the soft edge."""
    delivery = Delivery("foreground", depth="float")
    job = MatteJob(
        shot.plate,
        str(shot.mask),
        str(shot.out / "f.####.exr"),
        colorspace="sRGB",
        warm_up_passes=1,
        delivery=delivery,
        accept_doubt=True,
    )
    network, weights = load_vetted(str(shot.weights), "cpu")
    done = next(
        event for event in run_matte(plan_matte(job), network, weights, cache={}) if isinstance(event, FrameDone)
    )
    written, plate = read_image(done.paths[0]), open_plate(shot.plate).read(done.frame).rgb
    inside = written[..., 3] >= 1
    np.testing.assert_array_equal(written[inside][:, :3], plate[inside])
    assert "stored in sRGB" in header(done.paths[0]).get_string_attribute("matanyone:foreground")


def test_a_version_is_never_written_over(shot: Shot) -> None:
    out = ("--out", str(shot.out / TOKENS))
    assert main(shot.arguments(*out)) == 0
    assert main(shot.arguments(*out, "--shot", "sh010")) == 0
    assert main(shot.arguments(*out)) == 0
    assert main(shot.arguments(*out, "--version", "2")) == 2
    assert main(shot.arguments(*out, "--version", "7")) == 0
    assert main(shot.arguments(*out)) == 0
    first = [name for name in shot.written() if ".1001." in name]
    assert first == [
        "plate_subject_v001.1001.exr",
        "plate_subject_v002.1001.exr",
        "plate_subject_v007.1001.exr",
        "plate_subject_v008.1001.exr",
        "sh010_subject_v001.1001.exr",
    ]


def test_two_jobs_planned_at_once_take_two_versions(shot: Shot) -> None:
    job = MatteJob(shot.plate, str(shot.mask), str(shot.out / TOKENS), accept_doubt=True)
    assert [plan_matte(job).paths(1001)[0].name[-13:-9] for _ in range(2)] == ["v001", "v002"]


def stopped_run(shot: Shot, out: str) -> MatteJob:
    """A job that was stopped after some of its frames."""
    network, weights = load_vetted(shot.weights, "cpu")
    job = MatteJob(shot.plate, str(shot.mask), str(shot.out / out), warm_up_passes=0, accept_doubt=True)
    events = run_matte(plan_matte(job), network, weights)
    next(events)
    events.close()
    return job


def test_a_run_goes_on_in_its_own_version(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=9)
    job = stopped_run(shot, TOKENS)
    written = [int(name[-8:-4]) for name in shot.written() if name.endswith(".exr")]
    assert 0 < len(written) < 9
    resumed = run_matte(plan_matte(job, resume=True), *load_vetted(shot.weights, "cpu"), resume=True)
    done = [event.frame for event in resumed if isinstance(event, FrameDone)]
    assert done == [frame for frame in range(1001, 1010) if frame not in written]
    assert len(shot.written()) == 9


def test_a_link_does_not_lead_a_job_out_of_its_roots(shot: Shot, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    shot.out.mkdir()
    (shot.out / "subject").symlink_to(outside)
    job = MatteJob(shot.plate, str(shot.mask), str(shot.out / "{object}" / "a_v{version}.####.exr"), accept_doubt=True)
    with pytest.raises(SettingError, match="roots"):
        plan_matte(job, allowed=Access((shot.folder,)).check)
    assert list(outside.iterdir()) == []


# ------------------------------------------------------------------------------------------------ jobs


@pytest.mark.parametrize(
    "change", [{"layout": "alpha"}, {"compression": "zip"}, {"depth": "float"}, {"shot": "x"}, {"version": 4}]
)
def test_another_delivery_is_another_job(shot: Shot, change: dict[str, object]) -> None:
    network = load_vetted(shot.weights, "cpu")[0]
    job = MatteJob(shot.plate, str(shot.mask), str(shot.out / TOKENS), accept_doubt=True)
    other = dataclasses.replace(job, delivery=Delivery(**change))  # type: ignore[arg-type]
    plans = plan_matte(job), plan_matte(other)
    assert len({identity(plan, network) for plan in plans}) == 2


@pytest.fixture(scope="module")
def in_every_layout(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    """The same shot in every layout, by this process (here/) and by an engine (there/)."""
    folder = tmp_path_factory.mktemp("layouts")
    shot = make_shot(folder, count=2)
    with running(folder, "--root", str(folder)) as engine:
        for layout in LAYOUTS:
            for where, how in (("here", ("--device", "cpu")), ("there", ("--endpoint", str(engine.file)))):
                model = "toy" if where == "there" else str(shot.weights)
                out = folder / where / f"{layout}_{{object}}.####.exr"
                options = ("--layout", layout, "--compression", "zip", "--model", model, "--out", str(out))
                assert main(shot.arguments(*options, *how)) == 0
    return shot


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_engine_writes_the_same_file(in_every_layout: Shot, layout: str) -> None:
    name = f"{layout}_{'all' if LAYOUTS[layout].holds_all else 'subject'}.1002.exr"
    here, there = (in_every_layout.folder / where / name for where in ("here", "there"))
    assert np.array_equal(read_image(here).view(np.uint32), read_image(there).view(np.uint32))
    ours, theirs = header(here), header(there)
    assert ours.channelnames == theirs.channelnames
    said = {
        item.name: item.value
        for item in ours.extra_attribs
        if item.name not in ("DateTime", "matanyone:model", "matanyone:modelLicence")
    }
    assert said["compression"] == "zip"
    assert said["PixelAspectRatio"] == 2.0
    assert said["matanyone:layout"] == layout
    assert said == {name: theirs.getattribute(name) for name in said}


def test_the_plate_is_in_the_file_as_it_was(in_every_layout: Shot) -> None:
    plate = read_image(in_every_layout.folder / "plate.1002.exr")
    straight = read_image(in_every_layout.folder / "here" / "straight_subject.1002.exr")
    assert np.array_equal(straight[..., :3], plate)
    alpha = read_image(in_every_layout.folder / "here" / "matte_subject.1002.exr")[..., 3]
    assert np.array_equal(straight[..., 3], alpha)


@pytest.mark.parametrize(("space", "said"), [("sRGB", "srgb_rec709_scene"), ("ACEScg", "lin_ap1_scene")])
def test_a_file_that_shows_the_plate_says_its_space(shot: Shot, space: str, said: str) -> None:
    """Or a picture with a transfer curve in an EXR would be taken for linear light."""
    options = ("--frames", "1001", "--colorspace", space)
    assert main(shot.arguments(*options, "--layout", "straight")) == 0
    assert header(shot.alpha(1001)).get_string_attribute("colorInteropID") == said
    assert main(shot.arguments(*options, "--layout", "matte")) == 0
    assert header(shot.alpha(1001)).get_string_attribute("colorInteropID") == "data"


# ------------------------------------------------------------------------------------------------ the record


def test_a_run_leaves_a_record_of_every_frame(shot: Shot) -> None:
    assert main(shot.arguments()) == 0
    said = json.loads((shot.out / "alpha.matanyone.json").read_text(encoding="utf-8"))
    assert said["state"] == "finished"
    assert list(said["frames"]) == ["1001", "1002", "1003"]
    assert said["job"]["delivery"]["layout"] == "matte"
    assert said["made"]["maskSha256"] == header(shot.alpha(1001)).get_string_attribute("matanyone:maskSha256")
    for frame, line in said["frames"].items():
        assert line["files"] == [f"alpha.{frame}.exr"]
        alpha = read_image(shot.out / line["files"][0])[..., 3]
        assert line["coverage"]["subject"] == pytest.approx(alpha.mean(), abs=1e-3)


def test_a_run_that_goes_on_keeps_what_it_had_recorded(tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=9)
    job = stopped_run(shot, "a.####.exr")
    stopped = read_record(shot.out / "a.matanyone.json")
    assert stopped is not None
    assert stopped.state == "stopped"
    assert [f"a.{frame}.exr" for frame in stopped.frames] == [n for n in shot.written() if not n.startswith(".")]
    list(run_matte(plan_matte(job, resume=True), *load_vetted(shot.weights, "cpu"), resume=True))
    finished = read_record(shot.out / "a.matanyone.json")
    assert finished is not None
    assert finished.state == "finished"
    assert list(finished.frames) == list(range(1001, 1010))
    assert all(finished.frames[frame] == said for frame, said in stopped.frames.items())


def test_a_record_that_cannot_be_written_costs_no_alpha(shot: Shot, caplog: pytest.LogCaptureFixture) -> None:
    (shot.out / "alpha.matanyone.json").mkdir(parents=True)
    assert main(shot.arguments()) == 0
    assert "could not be written" in caplog.text
    assert len(shot.written()) == 3
