# SPDX-License-Identifier: Apache-2.0
"""The job file: strict, readable, and the same job on every machine."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import job_schema
import jsonschema
import pytest

from matanyone_engine.wire.errors import Code, WireError
from matanyone_engine.wire.jobfile import (
    JobFile,
    PathRule,
    Root,
    job_here,
    read_job_file,
    read_path_rules,
    with_paths,
    write_job_file,
)
from matanyone_engine.wire.messages import Delivery, EdgeControls, Job, KeyMask, ObjectOptions, Options

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "job.schema.json").read_text())
PLAIN: dict[str, Any] = {
    "format": "matanyone-job",
    "version": 1,
    "job": {"plate": "p.####.exr", "mask": "m.exr", "out": "o.####.exr"},
}
FULL = JobFile(
    Job(
        nonce="",
        plate="P:\\show\\plate.####.exr",
        mask="",
        out="/mnt/show/out/{shot}.####.exr",
        frames=(-1, 0, 7),
        missing="skip",
        options=Options(warm_up_passes=3, hold_tolerance=None, region="follow", exposure=-1.5),
        delivery=Delivery("layers", "piz", version=4),
        edges=EdgeControls(gamma=1.2, edge_grow=-0.5),
        view="left",
        keys=(KeyMask("roto/hero.####.exr", (1, 7), "hero"), KeyMask("x.exr", (), "twin")),
        objects=(
            ObjectOptions("hero", 1, 9, inside="core.exr", edges=EdgeControls(deflicker=0.5, despeckle=9)),
            ObjectOptions("twin", distractor=True),
        ),
        pin_keys=True,
        separate=True,
        licence="commercial",
        label="Umhang",
    ),
    (Root("/mnt/show", windows="P:/show"),),
    "a host",
)


def with_job(**changes: object) -> str:
    return json.dumps({**PLAIN, "job": {**PLAIN["job"], **changes}})


def test_what_is_written_is_read() -> None:
    assert read_job_file(write_job_file(FULL)) == FULL
    assert read_job_file(json.dumps(PLAIN)).job == Job("", "p.####.exr", "m.exr", "o.####.exr")


def test_what_belongs_to_one_run_is_not_written() -> None:
    job = dataclasses.replace(FULL.job, nonce="0" * 32, resume=True)
    assert read_job_file(write_job_file(JobFile(job))).job == dataclasses.replace(job, nonce="", resume=False)


def test_the_schema_is_that_of_the_code() -> None:
    assert job_schema.written() == job_schema.DOCUMENT.read_text(), "run python tests/wire/job_schema.py"


def test_the_schema_takes_what_the_code_takes() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(write_job_file(FULL)), SCHEMA)
    jsonschema.validate(PLAIN, SCHEMA)


def test_the_documents_examples_are_job_files(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "job_file.md").read_text()
    example, python = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("json", "python"))
    jsonschema.validate(json.loads(example), SCHEMA)
    assert job_here(read_job_file(example), "/jobs", system="linux").plate == "/mnt/show/sh010/plate.####.exr"
    names: dict[str, Any] = {}
    exec(python, names)
    assert names["job"].mask == "/show/roto.exr"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"format": "matanyone-job", "format": "x"}', "given twice"),
        (json.dumps({**PLAIN, "format": "nuke"}), "format 'nuke'"),
        (json.dumps({**PLAIN, "version": "1"}), "version '1'"),
        (json.dumps({**PLAIN, "farm": 1}), "'farm'"),
        (json.dumps({"format": "matanyone-job", "version": 1}), "'job' is missing"),
        (with_job(plate=3), "job.plate: expected str, got 3"),
        (with_job(platte="x"), "no field 'platte'"),
        (with_job(options={"warm_up_passes": "ten"}), "job.options.warm_up_passes: expected int, got 'ten'"),
        (with_job(options={"exposure": float("nan")}), "NaN is no number"),
        (with_job(keys=[{"object": "hero"}]), "job.keys: field 'file' is missing"),
        (with_job(nonce="a"), "job.nonce, which belongs to one run"),
        (with_job(resume=True), "job.resume, which belongs to one run"),
        (with_job(licence="free"), "job.licence 'free'"),
    ],
)
def test_a_mistake_is_named(text: str, says: str) -> None:
    with pytest.raises(WireError) as refused:
        read_job_file(text)
    assert says in refused.value.message
    assert (refused.value.code, refused.value.action[-1]) == (Code.BAD_INPUT, ".")
    if text.startswith("{") and "NaN" not in text and "given twice" not in says and "belongs" not in says:
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text))


def test_a_newer_file_says_that_the_engine_is_old() -> None:
    with pytest.raises(WireError, match="Update matanyone-engine"):
        read_job_file(json.dumps({**PLAIN, "version": 2, "job": {"new": 1}}))


def test_a_path_under_a_root_is_found_on_every_machine() -> None:
    here = job_here(FULL, "/jobs", system="linux")
    assert (here.plate, here.out) == ("/mnt/show/plate.####.exr", "/mnt/show/out/{shot}.####.exr")
    there = job_here(FULL, "C:/jobs", system="windows")
    assert (there.plate, there.out) == ("P:/show/plate.####.exr", "P:/show/out/{shot}.####.exr")


def test_relative_paths_are_those_of_the_file() -> None:
    job = job_here(FULL, "/jobs/sh010", system="linux")
    assert [key.file for key in job.keys] == ["/jobs/sh010/roto/hero.####.exr", "/jobs/sh010/x.exr"]
    assert [each.inside for each in job.objects] == ["/jobs/sh010/core.exr", None]


def test_a_farms_rule_goes_before_the_roots_and_the_longest_first() -> None:
    rules = [PathRule("P:/", "/wrong"), PathRule("p:/SHOW", "/fast/")]
    assert job_here(FULL, "/jobs", rules, "linux").plate == "/fast/plate.####.exr"


@pytest.mark.parametrize(
    ("path", "system"), [("Q:\\other\\p.exr", "linux"), ("//nas/p.exr", "macos"), ("/m/p", "windows")]
)
def test_a_foreign_path_is_no_file_of_this_machine(path: str, system: str) -> None:
    file = dataclasses.replace(FULL, job=dataclasses.replace(FULL.job, plate=path))
    with pytest.raises(WireError, match="roots"):
        job_here(file, "/jobs", system=system)


def test_a_root_is_a_whole_name() -> None:
    file = dataclasses.replace(FULL, job=dataclasses.replace(FULL.job, plate="/mnt/shows/p.exr", out="/mnt/show"))
    job = job_here(file, "/jobs", system="linux")
    assert (job.plate, job.out) == ("/mnt/shows/p.exr", "/mnt/show")


def test_every_path_of_a_job_is_changed() -> None:
    """A path field that is new in Job must be mapped too."""
    said = json.dumps(dataclasses.asdict(with_paths(FULL.job, lambda path: "HERE")))
    assert not re.search(r"\.exr|####", said)


def test_a_job_says_whether_its_weights_are_a_file() -> None:
    job = dataclasses.replace(FULL.job, model="weights/mine.safetensors")
    assert job_here(JobFile(job, FULL.roots), "/jobs", system="linux").model == "/jobs/weights/mine.safetensors"
    assert job_here(FULL, "/jobs", system="linux").model == "mini"


def test_a_byte_order_mark_is_no_fault() -> None:
    text = json.dumps(PLAIN)
    assert read_job_file("\ufeff" + text) == read_job_file(text)
    rules = json.dumps({"path_mapping_rules": [{"source_path": "P:/a", "destination_path": "/b"}]})
    assert read_path_rules("\ufeff" + rules) == (PathRule("P:/a", "/b"),)


@pytest.mark.parametrize("out", ["P:/show/../../etc/a.####.exr", "P:\\show\\..\\x.####.exr", "/mnt/show/a/../../x.exr"])
def test_a_mapped_path_cannot_leave_its_folder(out: str) -> None:
    file = JobFile(Job("", "p.####.exr", "m.exr", out), (Root(linux="/mnt/show", windows="P:/show"),))
    for rules in ((), (PathRule("P:/show", "/srv/show"), PathRule("/mnt/show", "/srv/show"))):
        with pytest.raises(WireError, match=r"'\.\.'") as caught:
            job_here(file, "/jobs", rules, "linux")
        assert caught.value.code is Code.BAD_INPUT


@pytest.mark.parametrize("name", ["a\0b.exr", "\ud800.exr", "a\x1b]0;x\x07.exr", "a\nb.exr"])
def test_names_that_no_screen_should_show_are_refused(name: str) -> None:
    with pytest.raises(WireError, match="control characters") as caught:
        read_job_file(json.dumps({**PLAIN, "job": {**PLAIN["job"], "mask": name}}))
    assert caught.value.code is Code.BAD_INPUT
    with pytest.raises(WireError):
        read_path_rules("[" * 100_000)


@pytest.mark.parametrize("options", [{"mask_grow": 10_000}, {"warm_up_passes": 1_000_000}])
def test_numbers_beyond_all_measure_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(WireError, match="expected"):
        read_job_file(json.dumps({**PLAIN, "job": {**PLAIN["job"], "options": options}}))
