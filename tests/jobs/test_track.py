# SPDX-License-Identifier: Apache-2.0
"""A subject followed through a real plate, and its guide on disk: numbers, going on, and what is never written over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import tracked
from shots import write_image
from tiny_trackers import tiny

from matanyone_engine.errors import BadInput, FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.track import (
    FlowTracker,
    GuideDone,
    NetworkTracker,
    Tracker,
    TrackJob,
    check_tracker,
    plan_track,
    run_track,
)
from matanyone_engine.media.flow_tracker import carried
from matanyone_engine.media.guides import limits
from matanyone_engine.media.images import read_header
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.prompts import Prompts, Stroke
from matanyone_engine.model.video_trackers import VideoTracker

FIRST, LAST = tracked.FIRST, tracked.FIRST + tracked.FRAMES - 1
KEY = FIRST + 3


class Counting(FlowTracker):
    """Counts the frames that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.computed = 0

    def follow(self, seen: np.ndarray) -> np.ndarray:
        self.computed += 1
        return super().follow(seen)


@pytest.fixture
def job(tmp_path: Path) -> TrackJob:
    plate, mask = tracked.write_plate(tmp_path), tracked.write_mask(tmp_path, KEY)
    return TrackJob(plate, str(tmp_path / "guide" / "g.####.exr"), mask=mask, frame=KEY)


def done(job: TrackJob, tracker: Tracker, most: int = 1000) -> list[GuideDone]:
    """Track, and stop after so many frames."""
    found: list[GuideDone] = []
    for event in run_track(plan_track(job), tracker, lambda: len(found) >= most):
        if isinstance(event, GuideDone):
            found.append(event)
    return found


def guides(job: TrackJob) -> dict[int, np.ndarray]:
    return {frame: read_alpha(Path(job.out.replace("####", str(frame)))) for frame in range(FIRST, LAST + 1)}


def test_flow_follows_in_both_directions_under_the_plate_s_numbers(job: TrackJob) -> None:
    events = done(job, FlowTracker())
    assert [event.frame for event in events] == [*range(KEY, LAST + 1), *range(KEY - 1, FIRST - 1, -1)]
    assert [(event.done, event.of) for event in events] == [(n, tracked.FRAMES) for n in range(1, tracked.FRAMES + 1)]
    for frame, mask in guides(job).items():
        assert tracked.overlap(mask, frame) > 0.7, frame
    # A mask that stays where it was drawn would overlap by this much only.
    assert tracked.overlap(tracked.truth(KEY), LAST) < 0.4
    said = {item.name: item.value for item in read_header(events[0].path).attributes}
    assert said["scene"] == "12"
    assert said["matanyone:trackKey"] == str(KEY)


def test_a_box_makes_the_mask_of_the_key_frame(job: TrackJob, tmp_path: Path) -> None:
    (x, y), radius = tracked.place(KEY), tracked.RADIUS + 3
    box = (int(x - radius), int(y - radius), int(x + radius), int(y + radius))
    prompts = Prompts(box, (Stroke(((x - 8, y), (x + 8, y))),))
    prompted = TrackJob(job.plate, str(tmp_path / "of_box.####.exr"), prompts=prompts, frame=KEY, frames=(KEY, KEY + 1))
    done(prompted, FlowTracker())
    assert tracked.overlap(read_alpha(tmp_path / f"of_box.{KEY + 1}.exr"), KEY + 1) > 0.8


def test_a_stopped_track_goes_on_and_ends_as_if_it_had_not_stopped(job: TrackJob, tmp_path: Path) -> None:
    whole = TrackJob(job.plate, str(tmp_path / "whole" / "g.####.exr"), mask=job.mask, frame=KEY)
    done(whole, FlowTracker())
    counting = Counting()
    assert len(done(job, counting, most=3)) == 3
    written = {path: path.stat().st_mtime_ns for path in Path(job.out).parent.iterdir()}
    assert len(written) == 3
    events = done(job, counting)
    assert [event.kept for event in events] == [True] * 3 + [False] * (tracked.FRAMES - 3)
    assert counting.computed == tracked.FRAMES - 1  # no frame twice
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert all(np.array_equal(guides(job)[frame], mask) for frame, mask in guides(whole).items())
    assert all(event.kept for event in done(job, counting))


def test_a_changed_plate_renews_the_guides_from_there_on(job: TrackJob) -> None:
    done(job, FlowTracker())
    changed = LAST - 1
    write_image(Path(job.plate.replace("####", str(changed))), tracked.picture(LAST), ("R", "G", "B"))
    assert [event.frame for event in done(job, FlowTracker()) if not event.kept] == [changed, LAST]


