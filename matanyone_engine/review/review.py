# SPDX-License-Identifier: Apache-2.0
"""Collects what there is to say about a finished run, from its files and the sidecars beside them, for page.py.

Rules of this file:
1. It reads the record, the ledger, the headers, the alphas and the plate, and changes nothing.
2. Whatever is missing (a record, a plate that has moved, a confidence of an older run) is left out, and a note says
   so; the alphas alone are enough for a review.
3. It holds three small alphas of each object at a time, and the pictures of the chosen frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from matanyone_engine.errors import BadInput, PlateError, SettingError
from matanyone_engine.matting.confidence import DOUBTFUL
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.contact_sheet import choose_preview_frames
from matanyone_engine.media.file_info import read_facts
from matanyone_engine.media.flicker import flicker
from matanyone_engine.media.images import FloatImage, read_channel
from matanyone_engine.media.layouts import union
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.plates import PlateSource, open_plate
from matanyone_engine.media.sequence import OutputPattern, find_sequence, has_frame_token
from matanyone_engine.media.thumbnails import Thumbnails, as_webp, fitting, shrunk
from matanyone_engine.runs.frame_record import FrameRecord
from matanyone_engine.runs.ledger import Ledger
from matanyone_engine.runs.record import Record, read_record
from matanyone_engine.runs.sidecars import RECORD, Sidecars
from matanyone_engine.sizes import Resolution, Size

_MEASURED_WIDTH = 640
"""Pixels: flicker is measured on alphas no wider than this, as a viewer would see it."""
_GREEN = (0.06, 0.36, 0.10)
"""Linear Rec.709: fringes of any colour show on it."""
_PICTURE_QUALITY, _STRIP_QUALITY = 82, 70
_STRIP_WIDTH = 160
_FINER = 3
"""Times as wide as its picture is what a picture is mixed from, at most."""
_MOST_IN_STRIP = 160
"""Frames that have a small picture."""
_MOST_BYTES = 12 << 20
"""Of large pictures: a page that can be sent to somebody, however long the shot and large the plate."""
_JOINED = 2
"""Frames that may lie between two doubtful ones of one stretch."""

ALL_OBJECTS = "all objects"
T = TypeVar("T")


@dataclass(frozen=True)
class RunFiles:
    """Holds the files of a run, and what its record says of them."""

    title: str
    record: Record
    """An empty one where there is none."""
    files: Mapping[int, Sequence[Path]]
    """For each frame its files, ascending."""
    lines: Mapping[int, FrameRecord]
    """For each frame what a record or a ledger says of it."""


@dataclass(frozen=True)
class ObjectOnFrame:
    """Holds the known facts about one object on one frame."""

    coverage: float
    """Part of the frame."""
    confidence: float | None = None
    """None where the run did not say."""
    why: str = ""
    flicker: float | None = None
    """None at the ends, and beside frames that are not there."""
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """Holds the known facts about one object on all frames of the shot."""

    name: str
    frames: Mapping[int, ObjectOnFrame]
    keys: tuple[int, ...] = ()
    first: int | None = None
    """First frame it was to be seen on; None is the shot's."""
    last: int | None = None


@dataclass(frozen=True)
class Stretch:
    """Holds the ends of frames in a row on which the confidence in one object is low."""

    object: str
    first: int
    last: int
    worst: int
    confidence: float
    why: str


@dataclass(frozen=True)
class Pictures:
    """Holds the pictures of one frame as WebP; without a plate there is only the alpha."""

    alpha: bytes
    plate: bytes = b""
    checker: bytes = b""
    colour: bytes = b""

    @property
    def size(self) -> int:
        """Count the bytes of all pictures."""
        return len(self.alpha) + len(self.plate) + len(self.checker) + len(self.colour)


@dataclass(frozen=True)
class Review:
    """Holds everything that the page shows."""

    title: str
    state: str
    resolution: Resolution
    frames: tuple[int, ...]
    tracks: tuple[Track, ...]
    stretches: tuple[Stretch, ...]
    """Worst first."""
    worst: tuple[int, ...]
    """Frames with pictures, the least sure first."""
    pictures: Mapping[int, Pictures]
    strip: Mapping[int, bytes]
    """For each frame a small picture."""
    warnings: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]
    """What could not be had."""
    made: Mapping[str, str]


# -------------------------------------------------------------------------------------------------- finding the run


