# SPDX-License-Identifier: Apache-2.0
"""Runs that look finished and have lost their subject."""

from __future__ import annotations

import pytest

from matanyone_engine.errors import Doubtful
from matanyone_engine.matting.confidence import EMPTY, Confidence
from matanyone_engine.runs.doubt import check_trust, lost_objects
from matanyone_engine.runs.frame_record import FrameRecord


def frames(*values: float, name: str = "subject") -> dict[int, FrameRecord]:
    sure = [Confidence(value, "" if value else EMPTY) for value in values]
    return {1001 + n: FrameRecord(confidence={name: each}) for n, each in enumerate(sure)}


def test_a_subject_that_is_lost_on_most_frames_is_named() -> None:
    with pytest.raises(Doubtful, match=r"'hero' .* on 3 of 4 frames \(1002-1004\), and nothing of it can be seen on 2"):
        check_trust(frames(0.8, 0.01, 0.0, 0.0, name="hero"))


@pytest.mark.parametrize(
    "values",
    [
        (0.8, 0.7, 0.0, 0.0),  # half of the frames: it may have walked out of the picture
        (0.6, 0.1, 0.1, 0.1),  # doubtful, not lost
        (0.002, 0.007, 0.007, 0.007),  # the veil of benchmarks/confidence.py: clip 6, mini
        (0.014, 0.013, 0.013, 0.011),  # clip 13
        (0.058, 0.094, 0.142, 0.119),
        (1.0,),
        (),
    ],
)
def test_good_runs_and_soft_subjects_pass(values: tuple[float, ...]) -> None:
    check_trust(frames(*values))


def test_a_wash_from_the_first_frame_on_is_lost() -> None:
    """A label map taken for a mask, say: the key frame is no better."""
    assert lost_objects(frames(0.001, 0.001, 0.0, 0.001))


def test_each_object_counts_for_itself() -> None:
    both = {
        frame: FrameRecord(confidence={"hero": Confidence(0.9), "dog": Confidence(0.0, EMPTY)})
        for frame in (1001, 1002)
    }
    (lost,) = lost_objects(both)
    assert (lost.name, lost.frames, lost.empty, lost.of) == ("dog", (1001, 1002), 2, 2)
