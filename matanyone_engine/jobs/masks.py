# SPDX-License-Identifier: Apache-2.0
"""Reads an artist's masks, and makes the objects of a shot (matting/shot.py) from them.

Rule of this file: every mask and constraint mask is read once while the job is planned, so that a bad file is found
before any work. Its digest is kept; a file that has changed since is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from matanyone_engine.errors import MaskError, SettingError
from matanyone_engine.jobs.guides import ObjectGuide, guide_frames, with_guide
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.matting.shot import Seed, Subject
from matanyone_engine.media.edges import EdgeControls
from matanyone_engine.media.guides import default_band, small
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.layouts import SUBJECT
from matanyone_engine.media.mask_borders import Shortfall, shortfalls
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.mask_morphology import grow_mask
from matanyone_engine.media.masks import read_constraint_mask, read_mask
from matanyone_engine.media.plates import PlateSource
from matanyone_engine.media.sequence import describe_frames, find_sequence, has_frame_token
from matanyone_engine.media.views import with_view
from matanyone_engine.sizes import Resolution

MOST_GROWTH = 200
"""Most pixels by which a mask may grow or shrink: the time grows with the square, and no mask is further off."""
WIDEST_BAND = 1024
"""Widest band around a guide's edge, in pixels."""
_GUIDES_HELD = 6
"""Number of guide frames that are kept in memory: each frame uses its own guide and those of its neighbours."""


@dataclass(frozen=True)
class KeyMask:
    """Names the mask files of one object, as the artist gives them."""

    file: str
    """A file for one frame, or a pattern with #### for several."""
    frames: tuple[int, ...] = ()
    """The plate frames of the masks; () is the first frame that is run."""
    object: str = SUBJECT


@dataclass(frozen=True)
class KeyFrame:
    """Holds a mask on one plate frame, which makes that a key frame."""

    seed: Seed
    source: MaskSource

    @property
    def path(self) -> Path:
        """Returns the file that holds it."""
        return self.source.path


@dataclass(frozen=True)
class ObjectOptions:
    """Holds the settings of one object besides its masks."""

    name: str = SUBJECT
    first: int | None = None
    """First plate frame on which it can be seen; None is the shot's first.

    Its alpha is 0 outside of `first` to `last`.
    """
    last: int | None = None
    distractor: bool = False
    """Whether it is followed only to keep the other objects off it. Its alpha is not written."""
    inside: str | None = None
    """Masks of where the object surely is."""
    outside: str | None = None
    """Masks of where the object surely is not."""
    guide: str | None = None
    """Rough masks of the object, numbered as the plate; frames may be missing (media/guides.py)."""
    guide_band: int | None = None
    """Pixels on either side of the guide's edge that are left to the network; None is a sixteenth of the plate's
    shorter side."""
    refine_area: str | None = None
    """Masks of areas in which alphas are solved along the plate, numbered as the plate; frames may be missing
    (jobs/refine_areas.py)."""
    edges: EdgeControls | None = None
    """Its own edge controls; None takes those of the job."""

    def of_view(self, view: str | None) -> ObjectOptions:
        """Return the options with %V and %v replaced. Raises SettingError if no view is named."""
        patterns = (self.inside, self.outside, self.guide, self.refine_area)
        inside, outside, guide, area = (text and with_view(text, view) for text in patterns)
        return replace(self, inside=inside, outside=outside, guide=guide, refine_area=area)

    def constraints(self, frames: Sequence[int]) -> dict[tuple[str, int], MaskSource]:
        """Return the file of each constraint mask that is there, by ('inside', 'outside' or 'guide', frame).

        Guides of some frames around those that are asked for are included, since they decide whether a guide is
        believed. Raises MaskError, PlateError, SettingError.
        """
        if self.guide_band is not None and not 1 <= self.guide_band <= WIDEST_BAND:
            raise SettingError(
                expected=f"a guide_band of 1 to {WIDEST_BAND} pixels",
                came=str(self.guide_band),
                action="Say by how many pixels the guide's edge may be wrong.",
            )
        sides = (("inside", self.inside), ("outside", self.outside))
        held = {(side, frame): source for side, text in sides for frame, source in _animated(text, frames)}
        return {**held, **{("guide", frame): source for frame, source in guide_frames(self.guide, frames)}}