def find_run(text: str) -> RunFiles:
    """Find a run by its output pattern, its folder or its record. Raises PlateError, SettingError, FrameRangeError."""
    path = Path(text)
    if path.name.endswith(RECORD):
        return _of_records([path])
    if path.is_dir():
        records = sorted(path.glob(f"*{RECORD}"))
        if len({str((read_record(record) or Record()).job.get("out")) for record in records}) > 1:
            raise SettingError(
                expected=f"a single run in the folder {text!r}",
                came=f"{len(records)} runs: {', '.join(record.name for record in records[:10])}",
                action="Name the record of the run that you mean.",
            )
        return _of_records(records) if records else _of_files(path)
    if has_frame_token(path.name):
        records = Sidecars(OutputPattern.parse(path)).records()
        if records:
            return _of_records(records)
    return _of_files(path)


def _of_records(paths: Sequence[Path]) -> RunFiles:
    """Join the records of one output: runs over some of its frames have their own, and the latest on a frame counts."""
    path = paths[0]
    records = sorted((record for each in paths if (record := read_record(each))), key=lambda each: each.written)
    if not records:
        raise SettingError(
            expected="the record of a run",
            came=f"{str(path)!r}, which is not a record" if path.exists() else f"{str(path)!r}, which is not there",
            action="Name the record (NAME.matanyone.json), the folder or the output pattern of a run.",
        )
    lines = {frame: said for each in records for frame, said in each.frames.items()}
    files = {frame: [path.parent / name for name in said.files] for frame, said in sorted(lines.items())}
    there = {frame: found for frame, found in files.items() if all(file.is_file() for file in found)}
    if not there:
        raise PlateError(
            expected=f"the alphas that {str(path)!r} names, in the same folder",
            came="a folder without any of them",
            action="Put the record beside its alphas, or name their pattern.",
        )
    return RunFiles(_title(Path(str(records[-1].job.get("out", path)))), records[-1], there, lines)


def _of_files(path: Path) -> RunFiles:
    """Find alphas that have no record. The ledger beside them may still describe them."""
    found = find_sequence(path)
    files = {frame: [found.path(frame)] for frame in found.frames}
    sidecars = Sidecars(OutputPattern.parse(found.folder / found.name))
    ledger = Ledger(sidecars.ledger, sidecars.ledgers())
    return RunFiles(_title(found.folder / found.name), Record(), files, ledger.lines())


def _title(pattern: Path) -> str:
    """Return the file's name with its folder, which is often named after the shot."""
    return f"{pattern.parent.name}/{pattern.name}" if pattern.parent.name else pattern.name


# ------------------------------------------------------------------------------------------------------ looking at it


def review_run(
    run: RunFiles,
    *,
    plate: str | None = None,
    most: int = 24,
    widest: int = 640,
    seen: Callable[[int, int], None] = lambda _done, _of: None,
) -> Review:
    """Read all alphas of a run, and the plate where pictures are wanted.

    plate: its path, if it is not where the record says; most: the largest number of frames that are shown large;
    widest: their width in pixels; seen: is called with the number of steps done and of all steps. Raises PlateError,
    MaskError.
    """
    notes: list[str] = []
    showing = RunPictures(run, open_plate_of(run, plate, notes))
    frames = tuple(run.files)
    in_strip = choose_preview_frames(frames, _MOST_IN_STRIP)
    looked = _Counter(seen, len(frames) + len(in_strip) + min(most, len(frames)))
    tracks = _tracks(run, showing, frames, looked)
    stretches = _stretches(tracks)
    pictures = _large(showing, _worst(tracks, stretches, most), widest, looked)
    strip = {frame: looked.after(showing.small(frame)) for frame in in_strip}
    if not any(each.confidence is not None for track in tracks for each in track.frames.values()):
        notes.append("This run says nothing about confidence: worst are the frames that flicker most.")
    return Review(
        title=run.title,
        state=run.record.state,
        resolution=showing.resolution,
        frames=frames,
        tracks=tracks,
        stretches=stretches,
        worst=tuple(pictures),
        pictures=pictures,
        strip=strip,
        warnings=_warnings(run),
        notes=(*notes, *showing.notes),
        made=_made(run),
    )


class _Counter:
    """Counts the steps of a review and reports its progress."""

    def __init__(self, seen: Callable[[int, int], None], of: int) -> None:
        self._seen, self._of, self._done = seen, of, 0

    def after(self, made: T) -> T:
        """Count one more step, and return what it made."""
        self._done += 1
        self._seen(self._done, self._of)
        return made


def _large(showing: RunPictures, frames: Sequence[int], widest: int, looked: _Counter) -> dict[int, Pictures]:
    """Make large pictures of these frames, in order, until the page has no more room."""
    found: dict[int, Pictures] = {}
    taken = 0
    for frame in frames:
        pictures = looked.after(showing.large(frame, widest))
        taken += pictures.size
        if found and taken > _MOST_BYTES:
            showing.notes.append(f"There was room for {len(found)} large pictures: --width makes them smaller.")
            break
        found[frame] = pictures
    return found


