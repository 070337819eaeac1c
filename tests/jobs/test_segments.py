# SPDX-License-Identifier: Apache-2.0
"""Where a shot can be cut, and what a cut costs: without a network."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.masks import KeyFrame
from matanyone_engine.jobs.segments import cost, cut, segment_job, split, with_keys
from matanyone_engine.matting.content_keys import Inputs, Names
from matanyone_engine.matting.shot import Seed, Shot, Subject
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.wire.messages import Job, KeyMask

ALL = tuple(range(1, 101))


def ranges(shot: Shot, most: int) -> list[tuple[int, int]]:
    return [(each.frames[0], each.frames[-1]) for each in cut(shot, ALL, most)]


def test_cuts_are_at_keys_and_shares_are_fair() -> None:
    shot = Shot(ALL, (Subject("hero", (1, 26, 51, 76)),))
    assert [end for _, end in ranges(shot, 2)] in ([50, 100], [51, 100])
    assert len(ranges(shot, 4)) == 4
    costs = [each.moves for each in cut(shot, ALL, 3)]
    assert max(costs) < 1.6 * sum(costs) / 3


def test_segments_are_every_frame_once_in_order() -> None:
    shot = Shot(ALL, (Subject("hero", (10, 40, 80)), Subject("dog", (40, 60))))
    for most in range(1, 12):
        segments = cut(shot, ALL, most)
        assert len(segments) <= most
        assert tuple(frame for each in segments for frame in each.frames) == ALL


def test_a_pass_is_never_cut() -> None:
    shot = Shot(ALL, (Subject("hero", (50,)), Subject("dog", (1,), last=60)))
    borders = [first for first, _ in ranges(shot, 9)][1:]
    for border in borders:
        assert not any({border - 1, border} <= set(each.frames) for each in shot.passes)
    assert len(ranges(Shot(ALL, (Subject("hero", (1,)),)), 9)) <= 2


def test_a_cut_costs_a_key_at_most_and_one_at_a_correction_beyond_all_others_the_way_to_it() -> None:
    shot = Shot(ALL, (Subject("hero", (1, 30, 60, 90)),))
    segments = cut(shot, ALL, 4)
    extra = sum(each.moves for each in segments) - cost(shot, ALL)
    way = 90 - 60 - 1  # the last segment takes over what the pass from 60 to 90 has seen
    assert way <= extra <= len(segments) - 1 + way + 1
    closed = Shot(ALL, (Subject("hero", (1, 30, 60, 100)),))
    segments = cut(closed, ALL, 3)
    assert 0 <= sum(each.moves for each in segments) - cost(closed, ALL) <= len(segments) - 1


@pytest.mark.parametrize("main", [10, 40, 80])
def test_a_segment_takes_over_what_the_whole_shot_does(main: int) -> None:
    """Also where the main key, which says what is taken over, is not among the segment's own."""
    frames = (main, *(key for key in (10, 40, 80) if key != main))
    keys = [KeyFrame(Seed("subject", key), MaskSource(Path(f"m.{key}.exr"))) for key in frames]
    masks = tuple(KeyMask(f"m.{key}.exr", (key,)) for key in frames)
    job = Job(nonce="", plate="p.####.exr", mask="", out="a.####.exr", keys=masks)

    def names_of(shot: Shot) -> Names:
        contents = {Seed("subject", key): str(key) for key in shot.subjects[0].keys}
        return Names(shot, Inputs("toy", {frame: str(frame) for frame in ALL}, contents))

    whole = Shot(ALL, (Subject("subject", (10, 40, 80), main=main),))
    segments = cut(whole, ALL, 4)
    assert len(segments) == 4
    for segment in segments:
        own = segment_job(job, segment, whole, keys)
        named = [frame for mask in own.keys for frame in mask.frames] or [own.mask_frame]
        part = Shot(ALL, (Subject("subject", tuple(sorted(named)), main=named[0]),))
        for frame in segment.frames:
            assert names_of(part).answer("subject", frame) == names_of(whole).answer("subject", frame), frame


def test_frames_that_nobody_asked_for_are_in_no_segment() -> None:
    shot = Shot(ALL, (Subject("hero", (1, 50)),))
    asked = (1, 2, 3, 70, 71)
    assert tuple(frame for each in cut(shot, asked, 3) for frame in each.frames) == asked


def test_a_split_comes_to_as_many_segments_as_wanted_and_cuts_no_pass() -> None:
    shot = Shot(ALL, (Subject("hero", (1,)), Subject("dog", (60,), first=50)))
    frames = split(shot, ALL, 4)
    keyed = with_keys(shot, frames)
    segments = cut(keyed, ALL, 4)
    assert len(segments) == 4
    for one, following in itertools.pairwise(segments):
        assert not any({one.frames[-1], following.frames[0]} <= set(each.frames) for each in keyed.passes)
    assert all(frame in keyed.subject("hero").keys for frame in frames)
    assert [frame for frame in keyed.subject("dog").keys if frame < 50] == []


def test_a_shot_that_is_too_short_is_not_split() -> None:
    assert split(Shot(ALL[:12], (Subject("hero", (1,)),)), ALL[:12], 4) == ()


def test_a_plan_without_segments_is_refused() -> None:
    with pytest.raises(SettingError):
        cut(Shot(ALL, (Subject("hero", (1,)),)), ALL, 0)
