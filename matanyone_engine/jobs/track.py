# SPDX-License-Identifier: Apache-2.0
"""Follows a subject through a shot with a tracker, and writes its rough masks as a guide (media/guides.py).

    key frame: a mask, or a box and clicks -> tracker, forwards to the end -> tracker, backwards to the beginning
               one guide file for each frame, named by the plate's frame number

Rules of this file:
1. Names, prompts and files are checked completely before a tracker starts.
2. A file's header has the digest of all that it was made from, including the plates. A file with the same digest is
   left alone, so that a stopped track can continue; a file that was changed by hand is never overwritten.
3. A frame on which the tracker finds nothing gets a black guide, which has no effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from matanyone_engine.errors import BadInput, FrameRangeError, MaskError, SettingError, WeightsNotFound
from matanyone_engine.jobs.first_mask import planes_of, softened
from matanyone_engine.jobs.masks import WIDEST_BAND
from matanyone_engine.jobs.plate_digests import FilesRead, read_digests
from matanyone_engine.matting.content_keys import digest
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color import NetworkView, exposure_or_found
from matanyone_engine.media.color_spaces import ColourChoice, choose_space
from matanyone_engine.media.first_masks import check_replaceable, write_first_mask
from matanyone_engine.media.flow_tracker import METHOD, carried
from matanyone_engine.media.grabcut import grabcut
from matanyone_engine.media.headers import PROVENANCE_PREFIX
from matanyone_engine.media.images import FloatImage, Plate, read_header
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import PlateSource, open_plate
from matanyone_engine.media.prompts import Prompts
from matanyone_engine.media.sequence import OutputPattern, describe_frames, select_frames
from matanyone_engine.media.views import with_view
from matanyone_engine.model.licences import read_policy
from matanyone_engine.model.registry import weights_folders
from matanyone_engine.model.tracker_weights import TRACKER_WEIGHTS, find_tracker_weights
from matanyone_engine.model.video_trackers import FAMILIES, NEVER_RUN, VideoTracker
from matanyone_engine.model.weights_file import CONFIG, WEIGHTS
from matanyone_engine.sizes import Size
from matanyone_engine.version import __version__

FLOW = "flow"
TRACKERS = (FLOW, *FAMILIES)
FLOW_BAND = 3 / 16
"""Band for the guides of the tracker flow, as a part of the plate's shorter side: three times a guide's usual band
(docs/track.md)."""
_IDENTITY = "trackIdentity"
_PLATES_HELD = 2


@dataclass(frozen=True)
class TrackJob:
    """Holds the settings of a track, with the paths as typed. No file was opened yet."""

    plate: str
    out: str
    """A name with #### for the frame."""
    mask: str | None = None
    """The mask of the subject on the key frame; None if prompts are given."""
    prompts: Prompts | None = None
    frame: int | None = None
    """The key frame; None is the first that is tracked."""
    frames: tuple[int, ...] | None = None
    """None is all of the plate's."""
    tracker: str = FLOW
    colorspace: str | None = None
    exposure: float | None = None
    """Stops, as in a MatteJob; None takes the result of find_exposure() for the key frame."""
    view: str | None = None
    part: str | None = None
    layer: str | None = None

    @property
    def wanted(self) -> Selection:
        """Returns the picture that is chosen where the plate's file has several."""
        return Selection.of(self.plate, self.view, self.part, self.layer)


@dataclass(frozen=True)
class TrackPlan:
    """Holds a checked track. At most the plate's key frame was read."""

    job: TrackJob
    source: PlateSource
    frames: tuple[int, ...]
    key: int
    out: OutputPattern
    mask: FloatImage | None
    """(H, W) 0..1 of the key frame."""
    prompts: Prompts | None
    """The prompts in pixels of this plate."""
    colour: ColourChoice
    view: NetworkView
    """Converts a plate to what trackers see."""

    @property
    def band(self) -> int | None:
        """Returns the band, in pixels, that suits the guide of this tracker; None if the default band does."""
        if self.job.tracker != FLOW:
            return None
        return min(WIDEST_BAND, max(2, round(FLOW_BAND * min(self.source.header(self.key).resolution))))

    def path(self, frame: int) -> Path:
        """Return the guide's file of a frame."""
        return self.out.path(frame, self.source.padding)


