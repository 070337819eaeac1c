# SPDX-License-Identifier: Apache-2.0
"""Finds the areas that an artist has painted, and solves alphas in them (media/solve_area.py, docs/refine_area.md).

Rules of this file:
1. A frame's solution depends only on that frame and the frame right before it. So the alphas are the same in any order,
   and in the segments of a farm.
2. A solution never uses a frame on the other side of a key, since a segment need not have that frame.
3. Areas are read once while the job is planned, and their digests are kept.
4. The library that solves them is loaded before the first step, since it is compiled on its first use on a machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from threading import Thread
from typing import NamedTuple

from matanyone_engine.errors import SettingError
from matanyone_engine.jobs.masks import MaskFile, MaskReading, ObjectOptions
from matanyone_engine.jobs.numbered_masks import NumberedMasks
from matanyone_engine.jobs.run_events import Preparing
from matanyone_engine.matting.shot import Earlier, Shot
from matanyone_engine.media.images import FloatImage
from matanyone_engine.media.mask_channels import MaskSource
from matanyone_engine.media.matting_library import is_loaded, matting_library
from matanyone_engine.media.solve_area import MATCH, WEIGHTS, SolutionBefore, faded, require_solver, solutions
from matanyone_engine.media.steady_edges import Grey, NeighbourFrame, moved_here

AREAS = NumberedMasks("an area for each frame that is to be solved", "areas on", "--refine-area area.####.exr")

_FORMAT = 1
"""Must be raised when a change of the code gives another solution for the same inputs."""

PREPARING = "preparing the refine area (the first use on a machine takes longer)"
"""What artists read while the library that solves areas is loaded."""
_PREPARING_S = 1.0
"""Seconds between events meanwhile: a host learns from them that the engine is at work."""

AreaFiles = Mapping[tuple[str, int], MaskSource]
"""The file of each (object, frame) that has an area."""


class AreaFrame(NamedTuple):
    """Holds the inputs of a solution on one frame."""

    frame: int
    view: FloatImage
    """(H, W, 3) display-referred 0..1: what the network sees."""
    grey: Grey
    """The same in grey, (H, W) 8 bits."""
    area: FloatImage
    """(H, W) 0..1: where it is solved."""


@dataclass(frozen=True)
class AreaSet:
    """Holds the areas of a shot with their files, without black ones."""

    shot: Shot
    reading: MaskReading
    files: Mapping[tuple[str, int], MaskFile]
    """(object, frame) -> its file."""

    def area(self, name: str, frame: int) -> FloatImage:
        """Return the area (H, W) 0..1 of an object on a frame that has one. Raises MaskError."""
        file = self.files[name, frame]
        file.check()
        return self.reading.constraints(file.source)

    def names_on(self, frame: int) -> list[str]:
        """List the objects that have an area on a frame and can be seen there."""
        return [each.name for each in self.shot.subjects if (each.name, frame) in self.files and each.lives(frame)]

    def before(self, name: str, frame: int) -> tuple[int, ...]:
        """Return the frame right before this one if this frame's solution uses it; empty if it does not."""
        if name not in self.names_on(frame):
            return ()
        found = self.shot.before(name, frame)
        return (found,) if found is not None and (name, found) in self.files else ()

    def earlier(self) -> Earlier:
        """Map each (object, frame) to the frames before it whose alphas it needs."""
        return {place: before for place in self.files if (before := self.before(*place))}

    def digests(self, name: str, frame: int) -> list[str]:
        """List digests of what an object's solution on a frame is made from, besides plates and alphas; empty without
        an area."""
        if name not in self.names_on(frame):
            return []
        own = [self.files[name, each].sha256 for each in (*self.before(name, frame), frame)]
        return [f"area {_FORMAT}", solver(), str(sorted(asdict(WEIGHTS).items())), str(MATCH), *own]

    def about(self, frame: int) -> dict[str, str]:
        """Return the header entry about a frame's areas; empty if it has no area."""
        names = self.names_on(frame)
        listed = [f"{name}={self.files[name, frame].source.name}" for name in names]
        return {"refine_area": f"{', '.join(listed)}; {solver()}"} if names else {}

    def digest(self) -> str:
        """Return a digest of all areas; '' if there are none."""
        held = sorted([*map(str, place), file.sha256] for place, file in self.files.items())
        return hashlib.sha256(str(held).encode()).hexdigest() if held else ""