@dataclass(frozen=True)
class MaskFile:
    """Holds a mask file with its digest from the time when the job was planned."""

    source: MaskSource
    sha256: str
    """Digest of the file's bytes and of the choice of channel or label."""

    @classmethod
    def of(cls, source: MaskSource) -> MaskFile:
        """Read the file and make its digest."""
        return cls(source, hashlib.sha256(source.path.read_bytes() + source.choice.encode()).hexdigest())

    def check(self) -> None:
        """Raise MaskError if the file has changed since."""
        if MaskFile.of(self.source) != self:
            raise MaskError(
                expected=f"{str(self.source.path)!r} as it was when the run began",
                came="a file of that name that holds something else",
                action="Run the same command again: it computes only what the changed mask affects.",
            )


@dataclass(frozen=True)
class MaskReading:
    """Holds how masks are read: the plate's size, by how much they are grown, and the stereo view."""

    plate: Resolution
    """(width, height) of the plate, in pixels."""
    grow: int = 0
    """Pixels by which key masks are grown; a negative number shrinks them."""
    view: str | None = None
    """The view to read from stereo files."""

    def mask(self, source: MaskSource) -> FloatImage:
        """Return the mask (H, W) 0..1, grown or shrunk. Raises MaskError, SettingError."""
        return prepared_mask(source, self.plate, self.grow, self.view)

    def constraints(self, source: MaskSource) -> FloatImage:
        """Return the constraint mask (H, W) 0..1. Raises MaskError."""
        return read_constraint_mask(source, self.plate, self.view)


@dataclass(frozen=True)
class MaskSet:
    """Holds all masks and constraint masks of a shot, with their files."""

    reading: MaskReading
    keys: Mapping[Seed, MaskFile]
    inside: Mapping[tuple[str, int], MaskFile]
    """(object, frame) -> its file."""
    outside: Mapping[tuple[str, int], MaskFile]
    guide: Mapping[tuple[str, int], MaskFile] = field(default_factory=dict)
    guides: Mapping[str, ObjectGuide] = field(default_factory=dict)
    """The judged guide of each object."""
    short: Mapping[Seed, tuple[Shortfall, ...]] = field(default_factory=dict)
    """The key masks that end just before a border of the picture."""
    _read: dict[MaskFile, FloatImage] = field(default_factory=dict, compare=False, repr=False)
    """The guides that were read last; each is used by its neighbours as well."""

    def mask(self, seed: Seed) -> FloatImage:
        """Return the mask (H, W) 0..1, grown or shrunk. Raises MaskError."""
        file = self.keys[seed]
        file.check()
        return self.reading.mask(file.source)

    def constraints(self, name: str, frame: int) -> Constraints:
        """Return the constraint masks of one object on one frame, including the limits of its guide.

        Raises MaskError.
        """
        own = Constraints(self._limit(self.inside.get((name, frame))), self._limit(self.outside.get((name, frame))))
        guide = self._guide_on(name, frame)
        found = guide.limits(frame, partial(self._rough, name)) if guide else None
        return own if found is None else with_guide(own, found)

    def outvoted(self, frame: int) -> frozenset[str]:
        """Return the objects whose guide is left out on a frame."""
        return frozenset(name for name, guide in self.guides.items() if frame in guide.outvoted)

    def white_guide(self, frame: int) -> bool:
        """Return whether the guide of any object is white all over on a frame."""
        return any(frame in guide.white for guide in self.guides.values())

    def warnings(self, frame: int) -> tuple[str, ...]:
        """Return the warnings about the key masks of a frame."""
        found = (each.words for seed, short in self.short.items() if seed.frame == frame for each in short)
        return tuple(dict.fromkeys(found))

    def _guide_on(self, name: str, frame: int) -> ObjectGuide | None:
        """Return the guide that is used on a frame.

        On a key frame none is used, unless the key was made from the guide.
        """
        guide, here = self.guides.get(name), self.guide.get((name, frame))
        key = self.keys.get(Seed(name, frame))
        if guide is None or here is None or (key is not None and key != here):
            return None
        return guide

    def _rough(self, name: str, frame: int) -> FloatImage:
        """Read the guide of an object on a frame."""
        file = self.guide[name, frame]
        if file not in self._read:
            file.check()
            self._read[file] = self.reading.constraints(file.source)
            if len(self._read) > _GUIDES_HELD:
                del self._read[next(iter(self._read))]
        return self._read[file]

    def constraint_digests(self) -> dict[tuple[str, int], str]:
        """Return the digest of the constraint masks and guides of each place (object, frame) that has one."""
        places = self.inside.keys() | self.outside.keys()
        held = {place: f"{_sha(self.inside.get(place))}/{_sha(self.outside.get(place))}" for place in places}
        for name, frame in self.guide:
            guide = self._guide_on(name, frame)
            digest = guide.digest(frame) if guide else ""
            if digest:
                held[name, frame] = f"{held.get((name, frame), '')}/{digest}"
        return held

    def files(self) -> set[MaskFile]:
        """Return every file that was read."""
        return {file for files in (self.keys, self.inside, self.outside, self.guide) for file in files.values()}

    def _limit(self, file: MaskFile | None) -> FloatImage | None:
        if file is None:
            return None
        file.check()
        return self.reading.constraints(file.source)