@dataclass(frozen=True)
class GuideDone:
    """Reports that the guide of a frame is on disk."""

    frame: int
    path: Path
    done: int
    of: int
    kept: bool = False
    """Whether it existed already, made from the same inputs."""
    empty: bool = False
    """Whether the tracker found nothing."""
    covers: float = 0.0
    """The part of the picture that the guide covers, 0..1."""


class Tracker(Protocol):
    """Defines the interface of trackers. A tracker follows one subject through frames, which it gets in order from the
    key frame on.

    Pictures are (H, W, 3) sRGB 0..1, masks (H, W) 0..1, all 0 where the subject is lost.
    """

    name: str
    """The tracker's name for a file's header."""
    notice: str
    """A note for the artist that is printed before the track; '' for none."""

    def begin(self, seen: FloatImage, mask: FloatImage | None, prompts: Prompts | None) -> FloatImage:
        """Start on the key frame from a mask, or without one from prompts, and return the mask there."""

    def go_on(self, seen: FloatImage, mask: FloatImage) -> bool:
        """Continue after a frame whose mask is on disk; return False if the tracker has to see all frames again."""

    def follow(self, seen: FloatImage) -> FloatImage:
        """Return the mask of the next frame."""


class FlowTracker:
    """Tracks by optical flow (media/flow_tracker.py). GrabCut makes a mask from prompts."""

    name = METHOD
    notice = ""

    def __init__(self) -> None:
        self._last: tuple[FloatImage, FloatImage] | None = None

    def begin(self, seen: FloatImage, mask: FloatImage | None, prompts: Prompts | None) -> FloatImage:
        """Start from a mask, or from the mask that GrabCut makes from prompts. Raises MaskError."""
        if mask is None:
            assert prompts is not None
            mask = softened(grabcut(seen, prompts), seen)
        self._last = seen, mask
        return mask

    def go_on(self, seen: FloatImage, mask: FloatImage) -> bool:
        """Return True: the tracker needs only the last frame."""
        self._last = seen, mask
        return True

    def follow(self, seen: FloatImage) -> FloatImage:
        """Return the mask of the next frame."""
        assert self._last is not None
        mask = _as_stored(carried(*self._last, seen))
        self._last = seen, mask
        return mask


class NetworkTracker:
    """Tracks with SAM 2 or EdgeTAM, with the user's weights."""

    def __init__(self, tracker: VideoTracker) -> None:
        self._tracker = tracker
        self.name = tracker.name
        self.notice = f"licence of the weights: {tracker.licence}. {NEVER_RUN}"

    def begin(self, seen: FloatImage, mask: FloatImage | None, prompts: Prompts | None) -> FloatImage:
        """Start from a mask, or from prompts, which the network takes as they are."""
        if mask is not None:
            return _on_subject(self._tracker.begin(planes_of(seen), torch.from_numpy(mask)[None, None]))
        assert prompts is not None
        return _on_subject(self._tracker.begin(planes_of(seen), None, prompts.box, prompts.clicks))

    def go_on(self, seen: FloatImage, mask: FloatImage) -> bool:
        """Return False: the network's memory is not on disk."""
        return False

    def follow(self, seen: FloatImage) -> FloatImage:
        """Return the mask of the next frame."""
        return _on_subject(self._tracker.follow(planes_of(seen)))


def open_tracker(name: str, weights: Path | None = None, device: str = "auto") -> Tracker:
    """Open a tracker by its name. weights: the folder of a network's weights. Raises SettingError, CheckpointError,
    DeviceError.
    """
    folder = check_tracker(name, weights)
    return FlowTracker() if folder is None else NetworkTracker(VideoTracker(name, folder, device))


