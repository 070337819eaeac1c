# SPDX-License-Identifier: Apache-2.0
"""Makes a first mask from an artist's clicks and box: it reads one plate frame and writes one mask file.

    plate frame -> what the network sees -> back end: a rough mask, small -> soft edge along the plate -> mask.exr

Rules of this file:
1. The plate is processed as in job.py, so that the mask is made from what the network will see.
2. Prompts, names and files are checked completely before a back end starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch

from matanyone_engine.errors import FrameRangeError, MaskError, SettingError
from matanyone_engine.jobs.inputs import read_plate, read_start
from matanyone_engine.jobs.mask_memory import MaskMemory, SeenPlate
from matanyone_engine.matting.refine import soft_edge
from matanyone_engine.media.channels import Selection
from matanyone_engine.media.color import NetworkView, exposure_or_found
from matanyone_engine.media.color_spaces import ColourChoice, choose_space
from matanyone_engine.media.first_masks import check_replaceable, write_first_mask
from matanyone_engine.media.grabcut import METHOD, grabcut, kept
from matanyone_engine.media.images import FloatImage, PlateHeader
from matanyone_engine.media.mattes import check_writable
from matanyone_engine.media.plates import PlateSource, describe_picture, open_plate
from matanyone_engine.media.prompts import Prompts, rough_size
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.media.views import with_view
from matanyone_engine.model.sam2 import Sam2
from matanyone_engine.sizes import Size
from matanyone_engine.version import __version__

GRABCUT, SAM2 = "grabcut", "sam2"
BACKENDS = (GRABCUT, SAM2)

Call = Callable[..., Any]
"""Calls a function that reads files, call(function, *arguments): here, or in a process of its own."""


def directly(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in this process."""
    return function(*arguments)


@dataclass(frozen=True)
class MaskJob:
    """Holds a request for a first mask, with the paths as typed. No file was opened yet."""

    plate: str
    out: str
    prompts: Prompts
    frame: int | None = None
    """None is the plate's first frame."""
    backend: str = GRABCUT
    colorspace: str | None = None
    exposure: float | None = None
    """Stops, as in a MatteJob; None finds it from the frame of the mask."""
    view: str | None = None
    part: str | None = None
    layer: str | None = None
    """As in a MatteJob."""
    start: str | None = None
    """A mask or an alpha of that frame that the strokes correct."""

    @property
    def wanted(self) -> Selection:
        """Returns which picture to read, if the plate's file has several."""
        return Selection.of(self.plate, self.view, self.part, self.layer)


@dataclass(frozen=True)
class Weights:
    """Names the weights of SAM 2 and the device to run it on."""

    folder: Path
    """The user's folder, in the format of the package transformers."""
    device: str = "auto"


@dataclass(frozen=True)
class MaskPlan:
    """Holds a job whose names were checked. No pixel was read yet."""

    job: MaskJob
    plate: str
    source: PlateSource
    frame: int
    out: Path
    sam2: Weights | None


@dataclass(frozen=True)
class FirstMask:
    """Holds a mask that was written, and its inputs."""

    path: Path
    frame: int
    mask: FloatImage
    """(H, W) 0..1."""
    seen: FloatImage
    """(H, W, 3) sRGB 0..1: the picture that the back end has seen, and that the network will see."""
    colour: ColourChoice
    backend: str
    """In full."""

    @property
    def covers(self) -> float:
        """Returns the part of the picture that the mask covers, 0..1."""
        return float(self.mask.mean(dtype=np.float64))


def plan_mask(job: MaskJob, sam2: Weights | None = None) -> MaskPlan:
    """Check the job's names and options. sam2: the weights of SAM 2, if it is used.

    Raises PlateError, FrameRangeError, SettingError.
    """
    _check_backend(job.backend, sam2)
    plate = with_view(job.plate, job.view)
    source = open_plate(plate, wanted=job.wanted)
    frame = source.frames[0] if job.frame is None else job.frame
    if frame not in source.frames:
        raise FrameRangeError(
            expected=f"a frame of the plate, which has {describe_frames(source.frames)}",
            came=f"frame {frame}",
            action="Choose one of these frames.",
        )
    out = Path(with_view(job.out, job.view))
    if out.exists() and any(out.samefile(path) for path in source.paths(source.frames)):
        raise SettingError(
            expected="a file name for the mask that no input has",
            came=f"{out}, which is the plate",
            action="Choose another name with --out.",
        )
    return MaskPlan(job, plate, source, frame, out, sam2)