def _sha(file: MaskFile | None) -> str:
    return file.sha256 if file else ""


def subjects_of(keys: Sequence[KeyFrame], objects: Sequence[ObjectOptions], *, pinned: bool) -> tuple[Subject, ...]:
    """Group key frames by object, in the order in which the objects were named. Raises SettingError, MaskError."""
    names = list(dict.fromkeys(key.seed.subject for key in keys))
    options = {each.name: each for each in objects}
    unknown = next((each.name for each in objects if each.name not in names), None)
    if unknown is not None or len(options) < len(objects):
        raise SettingError(
            expected=f"options for the objects {', '.join(names)} only, and each option once",
            came=repr(unknown or [each.name for each in objects]),
            action="Name the object as in --mask NAME=FILE@FRAME.",
        )
    made = [_subject(name, keys, options.get(name, ObjectOptions(name)), pinned) for name in names]
    if all(subject.distractor for subject in made):
        raise MaskError(
            expected="at least one object to matte",
            came="distractors only",
            action="Give the mask of the object that you want: --mask FILE@FRAME.",
        )
    return tuple(made)


def _subject(name: str, keys: Iterable[KeyFrame], options: ObjectOptions, pinned: bool) -> Subject:
    named = [key.seed.frame for key in keys if key.seed.subject == name]
    frames = tuple(sorted(named))
    pins = frozenset(frames) if pinned else frozenset()
    return Subject(name, frames, options.first, options.last, pins, options.distractor, main=named[0])


def read_masks(
    keys: Sequence[KeyFrame], objects: Sequence[ObjectOptions], frames: Sequence[int], reading: MaskReading
) -> MaskSet:
    """Read and check all masks and constraint masks. Raises MaskError, SettingError."""
    seeds = {key.seed: key.source for key in keys}
    short = {source: shortfalls(reading.mask(source)) for source in dict.fromkeys(seeds.values())}
    held = {each.name: each.constraints(frames) for each in objects}
    inside, outside, guide = (
        {
            (name, frame): source
            for name, files in held.items()
            for (which, frame), source in files.items()
            if which == side
        }
        for side in ("inside", "outside", "guide")
    )
    for source in {*inside.values(), *outside.values()}:
        reading.constraints(source)
    every = {*seeds.values(), *inside.values(), *outside.values(), *guide.values()}
    known = {source: MaskFile.of(source) for source in every}
    return MaskSet(
        reading,
        keys={seed: known[source] for seed, source in seeds.items()},
        inside={place: known[source] for place, source in inside.items()},
        outside={place: known[source] for place, source in outside.items()},
        guide={place: known[source] for place, source in guide.items()},
        guides={each.name: _guide_of(each, guide, known, reading) for each in objects if each.guide},
        short={seed: short[source] for seed, source in seeds.items() if short[source]},
    )


def _guide_of(
    options: ObjectOptions,
    files: Mapping[tuple[str, int], MaskSource],
    known: Mapping[MaskSource, MaskFile],
    reading: MaskReading,
) -> ObjectGuide:
    """Read all frames of an object's guide once, and decide which of them are used. Raises MaskError."""
    own = {frame: source for (name, frame), source in files.items() if name == options.name}
    places = {frame: small(reading.constraints(source)) for frame, source in own.items()}
    digests = {frame: known[source].sha256 for frame, source in own.items()}
    band = default_band(reading.plate) if options.guide_band is None else options.guide_band
    return ObjectGuide.of(digests, places, band)


def _animated(pattern: str | None, frames: Sequence[int]) -> list[tuple[int, MaskSource]]:
    """Return the mask of each frame that has one. A single file is for all frames."""
    if pattern is None:
        return []
    source = MaskSource.parse(pattern)
    if source.path.is_file():
        return [(frame, source) for frame in frames]
    found = find_sequence(source.path)
    return [(frame, source.at(found.path(frame))) for frame in sorted(set(frames) & set(found.frames))]


