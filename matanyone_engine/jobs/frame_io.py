# SPDX-License-Identifier: Apache-2.0
"""Reads the plate of a step before the network needs it, and writes the files of a frame after the network.

Rules of this file:
1. If a plate's file has changed since its digest was made, that is an error.
2. If storage does not answer for a moment, the read or write is tried again (retry.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.errors import EngineError, PlateError
from matanyone_engine.jobs.edge_finish import EdgeFinisher, GreyFrames
from matanyone_engine.jobs.job import MattePlan, edge_neighbours
from matanyone_engine.jobs.plate_digests import PlateDigests, stamps
from matanyone_engine.jobs.provenance import describe_frame
from matanyone_engine.jobs.refine_areas import AreaFrame
from matanyone_engine.jobs.retry import read_through, with_retries, write_something
from matanyone_engine.jobs.run_account import RunAccount
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.matting.confidence import Confidence
from matanyone_engine.matting.frame_warnings import warnings_of
from matanyone_engine.matting.inside_outside import Constraints
from matanyone_engine.matting.out_of_memory import memory_named
from matanyone_engine.matting.prepared_plate import AnyPlate
from matanyone_engine.matting.runner import ShotRunner, SubjectAlphas
from matanyone_engine.matting.session import FrameReport
from matanyone_engine.matting.shot import ShotStep
from matanyone_engine.media.color_spaces import interop_id
from matanyone_engine.media.images import FloatImage, Plate
from matanyone_engine.media.layouts import FrameContent, union
from matanyone_engine.media.steady_edges import Grey, grey_of
from matanyone_engine.runs.frame_record import FrameRecord

_GREYS = 6
"""Grey plates that are kept: the neighbours of a frame were read one or two steps ago."""


@dataclass(frozen=True)
class PlateOfStep:
    """Holds the plate of a step, ready for the network."""

    step: ShotStep
    plate: Plate
    seen: NDArray[np.float32]
    """(H, W, 3) 0..1: the plate as the network sees it."""
    prepared: AnyPlate
    """The same in the form that the network takes."""
    constraints: Mapping[str, Constraints]
    """The constraint masks of each object."""
    greys: GreyFrames | None = None
    """The grey plate and its neighbours, for steadying edges; None if no edge is steadied."""
    areas: Mapping[str, tuple[AreaFrame, ...]] = field(default_factory=dict)
    """For each object with an area on this frame, the frames that its alpha is solved from: the frame before, if it is
    used, then this one."""


@dataclass(frozen=True)
class AlphasOfStep:
    """Holds the alphas that a step delivers; none if the step only prepares later ones."""

    parts: Mapping[str, SubjectAlphas] = field(default_factory=dict)
    """For each object, its own alpha and those of the neighbouring frames."""
    report: FrameReport = field(default_factory=FrameReport)
    confidences: Mapping[str, Confidence] = field(default_factory=dict)


class PlateReader:
    """Reads plates and prepares them for the network. It is called on its own thread."""

    def __init__(self, plan: MattePlan, plates: PlateDigests, runner: ShotRunner) -> None:
        self._plan, self._plates, self._runner = plan, plates, runner
        self._lately: dict[int, Grey] = {}
        """The grey plates of the frames that were read last, for steadying edges."""
        self._last_view: tuple[int, FloatImage] | None = None
        """The last frame with an area, and its plate as the network sees it, which the next frame's solution uses."""

    def read(self, step: ShotStep) -> PlateOfStep:
        """Read the plate of a step. Raises PlateError, MaskError, OutOfMemory."""
        with memory_named("read"), errors_name(step.frame):
            plate = self._read(step.frame)
            seen = self._plan.network_view(plate.rgb)
            prepared = self._runner.ready(step, torch.from_numpy(seen).permute(2, 0, 1))
            greys, areas = self._greys(step, seen), self._areas(step, seen)
            return PlateOfStep(step, plate, seen, prepared, self._constraints(step), greys, areas)

    def _areas(self, step: ShotStep, seen: FloatImage) -> dict[str, tuple[AreaFrame, ...]]:
        """Return the frames that alphas are solved from in the areas of this frame; empty if it has no area."""
        areas, here = self._plan.areas, step.frame
        names = areas.names_on(here) if step.delivers else []
        befores = {name: areas.before(name, here) for name in names}
        views = {frame: self._view(frame) for frame in sorted({each for found in befores.values() for each in found})}
        if names:
            self._last_view = here, seen
            views[here] = seen
        greys = {frame: grey_of(view) for frame, view in views.items()}
        return {
            name: tuple(
                AreaFrame(each, views[each], greys[each], areas.area(name, each)) for each in (*befores[name], here)
            )
            for name in names
        }

    def _view(self, frame: int) -> FloatImage:
        if self._last_view is None or self._last_view[0] != frame:
            return self._plan.network_view(self._read(frame).rgb)
        return self._last_view[1]

    def _greys(self, step: ShotStep, seen: FloatImage) -> GreyFrames | None:
        """Return the grey plates for steadying edges; None if no edge is steadied."""
        if not self._plan.job.steadies:
            return None
        self._remember(step.frame, grey_of(seen))
        written = [subject.name for subject in self._plan.shot.subjects if not subject.distractor]
        around = next(filter(None, (edge_neighbours(self._plan, name, step.frame) for name in written)), ())
        if not step.delivers or not around:
            return None
        before, after = (self._grey(frame) for frame in around)
        return GreyFrames(before, self._grey(step.frame), after)

    def _grey(self, frame: int) -> Grey:
        if frame not in self._lately:
            self._remember(frame, grey_of(self._plan.network_view(self._read(frame).rgb)))
        return self._lately[frame]

    def _remember(self, frame: int, grey: Grey) -> None:
        self._lately.pop(frame, None)
        self._lately[frame] = grey
        if len(self._lately) > _GREYS:
            del self._lately[next(iter(self._lately))]

    def _read(self, frame: int) -> Plate:
        source = self._plan.source

        def look() -> None:
            for path in source.paths((frame,)):
                read_through(path)

        plate = with_retries(lambda: source.read(frame), look)
        if stamps(source, frame) != self._plates.stamps[frame]:
            raise PlateError(
                expected=f"plate frame {frame} as it was when the run began",
                came="a file that has changed since",
                action="Run the same command again: it computes only what the changed plate affects.",
            )
        return plate

    def _constraints(self, step: ShotStep) -> dict[str, Constraints]:
        names = {seed.subject for seed in step.seeds} | {move.the_pass.seed.subject for move in step.moves}
        return {name: self._plan.masks.constraints(name, step.frame) for name in names}