def open_plate_of(run: RunFiles, given: str | None, notes: list[str]) -> PlateSource | None:
    """Open the plate, or add a note that says why it cannot be shown."""
    named = given or run.record.shot.get("plate")
    if not named:
        notes.append("Without a record the plate is not known: name it with --plate to see composites.")
        return None
    job = run.record.job
    wanted = Selection.of(job.get("plate", ""), job.get("view"), job.get("part"), job.get("layer"))
    try:
        return open_plate(named, wanted=wanted)
    except BadInput as error:
        if given:
            raise
        notes.append(f"The plate is not where it was ({error.came}): name it with --plate to see composites.")
        return None


class RunPictures:
    """Reads the alphas of a run's frames and makes pictures of them."""

    def __init__(self, run: RunFiles, plate: PlateSource | None) -> None:
        self._run, self._plate = run, plate
        shot = run.record.shot
        self._network_view = NetworkView(shot.get("colorspace", "sRGB"), shot.get("exposure", 0.0))
        first = next(iter(run.files.values()))
        self._where = [_objects_in(path) for path in first]
        window = read_facts(first[0]).parts[0].display_window
        self.resolution = Resolution(window.width, window.height)
        self.notes: list[str] = []

    @property
    def objects(self) -> list[str]:
        """List the objects in the order of their files and layers."""
        return [name for where in self._where for name in where]

    def alphas(self, frame: int) -> dict[str, FloatImage]:
        """Read the alphas of a frame: object -> (H, W) 0..1. Raises MaskError, PlateError."""
        return {
            name: read_channel(path, channel) if channel else read_alpha(path)
            for path, where in zip(self._run.files[frame], self._where, strict=True)
            for name, channel in where.items()
        }

    def large(self, frame: int, widest: int) -> Pictures:
        """Make all large pictures of a frame."""
        small, has_plate = self.thumbnails(frame, widest)
        alpha = as_webp(small.alpha(), _PICTURE_QUALITY)
        if not has_plate:
            return Pictures(alpha)
        shown = (small.plate(), small.over_checker(), small.over_colour(_GREEN))
        return Pictures(alpha, *(as_webp(each, _PICTURE_QUALITY) for each in shown))

    def small(self, frame: int) -> bytes:
        """Make the small picture of a frame: over the checker, or else its alpha."""
        small, has_plate = self.thumbnails(frame, _STRIP_WIDTH)
        return as_webp(small.over_checker() if has_plate else small.alpha(), _STRIP_QUALITY)

    def thumbnails(self, frame: int, widest: int) -> tuple[Thumbnails, bool]:
        """Make the thumbnails of a frame, and return whether it has a plate; without one, the alpha is shown
        instead."""
        alpha = union(list(self.alphas(frame).values()))
        rgb = self._plate_of(frame, alpha)
        shown = alpha[..., None].repeat(3, axis=2) if rgb is None else rgb
        size = fitting(Size(*alpha.shape), _FINER * widest)  # large plates: what no eye will tell need not be converted
        return Thumbnails.of(shrunk(shown, size), shrunk(alpha, size), widest), rgb is not None

    def _plate_of(self, frame: int, alpha: FloatImage) -> FloatImage | None:
        """Read the plate as the network saw it. If it cannot be read, return None and add a note."""
        if self._plate is None:
            return None
        try:
            rgb = self._network_view(self._plate.read(frame).rgb)
        except BadInput as error:
            self.notes.append(f"No plate for frame {frame}: {error.came}.")
            return None
        if rgb.shape[:2] != alpha.shape:
            self.notes.append(f"The plate of frame {frame} has another size than its alpha.")
            return None
        return rgb


def _objects_in(path: Path) -> dict[str, str]:
    """Return each object's channel in a file, or '' for the channel that read_alpha() reads."""
    channels = read_facts(path).object_channels()
    if len(channels) == 1 or all(channel.endswith(".A") for channel in channels.values()):
        return {name: channel if channel.endswith(".A") else "" for name, channel in channels.items()} or {"alpha": ""}
    return {ALL_OBJECTS: ""}  # Cryptomatte, or objects that share one alpha


def _tracks(run: RunFiles, showing: RunPictures, frames: tuple[int, ...], looked: _Counter) -> tuple[Track, ...]:
    """Collect what the record says of each object on each frame, and measure how its alpha flickers."""
    facts: dict[str, dict[int, ObjectOnFrame]] = {name: {} for name in showing.objects}
    around: list[tuple[int, dict[str, FloatImage]]] = []
    for frame, alphas in map(looked.after, _read_through(showing, frames)):
        small = {name: shrunk(alpha, fitting(Size(*alpha.shape), _MEASURED_WIDTH)) for name, alpha in alphas.items()}
        for name, alpha in alphas.items():
            facts[name][frame] = _said(run.lines.get(frame, FrameRecord()), name, float(alpha.mean()), len(facts))
        around = [*around[-2:], (frame, small)]
        _add_flicker(facts, around)
    said = run.record.shot.get("objects", {})
    return tuple(_track(name, found, said.get(name)) for name, found in facts.items())