def check_constraint_masks(options: ObjectOptions, plate: Sequence[int]) -> None:
    """Raise MaskError for inside or outside masks none of whose frames is a frame of the plate."""
    for pattern in filter(None, (options.inside, options.outside)):
        source = MaskSource.parse(pattern)
        numbers = () if source.path.is_file() else find_sequence(source.path).frames
        if numbers and not set(numbers) & set(plate):
            raise MaskError(
                expected=f"constraint masks on some of the plate's frames {describe_frames(plate)}",
                came=f"{pattern!r} with the frames {describe_frames(numbers)}",
                action="Give the mask files the frame numbers of the plate.",
            )


def prepared_mask(source: Path | MaskSource, plate: Resolution, grow: int, view: str | None = None) -> FloatImage:
    """Read a mask (H, W) 0..1 and grow it by so many pixels; a negative number shrinks it.

    Raises MaskError, SettingError.
    """
    if abs(grow) > MOST_GROWTH:
        raise SettingError(
            expected=f"a mask that grows or shrinks by at most {MOST_GROWTH} pixels",
            came=f"{grow} pixels",
            action="Draw the mask closer to the subject.",
        )
    mask = grow_mask(read_mask(source, plate, view), grow)
    if not mask.any():
        raise MaskError(
            expected="a mask that still shows the subject",
            came=f"{source}, of which nothing is left once it is shrunk by {-grow} pixels",
            action="Shrink the mask less.",
        )
    return mask


# ----------------------------------------------------------------------------------- finding masks and frames


def expanded(masks: Sequence[KeyMask], source: PlateSource, first: int) -> tuple[KeyFrame, ...]:
    """Return a key frame for each mask and frame. first: the frame for masks without one. Raises MaskError, PlateError,
    FrameRangeError.
    """
    keys = tuple(key for mask in masks for key in _keys_of(mask, source, first))
    for key in keys:
        if key.seed.frame not in source.frames:
            raise MaskError(
                expected=f"a mask on a frame of the plate, which has {describe_frames(source.frames)}",
                came=f"{key.source}@{key.seed.frame}",
                action="Name the plate frame on which the mask was drawn: --mask FILE@FRAME.",
            )
    seeds = [key.seed for key in keys]
    twice = next((key for key in keys if seeds.count(key.seed) > 1), None)
    if twice is not None:
        raise MaskError(
            expected="one mask for each object on a key frame",
            came=f"two masks of {twice.seed.subject!r} on frame {twice.seed.frame}",
            action="Leave one of the two masks out.",
        )
    return keys


def _keys_of(mask: KeyMask, plate: PlateSource, first: int) -> Iterator[KeyFrame]:
    source = MaskSource.parse(mask.file)
    path = source.path
    if not mask.frames:
        _check_number(path, first, plate)
        yield KeyFrame(Seed(mask.object, first), source)
    elif len(mask.frames) == 1 and (path.is_file() or not has_frame_token(path.name)):
        yield KeyFrame(Seed(mask.object, mask.frames[0]), source)
    else:
        yield from _animated_keys(mask, source)


def _check_number(mask: Path, first: int, source: PlateSource) -> None:
    """Raise an error for a mask without a frame whose file name has the number of another plate frame than the
    first."""
    if not mask.is_file():
        return  # read_mask raises the error
    named = find_sequence(mask)
    own = named.frames[0]
    if named.numbered and own != first and own in source.frames:
        raise MaskError(
            expected=f"the frame of the mask: its file is numbered {own}, but the first frame is {first}",
            came=str(mask),
            action=f"Write {mask}@{own}, or {mask}@{first} if it was drawn on frame {first}.",
        )


def _animated_keys(mask: KeyMask, source: MaskSource) -> Iterator[KeyFrame]:
    """Return the given frames of an animated matte as key frames."""
    if source.path.is_file():
        raise MaskError(
            expected=f"a mask for each of the frames {', '.join(map(str, mask.frames))}",
            came=f"one file for all of them, {mask.file}",
            action="Write #### in place of the frame number, for example roto.####.exr@1001,1047.",
        )
    found = find_sequence(source.path)
    absent = [frame for frame in mask.frames if frame not in set(found.frames)]
    if absent:
        raise MaskError(
            expected=f"a mask file {mask.file!r} for each key frame",
            came=f"no file for {', '.join(map(str, absent))}",
            action="Render the roto on these frames, or leave them out of the list.",
        )
    return (KeyFrame(Seed(mask.object, frame), source.at(found.path(frame))) for frame in mask.frames)
