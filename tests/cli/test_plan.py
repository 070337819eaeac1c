# SPDX-License-Identifier: Apache-2.0
"""Segments on several workers come to the files of one run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import Shot, files, make_shot, read_image, write_image

from matanyone_engine.cli.exit_codes import BAD_INPUT
from matanyone_engine.cli.main import main


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return make_shot(tmp_path_factory.mktemp("plan"), count=14)


def saved(shot: Shot, folder: Path, *options: str) -> Path:
    file = folder / "sh010.json"
    masks = ["--mask", f"hero={shot.mask}@1003", "--mask", f"hero={shot.mask}@1009", "--mask", f"dog={shot.mask}@1009"]
    masks += ["--distractor", f"twin={shot.mask}@1003", "--distractor", f"twin={shot.mask}@1009"]
    life = ["--life", "dog=1009-1014", "--layout", "layers"]
    assert main(shot.arguments(*masks, *life, "--save-job", str(file), *options)) == 0
    return file


def test_segments_give_the_same_files_as_one_run(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = saved(shot, tmp_path, "--out", str(tmp_path / "whole" / "a.####.exr"))
    assert main(["run", str(whole), "--cache", "0"]) == 0
    job = saved(shot, tmp_path, "--out", str(tmp_path / "parts" / "a.####.exr"))
    assert main(["plan", str(job), "--segments", "3"]) == 0
    plan = json.loads((tmp_path / "sh010.plan.json").read_text())
    assert len(plan["segments"]) == 3
    segments = [tmp_path / each["file"] for each in plan["segments"]]
    assert main(["run", str(segments[0]), "--cache", "0"]) == 0
    assert main(["merge", str(tmp_path / "sh010.plan.json")]) == 2
    assert plan["segments"][1]["frames"].split("-")[0] in capsys.readouterr().err
    for segment in segments[1:]:
        assert main(["run", str(segment), "--cache", "0"]) == 0
    assert len([path for path in (tmp_path / "parts").iterdir() if path.name.endswith(".matanyone.json")]) == 3
    assert main(["merge", str(tmp_path / "sh010.plan.json"), "--json"]) == 0
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    left = sorted(path.name for path in (tmp_path / "parts").iterdir() if path.suffix != ".exr")
    assert left == [".a.exr.made", "a.matanyone.json"]
    record = json.loads((tmp_path / "parts" / "a.matanyone.json").read_text())
    assert (record["state"], len(record["frames"]), len(record["parts"])) == ("finished", 14, 3)


def test_segments_share_the_exposure_that_is_found_for_the_whole(shot: Shot, tmp_path: Path) -> None:
    """Only the first key's frame is dark here: a segment that looked at its own key would leave its plates alone."""
    dark = make_shot(tmp_path / "dark", count=14)
    plate = dark.folder / "plate.1003.exr"
    write_image(plate, read_image(plate) * 0.5**7, ("R", "G", "B"), oiio.FLOAT)
    job = saved(dark, tmp_path, "--out", str(tmp_path / "parts" / "a.####.exr"))
    assert "exposure" not in json.loads(job.read_text())["job"].get("options", {})
    assert main(["plan", str(job), "--segments", "3"]) == 0
    segments = [json.loads((tmp_path / f"sh010.segment{number}.json").read_text()) for number in (1, 2, 3)]
    found = {each["job"]["options"]["exposure"] for each in segments}
    assert len(found) == 1
    assert found.pop() >= 4.0