class FrameWriter:
    """Writes the files of frames and records them. It is called on its own thread."""

    def __init__(self, plan: MattePlan, account: RunAccount, finisher: EdgeFinisher) -> None:
        self._plan, self._account, self._finisher = plan, account, finisher

    def write(self, plate: PlateOfStep, made: AlphasOfStep) -> tuple[FrameDone, FrameRecord]:
        """Write the files of a frame.

        In the returned event, `done` and `of` are 0. Raises BadResult, OutputError, OutOfMemory.
        """
        frame = plate.step.frame
        with memory_named("write"), errors_name(frame):
            alphas = self._finisher.finished(made.parts, plate.greys, made.confidences, plate.areas)
            alpha = union(list(alphas.values()))
            warnings = warnings_of(
                black=not plate.plate.rgb.any(),
                alpha=alpha,
                cut=made.report.cut,
                outvoted=bool(self._plan.masks.outvoted(frame)),
                white_guide=self._plan.masks.white_guide(frame),
                masks=self._plan.masks.warnings(frame),
            )
            paths = self._files(plate, made, alphas)
            entry = FrameRecord.of(self._plan.sidecars.record, paths, alphas, warnings, made.confidences)
            with_retries(lambda: self._account.finish(frame, paths, entry), self._look_at_folders)
        event = FrameDone(frame, 0, 0, paths, plate.seen, alpha, warnings, made.report, alphas, made.confidences)
        return event, entry

    def _files(self, plate: PlateOfStep, made: AlphasOfStep, alphas: Mapping[str, FloatImage]) -> list[Path]:
        frame, header = plate.step.frame, plate.plate.header
        about = {**self._account.about(frame), **describe_frame(made.report)}
        colour = interop_id(self._plan.colour.space)
        content = FrameContent(header, alphas, plate.plate.canvas, colour, self._plan.light)
        with_retries(lambda: self._account.begin(frame), self._look_at_folders)
        return with_retries(
            partial(self._plan.outputs.write, frame, content, about, made.confidences), self._look_at_folders
        )

    def _look_at_folders(self) -> None:
        for folder in self._plan.outputs.folders:
            write_something(folder)


@contextmanager
def errors_name(frame: int) -> Iterator[None]:
    """Set the frame number on errors that are raised in the block."""
    try:
        yield
    except EngineError as error:
        error.frame = frame if error.frame is None else error.frame
        raise
