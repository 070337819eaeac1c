# SPDX-License-Identifier: Apache-2.0
"""What a first mask keeps for the next click: files are read once, and again as soon as they have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import prompted
import pytest
from shots import read_image, write_image

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.first_mask import MaskJob, make_mask, plan_mask
from matanyone_engine.jobs.mask_memory import MOST_BYTES, Latest, MaskMemory
from matanyone_engine.media.prompts import Prompts, Stroke


class Reads:
    """Calls functions here, and notes their names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        self.names.append(function.__name__)
        return function(*arguments)


@pytest.fixture
def job(tmp_path: Path) -> MaskJob:
    plate = prompted.write_plate(tmp_path / "plate")
    return MaskJob(plate, str(tmp_path / "mask.exr"), prompted.PROMPTS, 1001)


def test_the_next_click_reads_no_file_and_gives_the_mask_that_it_would_give_alone(job: MaskJob, tmp_path: Path) -> None:
    reads, memory = Reads(), MaskMemory()
    make_mask(plan_mask(job), reads, memory)
    assert reads.names == ["check_replaceable", "read_plate"]
    clicked = replace(job, prompts=replace(job.prompts, strokes=(*job.prompts.strokes, Stroke(((4.0, 60.0),), False))))
    make_mask(plan_mask(clicked), reads, memory)
    assert len(reads.names) == 2
    make_mask(plan_mask(replace(clicked, out=str(tmp_path / "alone.exr"))))
    assert np.array_equal(read_image(tmp_path / "mask.exr"), read_image(tmp_path / "alone.exr"))


def test_a_plate_that_has_changed_or_another_question_is_read_again(job: MaskJob) -> None:
    reads, memory = Reads(), MaskMemory()
    for asked in (job, replace(job, frame=1002), replace(job, frame=1002, exposure=1.0)):
        make_mask(plan_mask(asked), reads, memory)
    assert reads.names.count("read_plate") == 3
    file = next(iter(plan_mask(job).source.paths([1002])))
    write_image(file, prompted.picture(5)[:, ::-1], ("R", "G", "B"))
    box = Prompts((16, 8, 62, 54), (Stroke(((40.0, 30.0),)),))
    made = make_mask(plan_mask(replace(job, frame=1002, exposure=1.0, prompts=box)), reads, memory)
    assert reads.names.count("read_plate") == 4
    assert prompted.overlap(made.mask, prompted.disc()[:, ::-1]) > 0.9


def test_a_mask_that_somebody_has_mended_between_two_clicks_is_not_written_over(job: MaskJob) -> None:
    reads, memory = Reads(), MaskMemory()
    make_mask(plan_mask(job), reads, memory)
    mended = np.zeros((64, 96, 1), np.float32)
    write_image(Path(job.out), mended, ("A",))
    with pytest.raises(SettingError, match="another program has written or changed"):
        make_mask(plan_mask(job), reads, memory)
    assert np.array_equal(read_image(Path(job.out)), mended)


def test_a_mask_that_is_corrected_is_read_once_until_it_changes(job: MaskJob, tmp_path: Path) -> None:
    reads, memory, start = Reads(), MaskMemory(), tmp_path / "start.exr"
    write_image(start, prompted.disc()[..., None], ("A",))
    correction = replace(job, start=str(start), prompts=Prompts(None, (Stroke(((8.0, 8.0),), False),)))
    for _ in range(2):
        make_mask(plan_mask(correction), reads, memory)
    assert reads.names.count("read_start") == 1
    write_image(start, np.ones((64, 96, 1), np.float32), ("A",))
    made = make_mask(plan_mask(correction), reads, memory)
    assert reads.names.count("read_start") == 2
    assert made.mask[60, 90] == 1


def test_files_that_are_too_large_or_missing_are_not_kept(tmp_path: Path) -> None:
    file, made = tmp_path / "plate", iter(range(9))
    file.touch()
    large, small = Latest[int](lambda _: MOST_BYTES + 1), Latest[int](lambda _: 1)
    assert [large.get("a", [file], lambda: next(made)) for _ in range(2)] == [0, 1]
    assert [small.get("a", [file], lambda: next(made)) for _ in range(2)] == [2, 2]
    file.unlink()
    assert [small.get("a", [file], lambda: next(made)) for _ in range(2)] == [3, 4]
    small.forget()
    assert small.get("a", [], lambda: next(made)) == 5