def test_the_whole_job_after_its_segments_computes_no_frame_again(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = saved(shot, tmp_path, "--out", str(tmp_path / "parts" / "a.####.exr"))
    assert main(["plan", str(job), "--segments", "2"]) == 0
    for number in (1, 2):
        assert main(["run", str(tmp_path / f"sh010.segment{number}.json")]) == 0
    for _ in range(2):  # again is no harm
        assert main(["merge", str(tmp_path / "sh010.plan.json")]) == 0
    capsys.readouterr()
    assert main(["run", str(job), "--json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in said] == ["planned", "reused", "ended"]
    assert said[1]["count"] == 14


def test_segments_that_are_split_between_keys_meet_at_the_keys_of_the_first_pass(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matanyone_engine.jobs.segments.SHORTEST_SPLIT", 3)
    job, out = tmp_path / "sh010.json", ["--out", str(tmp_path / "parts" / "a.####.exr")]
    masks = ["--mask", f"hero={shot.mask}@1001", "--distractor", f"twin={shot.mask}@1001"]
    assert main(shot.arguments(*masks, *out, "--save-job", str(job))) == 0
    assert main(["plan", str(job), "--segments", "2"]) == 0
    assert "so does --split" in capsys.readouterr().err
    assert main(["plan", str(job), "--segments", "2", "--split"]) == 0
    assert "run it first" in capsys.readouterr().err
    plan = tmp_path / "sh010.plan.json"
    assert main(["run", str(plan), "--segment", "1"]) == 2, "its key is not there yet"
    assert main(["run", str(plan), "--first-pass"]) == 0
    for segment in ("1", "2"):
        assert main(["run", str(plan), "--segment", segment]) == 0
    assert main(["merge", str(plan)]) == 0
    assert len(files(tmp_path / "parts")) == 14
    said = [json.loads((tmp_path / f"sh010.segment{number}.json").read_text())["job"] for number in (1, 2)]
    keys = [{(key["object"], *key["frames"]) for key in each["keys"]} for each in said]
    assert len(keys[0] & keys[1]) == 4, "both objects' first keys, and those of the first pass"
    assert main(shot.arguments(*masks, *out, "--mask-grow", "2", "--save-job", str(job))) == 0
    assert main(["plan", str(job), "--segments", "2", "--split"]) == 2


def test_every_segment_goes_into_one_version(shot: Shot, tmp_path: Path) -> None:
    out = str(tmp_path / "v{version:03d}" / "{shot}_v{version:03d}.####.exr")
    job = saved(shot, tmp_path, "--out", out, "--shot", "sh010")
    assert main(["plan", str(job), "--segments", "2"]) == 0
    assert main(["run", str(tmp_path / "sh010.segment2.json")]) == 0
    assert main(["run", str(tmp_path / "sh010.segment1.json")]) == 0
    assert main(["merge", str(tmp_path / "sh010.plan.json")]) == 0
    assert len(files(tmp_path / "v001")) == 14
    assert main(["plan", str(job), "--segments", "2"]) == 0
    assert "v002" in (tmp_path / "sh010.segment1.json").read_text()


def test_an_altered_alpha_is_not_merged(shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = saved(shot, tmp_path, "--out", str(tmp_path / "parts" / "a.####.exr"))
    assert main(["plan", str(job), "--segments", "1"]) == 0
    assert main(["run", str(tmp_path / "sh010.segment1.json")]) == 0
    alpha = tmp_path / "parts" / "a.1005.exr"
    alpha.write_bytes(alpha.read_bytes()[:-20])
    assert main(["merge", str(tmp_path / "sh010.plan.json")]) == 2
    assert "no such alpha for 1005" in capsys.readouterr().err
    assert main(["merge", str(job)]) == 2


def test_a_segment_without_a_constraint_mask_of_its_own_runs_as_its_part_of_the_whole(
    shot: Shot, tmp_path: Path
) -> None:
    """An inside mask on two frames of the first segment only; the others used to be refused for having none."""
    out = read_image(shot.mask)
    for frame in (1002, 1003):
        write_image(tmp_path / f"out.{frame}.exr", (out < 0.5).astype(np.float32), ("Y",), oiio.FLOAT)
    held = ["--outside", f"hero={tmp_path / 'out.####.exr'}"]
    whole = saved(shot, tmp_path, *held, "--out", str(tmp_path / "whole" / "a.####.exr"))
    assert main(["run", str(whole), "--cache", "0"]) == 0
    job = saved(shot, tmp_path, *held, "--out", str(tmp_path / "parts" / "a.####.exr"))
    assert main(["plan", str(job), "--segments", "3"]) == 0
    plan = json.loads((tmp_path / "sh010.plan.json").read_text())
    for each in plan["segments"]:
        assert main(["run", str(tmp_path / each["file"]), "--cache", "0"]) == 0
    assert main(["merge", str(tmp_path / "sh010.plan.json")]) == 0
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_constraint_masks_that_no_frame_of_the_plate_has_are_refused(
    shot: Shot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "out.2002.exr", read_image(shot.mask), ("Y",), oiio.FLOAT)
    held = ["--outside", str(tmp_path / "out.####.exr"), "--out", str(tmp_path / "never" / "a.####.exr")]
    assert main(shot.arguments("--mask", f"{shot.mask}@1003", *held)) == BAD_INPUT
    said = capsys.readouterr().err
    assert "1001-1014" in said
    assert "2002" in said
    assert not (tmp_path / "never").exists()