def solver() -> str:
    """Return the name and version of the library that solves areas."""
    return f"pymatting {version('pymatting')}"


def area_files(objects: Sequence[ObjectOptions], frames: Sequence[int]) -> AreaFiles:
    """Return the file of each area on these frames. Raises MaskError, PlateError."""
    found = {}
    for options in objects:
        if options.refine_area:
            source, sequence = AREAS.found(options.refine_area)
            there = sorted(set(frames) & set(sequence.frames))
            found.update({(options.name, frame): source.at(sequence.path(frame)) for frame in there})
    return found


def check_areas(objects: Sequence[ObjectOptions], plate: Sequence[int]) -> None:
    """Raise MaskError for areas without a frame of the plate, SettingError for areas of an object that is not
    written."""
    for options in objects:
        if options.refine_area is None:
            continue
        if options.distractor:
            raise SettingError(
                expected="an area of an object that is written",
                came=f"an area of the distractor {options.name!r}",
                action="Name the object that the area belongs to: --refine-area NAME=area.####.exr.",
            )
        AREAS.check(options.refine_area, plate)


def read_areas(files: AreaFiles, shot: Shot, reading: MaskReading) -> AreaSet:
    """Read and check all areas. Raises MaskError, and SettingError if the library that solves them is not installed."""
    if files:
        require_solver()
    known = {source: MaskFile.of(source) for source in files.values() if reading.constraints(source).any()}
    return AreaSet(shot, reading, {place: known[source] for place, source in files.items() if source in known})


def solver_made_ready(frame: int, stopping: Callable[[], bool]) -> Iterator[Preparing]:
    """Load the library that solves areas on another thread; yield an event at once and then every second meanwhile.

    frame: the first frame that is solved. stopping: whether to stop; the thread then goes on alone, so that the next
    job finds the library. Raises SettingError if it cannot be loaded.
    """
    if is_loaded():
        return
    thread = Thread(target=_load_quietly, name="matting-library", daemon=True)
    thread.start()
    while thread.is_alive() and not stopping():
        yield Preparing(frame, 0, 0, PREPARING)
        thread.join(_PREPARING_S)
    if not thread.is_alive():
        matting_library()


def _load_quietly() -> None:
    with suppress(SettingError):  # whoever waits for this thread asks for the library again, and gets the error
        matting_library()


class AreaSolver:
    """Solves alphas in areas. Only one thread may call it. It keeps the solution of each object's last frame."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, FloatImage]] = {}

    def refined(
        self, name: str, alpha: FloatImage, own: Sequence[FloatImage], frames: Sequence[AreaFrame]
    ) -> FloatImage:
        """Return an alpha (H, W) 0..1 with its area replaced by the solution.

        own: the network's alphas (H, W) of the object on `frames`, which are the frame before, if it is used, and this
        one. alpha: this frame's alpha after the steps before.
        """
        here = frames[-1]
        befores: list[SolutionBefore | None] = [None]
        if len(frames) > 1:
            alone = self._alone(name, own[0], frames[0])
            befores.append(SolutionBefore(*moved_here(NeighbourFrame(alone, frames[0].grey), here.grey, MATCH)))
        found = solutions(here.view, own[-1], here.area, befores)
        self._last[name] = here.frame, found[0]
        return faded(alpha, found[-1], here.area)

    def _alone(self, name: str, alpha: FloatImage, at: AreaFrame) -> FloatImage:
        """Return the solution of a frame without using the frame before."""
        frame, found = self._last.get(name, (None, None))
        if found is not None and frame == at.frame:
            return found
        return solutions(at.view, alpha, at.area, [None])[0]