def check_tracker(name: str, weights: Path | None) -> Path | None:
    """Return the folder of a tracker's weights: the named one, or the one that is on this machine; None for flow.

    Raises SettingError for an unknown tracker, LicenceRefused for one that the studio's policy does not allow, and
    WeightsNotFound if its weights are not on this machine.
    """
    if name not in TRACKERS:
        raise SettingError(
            expected=f"one of the trackers {', '.join(TRACKERS)}", came=repr(name), action="Choose one of them."
        )
    if name == FLOW and weights is not None:
        raise SettingError(
            expected="no weights for the tracker flow, which needs none",
            came=str(weights),
            action=f"Choose {' or '.join(FAMILIES)}, or leave the weights out.",
        )
    if name == FLOW:
        return None
    if weights is not None:
        return weights
    published = TRACKER_WEIGHTS[name]
    read_policy().require(published.licence, name)
    folder = find_tracker_weights(name)
    if folder is None:
        raise WeightsNotFound(
            expected=f"the weights of {FAMILIES[name].title} on this machine",
            came=f"no folder {name} with {CONFIG} and {WEIGHTS} in {', '.join(map(str, weights_folders()))}",
            action=f"Run: matanyone-engine weights fetch {name}; or {published.by_hand}. The tracker flow needs none.",
        )
    return folder


# ---------------------------------------------------------------------------------------------------- planning


def plan_track(job: TrackJob) -> TrackPlan:
    """Check a job against its files.

    Raises PlateError, FrameRangeError, MaskError, ColourError, SettingError, OutputError.
    """
    if (job.mask is None) == (job.prompts is None):
        raise MaskError(
            expected="either a mask of one frame, or a box and points",
            came="both" if job.mask is not None else "neither",
            action="Give --mask FILE@FRAME, or --box x0,y0,x1,y1 or --point x,y,+ with PLATE@FRAME.",
        )
    source = open_plate(with_view(job.plate, job.view), wanted=job.wanted)
    frames = select_frames(source, job.frames, "skip")
    key = frames[0] if job.frame is None else job.frame
    if key not in frames:
        raise FrameRangeError(
            expected=f"a key frame among those that are tracked, {describe_frames(frames)}",
            came=f"frame {key}",
            action="Choose one of them, or track more frames.",
        )
    header = source.header(key)
    mask = None if job.mask is None else read_mask(MaskSource.parse(job.mask), header.resolution, job.view)
    prompts = None if job.prompts is None else job.prompts.on(header.resolution)
    out = _checked_out(job, source, frames)
    colour = choose_space(header, job.colorspace, source.suffix)
    exposure = exposure_or_found(job.exposure, colour.space, lambda: source.read(key).rgb)
    view = NetworkView(colour.space, exposure)
    return TrackPlan(job, source, frames, key, out, mask, prompts, colour, view)


def _checked_out(job: TrackJob, source: PlateSource, frames: Sequence[int]) -> OutputPattern:
    """Return the output pattern of the guides.

    Raises SettingError, also if a guide was changed by hand; OutputError.
    """
    out = OutputPattern.parse(with_view(job.out, job.view))
    out.check_portable()
    out.check_frames(frames)
    inputs = [*source.paths(source.frames), *([] if job.mask is None else [MaskSource.parse(job.mask).path])]
    out.check_not_plate(frames, source.padding, inputs)
    for frame in frames:
        check_replaceable(out.path(frame, source.padding))
    check_writable(out.folder)
    return out


# ----------------------------------------------------------------------------------------------------- tracking


def run_track(
    plan: TrackPlan, tracker: Tracker, stopping: Callable[[], bool] = lambda: False
) -> Generator[GuideDone | FilesRead, None, None]:
    """Track the subject and write the guides. Yields an event for each written guide, and at intervals while files are
    read.

    stopping: called between frames; when it returns True, the generator ends, and the same plan continues later. Raises
    PlateError, MaskError, BadResult, OutputError.
    """
    digests = yield from read_digests(plan.source, plan.frames, stopping)
    if digests is None:
        return
    tracking = _Tracking(plan, tracker, digests.digests)
    ahead = [frame for frame in plan.frames if frame >= plan.key]
    behind = [frame for frame in reversed(plan.frames) if frame <= plan.key]
    for way in (ahead, behind):
        for event in tracking.along(way, first=way is ahead):
            yield event
            if stopping():
                return