def make_mask(plan: MaskPlan, call: Call = directly, memory: MaskMemory | None = None) -> FirstMask:
    """Read the plate, make the mask, soften its edge, and write it.

    call: how files are read; the engine reads them in its sandbox (engine/sandbox.py).
    memory: what the last mask was made from. With or without it the same plan gives the same file.

    Raises PlateError, ColourError, MaskError, SettingError, CheckpointError, DeviceError, OutputError.
    """
    job, memory = plan.job, MaskMemory() if memory is None else memory
    check_writable(plan.out.parent)
    if not memory.is_as_written(plan.out):
        call(check_replaceable, plan.out)
    plate = _seen_plate(plan, call, memory)
    start = None if job.start is None else _start_of(Path(job.start), plate.header, call, memory)
    prompts = job.prompts.on(plate.header.resolution, correcting=start is not None)
    rough, made_by = _rough(plan, plate.seen, prompts, start)
    mask = softened(rough, plate.seen)
    mask = mask if start is None else kept(start, mask, prompts)
    _check_there(mask)
    about = {
        "version": __version__,
        "maskBackend": made_by,
        "maskPrompts": str(prompts),
        "maskFrame": str(plan.frame),
        "plateColorspace": f"{plate.colour.space} ({plate.colour.reason})",
        "networkView": plate.view_name,
        "picture": describe_picture(plate.header),
    }
    write_first_mask(plan.out, mask, plate.header, about)
    memory.note_written(plan.out)
    return FirstMask(plan.out, plan.frame, mask, plate.seen, plate.colour, made_by)


def _seen_plate(plan: MaskPlan, call: Call, memory: MaskMemory) -> SeenPlate:
    """Return the frame of a plan as the network sees it."""
    job = plan.job

    def read() -> SeenPlate:
        plate = call(read_plate, plan.plate, job.wanted, plan.frame)
        colour = choose_space(plate.header, job.colorspace, plan.source.suffix)
        exposure = exposure_or_found(job.exposure, colour.space, lambda: plate.rgb)
        network_view = NetworkView(colour.space, exposure)
        return SeenPlate(plate.header, network_view(plate.rgb), colour, network_view.name)

    asked = (plan.plate, plan.frame, job.wanted, job.colorspace, job.exposure, os.environ.get("OCIO"))
    return memory.plate.get(asked, plan.source.paths([plan.frame]), read)


def _start_of(path: Path, header: PlateHeader, call: Call, memory: MaskMemory) -> FloatImage:
    """Return the mask that is corrected, of the size of the plate with this header."""
    size = header.resolution
    return memory.start.get((path, size), [path], lambda: cast(FloatImage, call(read_start, path, size)))


def _check_backend(name: str, sam2: Weights | None) -> None:
    if name not in BACKENDS:
        raise SettingError(
            expected=f"one of the back ends {', '.join(BACKENDS)}",
            came=repr(name),
            action="Choose one of them with --backend.",
        )
    if name == SAM2 and sam2 is None:
        raise SettingError(
            expected="the folder of SAM 2's weights",
            came="no folder",
            action="Give it to this command, or to the engine when it is started: --sam2 FOLDER.",
        )


def _rough(plan: MaskPlan, seen: FloatImage, prompts: Prompts, start: FloatImage | None) -> tuple[FloatImage, str]:
    """Return the back end's mask, (h, w) 0 or 1, and the back end's name.

    Corrections of a mask are always made by GrabCut.
    """
    if plan.job.backend == GRABCUT or plan.sam2 is None or start is not None:
        return grabcut(seen, prompts, start), METHOD
    network = Sam2(plan.sam2.folder, plan.sam2.device)
    return by_sam2(network, seen, prompts), network.name


def by_sam2(network: Sam2, seen: FloatImage, prompts: Prompts) -> FloatImage:
    """Return SAM 2's mask of a picture (H, W, 3) sRGB 0..1 as (h, w) 0 or 1; it is 0 outside of the box."""
    plate = Size(*seen.shape[:2])
    logits = network(planes_of(seen), prompts.box, prompts.clicks)[0, 0].numpy()
    size = rough_size(plate)
    rough = np.asarray(cv2.resize(logits, size.resolution, interpolation=cv2.INTER_LINEAR) > 0.0, dtype=np.float32)
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box
        inside = np.zeros_like(rough)
        rows = slice(y0 * size.height // plate.height, -(-y1 * size.height // plate.height))
        columns = slice(x0 * size.width // plate.width, -(-x1 * size.width // plate.width))
        inside[rows, columns] = 1.0
        rough *= inside
    return rough


def planes_of(seen: FloatImage) -> torch.Tensor:
    """Convert a picture (H, W, 3) to the shape that networks take, (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None]


def softened(rough: FloatImage, seen: FloatImage) -> FloatImage:
    """Return the rough mask (h, w) 0..1 at the picture's size (H, W), with a soft edge that follows the picture (H, W,
    3) sRGB 0..1.
    """
    height, width = rough.shape
    small = seen
    if rough.shape != seen.shape[:2]:
        small = np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    answer = soft_edge(torch.from_numpy(rough)[None, None], planes_of(small), planes_of(seen))
    return np.asarray(answer[0, 0].numpy(), dtype=np.float32)


def _check_there(mask: FloatImage) -> None:
    if not mask.max() > 0.5:
        raise MaskError(
            expected="a subject that is large enough for a mask",
            came="a few pixels, of which nothing is left once the edge is soft",
            action="Draw the box around the whole subject, and strokes along it.",
        )