def test_a_guide_that_somebody_has_mended_is_never_written_over(job: TrackJob) -> None:
    done(job, FlowTracker())
    mended = Path(job.out.replace("####", str(FIRST)))
    write_image(mended, tracked.truth(FIRST)[..., None], ("A",))
    before = mended.read_bytes()
    with pytest.raises(SettingError, match="nobody has changed"):
        plan_track(job)
    assert mended.read_bytes() == before


def test_a_subject_that_is_gone_has_an_empty_guide() -> None:
    before, after = tracked.picture(FIRST), tracked.picture(FIRST)[::-1, ::-1].copy()
    assert not carried(before, np.zeros(before.shape[:2], np.float32), after).any()
    speck = np.zeros(before.shape[:2], np.float32)
    speck[10:13, 10:13] = 1
    assert not carried(before, speck, after).any()


def behind_a_bar(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and what is seen of the disc, which a bar that is wider than a half of it passes."""
    bar = cv2.GaussianBlur(np.random.default_rng(7).random((tracked.HEIGHT, 24, 3)), (0, 0), 1.2).astype(np.float32)
    picture, seen, left = tracked.picture(FIRST + number), tracked.truth(FIRST + number), 84 - 9 * number
    picture[:, left : left + 24] = (bar - bar.min()) / np.ptp(bar)
    seen[:, left : left + 24] = 0
    return picture, seen


def test_flow_is_grey_where_it_is_in_doubt_and_gives_up_before_it_cuts_off_what_comes_back() -> None:
    (last, mask), masks = behind_a_bar(0), {}
    for number in range(1, 9):
        now, _ = behind_a_bar(number)
        mask = masks[number] = carried(last, mask, now)
        last = now
    grey = (masks[3] > 0.25) & (masks[3] < 0.75)
    assert grey[24:48, 53:57].all()  # where the bar comes over the disc
    assert not grey[:, 90:].any()
    found = limits(masks[3], [], 4)
    assert found is not None
    assert not (found.inside + found.outside)[grey].any()
    assert found.outside[:, 90:].all()
    # Once the bar hides the disc there is nothing sure left. A mask that stayed on the bar would cut off the disc,
    # which comes back behind it.
    assert not any(masks[number].any() for number in (6, 7, 8))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mask": None}, MaskError, "either a mask of one frame, or a box and points.*neither"),
        ({"prompts": Prompts((1, 1, 20, 20))}, MaskError, "both"),
        ({"frame": LAST + 9}, FrameRangeError, "a key frame among those that are tracked"),
        ({"frames": (FIRST, LAST)}, FrameRangeError, "a key frame among those that are tracked"),
        ({"out": "guide.exr"}, SettingError, "a frame number in the output name"),
        ({"out": "guide.####.png"}, SettingError, r"a name ending in \.exr"),
        ({"out": "{plate}"}, SettingError, "another program has written or changed|an output name that no input has"),
    ],
)
def test_what_cannot_be_tracked_is_refused_before_any_work(
    job: TrackJob, change: dict[str, object], error: type[BadInput], words: str
) -> None:
    from dataclasses import replace

    change = {name: job.plate if value == "{plate}" else value for name, value in change.items()}
    with pytest.raises(error, match=f"(?s){words}"):
        plan_track(replace(job, **change))  # type: ignore[arg-type]
    assert not Path(job.out).parent.exists() or not list(Path(job.out).parent.iterdir())


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("flow", Path(), "no weights for the tracker flow"),
        ("magic", None, "one of the trackers flow, sam2, edgetam"),
    ],
)
def test_trackers_and_weights_that_do_not_fit_are_refused(name: str, weights: Path | None, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        check_tracker(name, weights)


def test_a_network_gets_the_frames_in_order_from_the_key_in_both_directions(job: TrackJob, tmp_path: Path) -> None:
    folder = tiny("sam2", tmp_path / "tiny")
    done(job, NetworkTracker(VideoTracker("sam2", folder, "cpu")), most=2)
    events = done(job, NetworkTracker(VideoTracker("sam2", folder, "cpu")))
    assert sum(event.kept for event in events) == 2
    plain = VideoTracker("sam2", folder, "cpu")
    from matanyone_engine.media.images import read_plate

    view = plan_track(job).view
    for way in (range(KEY, LAST + 1), range(KEY, FIRST - 1, -1)):
        for frame in way:
            rgb = view(read_plate(Path(job.plate.replace("####", str(frame)))).rgb)
            planes = torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None]
            drawn = torch.from_numpy(tracked.truth(KEY))[None, None]
            logits = plain.begin(planes, drawn) if frame == KEY else plain.follow(planes)
            assert np.array_equal(guides(job)[frame], (logits[0, 0] > 0).float().numpy())