class _Tracking:
    """Carries out a plan: forwards from the key frame, then backwards."""

    def __init__(self, plan: TrackPlan, tracker: Tracker, plates: Mapping[int, str]) -> None:
        self._plan, self._tracker, self._plates = plan, tracker, plates
        self._view = plan.view
        self._done = 0
        self._read = lru_cache(maxsize=_PLATES_HELD)(plan.source.read)
        job = plan.job
        mask_digest = None if plan.mask is None else hashlib.sha256(plan.mask.tobytes()).hexdigest()
        about = (tracker.name, mask_digest, str(plan.prompts), plan.key, plan.colour.space, plan.view.exposure)
        self._base = digest("track", *about, str(job.wanted))

    def along(self, way: Sequence[int], *, first: bool) -> Iterator[GuideDone]:
        """Track in one direction, from the key frame way[0] on. first: whether to report the key frame."""
        names = self._names(way)
        ready = next((n for n, frame in enumerate(way) if not self._is_there(frame, names[frame])), len(way))
        goes_on = ready == len(way) or (ready > 1 and self._goes_on(way[ready - 1]))
        for number, frame in enumerate(way):
            there = number < ready
            mask = self._stored(frame) if there and goes_on else self._mask(frame, key=number == 0)
            if not there:
                self._write(frame, mask, names[frame])
            if number or first:
                self._done += 1
                covers = float(mask.mean(dtype=np.float64))
                of = len(self._plan.frames)
                yield GuideDone(frame, self._plan.path(frame), self._done, of, there, not mask.any(), covers)

    def _names(self, way: Sequence[int]) -> dict[int, str]:
        """Return for each frame the digest of all that its guide depends on, including the plates from the key frame to
        it."""
        names, last = {}, self._base
        for frame in way:
            last = digest(last, self._plates[frame])
            names[frame] = last
        return names

    def _is_there(self, frame: int, name: str) -> bool:
        path = self._plan.path(frame)
        try:
            attributes = {item.name: item.value for item in read_header(path).attributes} if path.exists() else {}
        except BadInput:
            return False
        return bool(attributes.get(PROVENANCE_PREFIX + _IDENTITY) == name)

    def _goes_on(self, frame: int) -> bool:
        return self._tracker.go_on(self._seen(frame), self._stored(frame))

    def _mask(self, frame: int, *, key: bool) -> FloatImage:
        if key:
            return self._tracker.begin(self._seen(frame), self._plan.mask, self._plan.prompts)
        return self._tracker.follow(self._seen(frame))

    def _seen(self, frame: int) -> FloatImage:
        return self._view(self._plate(frame).rgb)

    def _plate(self, frame: int) -> Plate:
        plate = self._read(frame)
        size = self._plan.source.header(self._plan.key).resolution
        if plate.header.resolution != size:
            raise MaskError(
                expected=f"plates of one size, {size}",
                came=f"{plate.header.resolution} on frame {frame}",
                action="Track each part of the shot by itself, with --frames.",
            )
        return plate

    def _stored(self, frame: int) -> FloatImage:
        return read_alpha(self._plan.path(frame))

    def _write(self, frame: int, mask: FloatImage, name: str) -> None:
        plan, job = self._plan, self._plan.job
        about = {
            "version": __version__,
            "tracker": self._tracker.name,
            "trackKey": str(plan.key),
            "trackFrom": str(plan.prompts) if plan.mask is None else str(job.mask),
            _IDENTITY: name,
            "plateColorspace": f"{plan.colour.space} ({plan.colour.reason})",
            "networkView": self._view.name,
        }
        write_first_mask(plan.path(frame), mask, self._plate(frame).header, about)


def _as_stored(mask: FloatImage) -> FloatImage:
    """Round a mask to half floats, so that a track that continues from a file equals one that was never stopped."""
    return mask.astype(np.float16).astype(np.float32)


def _on_subject(logits: torch.Tensor) -> FloatImage:
    """Return a mask (H, W), 1 where logits (1, 1, H, W) are above 0, and otherwise 0."""
    assert logits.shape[:2] == (1, 1), Size(*logits.shape[-2:])
    return np.asarray((logits[0, 0] > 0).float().numpy(), np.float32)