def _track(name: str, found: Mapping[int, ObjectOnFrame], said: Mapping[str, Any] | None) -> Track:
    return Track(name, found) if said is None else Track(name, found, tuple(said["keys"]), said["first"], said["last"])


def _read_through(showing: RunPictures, frames: tuple[int, ...]) -> Iterator[tuple[int, dict[str, FloatImage]]]:
    """Yield all alphas in order; the next frame is read while this one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(showing.alphas, frames[0])
        for frame, following in zip(frames, (*frames[1:], None), strict=True):
            alphas = ahead.result()
            if following is not None:
                ahead = thread.submit(showing.alphas, following)
            yield frame, alphas


def _add_flicker(facts: dict[str, dict[int, ObjectOnFrame]], around: list[tuple[int, dict[str, FloatImage]]]) -> None:
    """Measure the flicker of the middle one of three frames in a row."""
    if len(around) < 3:
        return
    (before, earlier), (frame, now), (after, later) = around
    if (before, after) != (frame - 1, frame + 1):
        return
    for name, alpha in now.items():
        was = facts[name][frame]
        measured = round(flicker(earlier[name], alpha, later[name]), 5)
        facts[name][frame] = ObjectOnFrame(was.coverage, was.confidence, was.why, measured, was.signals)


def _said(said: FrameRecord, name: str, coverage: float, objects: int) -> ObjectOnFrame:
    """Return the record's entry for an object on a frame. If objects share an alpha, the least certain one counts."""
    mine = said.confidence.get(name)
    if mine is None and said.confidence and objects == 1:
        mine = min(said.confidence.values(), key=lambda each: each.value)
    if mine is None:
        return ObjectOnFrame(coverage)
    measured = asdict(mine.signals) if mine.signals else {}
    signals = {key: value for key, value in measured.items() if value is not None and key != "area"}
    if mine.disagreement is not None:
        signals["disagreement"] = mine.disagreement
    return ObjectOnFrame(coverage, mine.value, mine.why, None, signals)


# ---------------------------------------------------------------------------------------------- what to look at first


def _stretches(tracks: Sequence[Track]) -> tuple[Stretch, ...]:
    """Find the stretches of frames with a low confidence, worst first."""
    found = []
    for track in tracks:
        doubtful = [n for n, each in track.frames.items() if each.confidence is not None and each.confidence < DOUBTFUL]
        for run in _runs(doubtful):
            worst = min(run, key=lambda n: track.frames[n].confidence or 0.0)
            least = track.frames[worst]
            found.append(Stretch(track.name, run[0], run[-1], worst, least.confidence or 0.0, least.why))
    return tuple(sorted(found, key=lambda each: each.confidence))


def _runs(frames: Sequence[int]) -> list[list[int]]:
    """Group frames that follow each other, with small gaps."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame - runs[-1][-1] <= 1 + _JOINED:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs


def _worst(tracks: Sequence[Track], stretches: Sequence[Stretch], count: int) -> tuple[int, ...]:
    """Choose the frames to show: the worst of each stretch, then others of low confidence that are not close to one."""
    badness: dict[int, tuple[float, float]] = {}
    for track in tracks:
        for frame, each in track.frames.items():
            bad = (1.0 if each.confidence is None else each.confidence, -(each.flicker or 0.0))
            badness[frame] = min(badness.get(frame, bad), bad)
    apart = len(badness) // (2 * count)
    chosen = list(dict.fromkeys(stretch.worst for stretch in stretches))[:count]
    for frame in sorted(badness, key=lambda frame: badness[frame]):
        if len(chosen) >= count:
            break
        if all(abs(frame - other) > apart for other in chosen):
            chosen.append(frame)
    return tuple(sorted(chosen, key=lambda frame: badness[frame]))


def _warnings(run: RunFiles) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for frame in run.files:
        for words in run.lines.get(frame, FrameRecord()).warnings:
            found.setdefault(words, []).append(frame)
    return {words: tuple(frames) for words, frames in found.items()}


def _made(run: RunFiles) -> dict[str, str]:
    """Return how the alphas were made, as the record says, or else the first file's header."""
    made = run.record.made
    if made:
        return {**made, "plate": str(run.record.shot.get("plate", ""))}
    return read_facts(next(iter(run.files.values()))[0]).provenance
