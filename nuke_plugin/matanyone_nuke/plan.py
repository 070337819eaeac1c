# SPDX-License-Identifier: Apache-2.0
"""What a run will do, decided from what the artist set and what the script holds, before anything is rendered or sent.

    Settings   the node's knobs            Scene   the script around it            Plan   exports and jobs, in order

Rules of this file:
1. It imports no nuke and touches no disk: every decision can be tested with two values.
2. Frame numbers are the script's. The plate's frame N is the alpha's frame N, whatever was retimed upstream.
3. What cannot be done is a PlanError (expected, came, action) before the first frame is rendered.
4. Python 3.7: Nuke 13 runs it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Set, Tuple

from .engine.wire import messages as say

FIRST_CHUNK = 10
"""Exported frames after which the engine may begin; each further hand-over doubles, so no plate is read often."""
QUALITIES = {"full": None, "1080": 1080, "720": 720, "480": 480}
"""Knob value -> Options.working_size, the limit of the shortest side that is computed."""
SUBJECT = "subject"
"""The object's name where there is one only."""
RASTER = "rgba.alpha"

_PART = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+)(?:\s*x\s*(\d+))?)?")
_MOST_FRAMES = 1000000
TOKEN = re.compile(r"%0?\d*d|#+")
_VIEW = re.compile(r"%[Vv]")
_LAYER = re.compile(r"[A-Za-z_]\w*")
_ROLES = frozenset(["", "default", "scene_linear", "rendering", "compositing_linear"])
"""Names that mean another space in every OCIO config: nothing an engine could be told."""


class PlanError(Exception):
    """What the artist gave cannot be used; nothing was rendered or sent."""

    def __init__(self, expected: str, came: str, action: str) -> None:
        self.expected, self.came, self.action = expected, came, action
        super().__init__("expected %s; got %s. %s" % (expected, came, action))


@dataclass(frozen=True)
class Settings:
    """The knobs, as they stand; nothing evaluated."""

    frames_from: str = "input"
    """'input', 'script' or 'list'."""
    frames: str = ""
    keys_from: str = "mask animation"
    """'mask animation', 'list' or 'current frame'."""
    keys: str = ""
    objects: str = ""
    """Layers of the mask input, one object each; '' is one object, from its alpha."""
    colorspace: str = ""
    """An OpenColorIO name; '' takes what the script says."""
    model: str = "mini"
    quality: str = "full"
    region: str = "off"
    """'off', 'follow' or 'box'."""
    region_box: Tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """x, y, r, t in Nuke's pixels, from the bottom left."""
    settle: int = -1
    """Below 0: what suits the model."""
    mask_grow: int = 0
    exposure: float = 0.0
    pin_keys: bool = False
    views: str = ""
    use_files: bool = True
    """Whether a plate that comes from a Read unchanged is sent as its path."""


@dataclass(frozen=True)
class PlateFiles:
    """A Read whose pixels reach the node as they are on disk."""

    file: str
    first: int
    last: int
    colorspace: str
    """What its files are declared to be."""


@dataclass(frozen=True)
class Scene:
    """What the node stands in, found out on the main thread."""

    matte: str
    """The evaluated output pattern: absolute, with %04d or ####, perhaps %V."""
    script: str = ""
    """'' while the script is unsaved."""
    node: str = "MatAnyone1"
    frame: int = 1
    input_frames: Tuple[int, int] = (1, 1)
    script_frames: Tuple[int, int] = (1, 1)
    views: Tuple[str, ...] = ("main",)
    view: str = "main"
    size: Tuple[int, int] = (0, 0)
    working_space: str = ""
    plate: Optional[PlateFiles] = None
    """None: the plate is something that has to be rendered."""
    mask_keys: Tuple[int, ...] = ()
    """Frames on which the mask is animated."""
    mask_layers: Tuple[str, ...] = ()
    inside_layers: Optional[Tuple[str, ...]] = None
    """None: nothing is connected."""
    outside_layers: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class Export:
    """Frames of one input, to be rendered into files."""

    what: str
    """'plate', 'mask', 'inside' or 'outside'."""
    channel: str
    """'rgb', or the one channel that becomes the file's alpha."""
    file: str
    """With %0Nd for the frame; %V where there are views."""
    frames: Tuple[int, ...]

    @property
    def folder(self) -> str:
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Chunk:
    """What is rendered next, and the alphas that the engine can be asked for once it is there."""

    exports: Tuple[Export, ...]
    frames: Tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    settings: Settings
    scene: Scene
    frames: Tuple[int, ...]
    keys: Tuple[int, ...]
    views: Tuple[Optional[str], ...]
    """One job each; (None,) in a script with one view."""
    plate: str
    colorspace: str
    chunks: Tuple[Chunk, ...]

    @property
    def objects(self) -> Tuple[str, ...]:
        return object_names(self.settings)

    def job(self, chunk: Chunk, view: Optional[str]) -> say.Job:
        """What the engine is asked once this chunk is exported."""
        return _job(self, chunk, view)

    def first_file(self, view: Optional[str]) -> str:
        """The matte of the first frame."""
        return frame_file(with_view(self.scene.matte, view), self.frames[0])


# --------------------------------------------------------------------------------------------------- frames


def parse_frames(text: str) -> Tuple[int, ...]:
    """'1001-1045x2, -5--1' -> frame numbers, ascending, each once. Raises PlanError."""
    frames: Set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise _bad_range(text, repr(part.strip()) if part.strip() else "nothing between commas")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        step = int(match.group(3) or 1)
        if last < first or step < 1 or last - first > _MOST_FRAMES:
            raise _bad_range(text, part.strip())
        frames.update(range(first, last + 1, step))
    return tuple(sorted(frames))


def _bad_range(text: str, came: str) -> PlanError:
    return PlanError("frames such as 1001-1045, 1050, 1060-1080x2", "%s in %r" % (came, text), "Correct the list.")


def describe_frames(frames: Iterable[int]) -> str:
    """(1001, 1002, 1003, 1007) -> '1001-1003,1007'."""
    return ",".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in stretches(frames))


def stretches(frames: Iterable[int]) -> List[Tuple[int, int]]:
    """Ascending frames as (first, last) of each unbroken stretch."""
    found: List[Tuple[int, int]] = []
    for frame in sorted(frames):
        if found and frame == found[-1][1] + 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def padding_of(frames: Iterable[int]) -> int:
    """Digits of a frame number: four, or what the largest needs; the sign comes on top."""
    return max([4] + [len(str(abs(frame))) for frame in frames])


def frame_file(pattern: str, frame: int) -> str:
    """The pattern's file of one frame; digits are counted without the sign, as the engine does."""
    tokens = list(TOKEN.finditer(pattern))
    if not tokens:
        return pattern
    token = tokens[-1]
    text = token.group()
    digits = len(text) if text.startswith("#") else int(text[1:-1] or 0)
    number = "%s%0*d" % ("-" if frame < 0 else "", digits, abs(frame))
    return pattern[: token.start()] + number + pattern[token.end() :]


def with_view(text: str, view: Optional[str]) -> str:
    """%V and %v replaced, where there is a view."""
    return text if view is None else text.replace("%V", view).replace("%v", view[0])


def chosen_frames(settings: Settings, scene: Scene) -> Tuple[int, ...]:
    """The alphas a full run writes. Raises PlanError."""
    if settings.frames_from == "list":
        return parse_frames(settings.frames)
    first, last = scene.input_frames if settings.frames_from == "input" else scene.script_frames
    if last - first > _MOST_FRAMES:
        raise _bad_range("%d-%d" % (first, last), "more than a million frames")
    return tuple(range(first, last + 1))


def chosen_keys(settings: Settings, scene: Scene) -> Tuple[int, ...]:
    """The frames the mask is taken from. Raises PlanError."""
    if settings.keys_from == "current frame":
        return (scene.frame,)
    if settings.keys_from == "list":
        return parse_frames(settings.keys)
    if not scene.mask_keys:
        raise PlanError(
            "a mask with animation keys, for 'key frames: mask animation'",
            "none upstream of the mask input",
            "Set a key on the frame you drew, or choose 'list' or 'current frame'.",
        )
    return scene.mask_keys


# --------------------------------------------------------------------------------------------------- the plan


def plan_run(settings: Settings, scene: Scene, only: Optional[Tuple[int, ...]] = None) -> Plan:
    """What a run does. only: these alphas instead of the whole range. Raises PlanError."""
    _check_matte(scene)
    keys = chosen_keys(settings, scene)
    frames = only or chosen_frames(settings, scene)
    views = chosen_views(settings, scene)
    _check_objects(settings, scene)
    span = tuple(range(min(frames + keys), max(frames + keys) + 1))
    plate = _plate_on_disk(settings, scene, span, views)
    masks = _exports(settings, scene, frames, keys, views)
    if plate is not None:
        chunks: Tuple[Chunk, ...] = (Chunk(masks, frames),)
    else:
        chunks = _chunks(_export("plate", "rgb", "plate", span, scene, views), masks, frames, keys)
    file = plate.file if plate is not None else chunks[0].exports[0].file
    return Plan(settings, scene, frames, keys, views, file, _colorspace(settings, scene, plate), chunks)


def _check_matte(scene: Scene) -> None:
    unsaved = not scene.script and not _is_absolute(scene.matte)
    if unsaved or not scene.matte:
        raise PlanError(
            "a place for the matte",
            "an unsaved script, beside which it would go" if unsaved else "an empty path",
            "Save the script, or name a folder in 'matte'.",
        )
    if not _is_absolute(scene.matte):
        raise PlanError("an absolute path for the matte", repr(scene.matte), "Write it from the root of the disk.")
    if not TOKEN.search(os.path.basename(scene.matte)):
        raise PlanError("#### or %04d for the frame in 'matte'", repr(scene.matte), "Write alpha.####.exr.")


def _is_absolute(path: str) -> bool:
    """Of this system, or of Windows: the engine may map it."""
    return os.path.isabs(path) or bool(re.match(r"[A-Za-z]:[/\\]|\\\\", path))


def chosen_views(settings: Settings, scene: Scene) -> Tuple[Optional[str], ...]:
    """One job each: the views named, else all of them where the matte tells them apart, else the current one."""
    apart = bool(_VIEW.search(scene.matte))
    named = tuple(settings.views.replace(",", " ").split())
    unknown = [view for view in named if view not in scene.views]
    if unknown:
        raise PlanError("views of the script: " + ", ".join(scene.views), unknown[0], "Correct 'views'.")
    views = named or (scene.views if apart else (scene.view,))
    if len(views) > 1 and not apart:
        raise PlanError("%V in 'matte', for views " + ", ".join(views), repr(scene.matte), "Write alpha.%V.####.exr.")
    if len({view[0] for view in views}) < len(views) and "%V" not in scene.matte:
        raise PlanError("views of different first letters for %v", ", ".join(views), "Write %V in 'matte'.")
    return views if len(scene.views) > 1 or apart else (None,)


def object_names(settings: Settings) -> Tuple[str, ...]:
    """The objects; ('subject',) where the mask's alpha is the only one."""
    return tuple(settings.objects.replace(",", " ").split()) or (SUBJECT,)


def _check_objects(settings: Settings, scene: Scene) -> None:
    for name in settings.objects.replace(",", " ").split():
        if name not in scene.mask_layers:
            there = ", ".join(layer for layer in scene.mask_layers if layer != "rgba") or "none but rgba"
            raise PlanError("layers with an alpha on the mask input: " + there, name, "Correct 'objects'.")
        if not _LAYER.fullmatch(name):
            raise PlanError("layer names of letters, digits and _", name, "Rename the layer.")


def _plate_on_disk(
    settings: Settings, scene: Scene, span: Tuple[int, ...], views: Tuple[Optional[str], ...]
) -> Optional[PlateFiles]:
    """The plate's own files, if they may be sent as they are."""
    plate = scene.plate
    if plate is None or not settings.use_files or not _is_absolute(plate.file):
        return None
    if not (plate.first <= span[0] and span[-1] <= plate.last):
        return None  # Nuke holds or repeats a frame there: that is what the artist sees
    if views != (None,) and not _VIEW.search(plate.file):
        return None
    return plate


def _colorspace(settings: Settings, scene: Scene, plate: Optional[PlateFiles]) -> str:
    """What the plate's pixels are, as a name that means the same to the engine. Raises PlanError."""
    said = settings.colorspace or space_name(plate.colorspace if plate is not None else scene.working_space)
    if said in _ROLES:
        raise PlanError(
            "a colour space by name",
            "%r, which every OCIO config takes for another space" % said if said else "none, from the script",
            "Set 'colour space' to what the plate is: ACEScg, linear, LogC4.",
        )
    return said


def space_name(said: str) -> str:
    """'default (ACES - ACEScg)' -> 'ACES - ACEScg'; a plain name as it is."""
    match = re.search(r"\(([^()]+(?:\([^()]*\)[^()]*)*)\)\s*$", said)
    bare = said.partition("(")[0].strip()
    return match.group(1).strip() if match and bare in _ROLES else said.strip()


# --------------------------------------------------------------------------------------------------- exports


def export_folder(matte: str) -> str:
    """Where rendered inputs go: beside the matte, where the engine may read, and apart for each matte's name."""
    name = TOKEN.split(os.path.basename(matte))[0].rstrip("._- ") or "matte"
    return os.path.dirname(matte).replace("\\", "/") + "/" + _VIEW.sub("", name).rstrip("._- ") + "_export"


def _export(
    what: str, channel: str, name: str, frames: Tuple[int, ...], scene: Scene, views: Tuple[Optional[str], ...]
) -> Export:
    view = "" if views == (None,) else ".%V"
    file = "%s/%s%s.%%0%dd.exr" % (export_folder(scene.matte), name, view, padding_of(frames))
    return Export(what, channel, file, frames)


def _exports(
    settings: Settings,
    scene: Scene,
    frames: Tuple[int, ...],
    keys: Tuple[int, ...],
    views: Tuple[Optional[str], ...],
) -> Tuple[Export, ...]:
    """Masks at their keys; holdouts on every frame that the engine runs."""
    span = tuple(range(min(frames + keys), max(frames + keys) + 1))
    names = object_names(settings)
    found = [_export("mask", _channel(settings, name), "mask_" + name, keys, scene, views) for name in names]
    for what, layers in (("inside", scene.inside_layers), ("outside", scene.outside_layers)):
        for name in names:
            if layers is not None and (not settings.objects or name in layers):
                found.append(_export(what, _channel(settings, name), "%s_%s" % (what, name), span, scene, views))
    return tuple(found)


def _channel(settings: Settings, name: str) -> str:
    return "%s.alpha" % name if settings.objects else RASTER


def _chunks(
    plate: Export, others: Tuple[Export, ...], frames: Tuple[int, ...], keys: Tuple[int, ...]
) -> Tuple[Chunk, ...]:
    """The keys and what follows them first, then what lies before: in the order in which the engine works."""
    first, last = plate.frames[0], plate.frames[-1]
    low, high = min(keys), min(last, max(keys) + FIRST_CHUNK - 1)
    chunks = [_chunk(plate, range(low, high + 1), others, frames, low, high)]
    size = FIRST_CHUNK
    while high < last or low > first:
        size *= 2
        if high < last:
            rendered = range(high + 1, min(last, high + size) + 1)
            high = rendered[-1]
        else:
            rendered = range(max(first, low - size), low)
            low = rendered[0]
        chunks.append(_chunk(plate, rendered, (), frames, low, high))
    return tuple(chunks)


def _chunk(
    plate: Export, rendered: range, others: Tuple[Export, ...], frames: Tuple[int, ...], low: int, high: int
) -> Chunk:
    export = dataclasses.replace(plate, frames=tuple(rendered))
    return Chunk((export,) + others, tuple(frame for frame in frames if low <= frame <= high))


# ------------------------------------------------------------------------------------------------------ jobs


def _job(plan: Plan, chunk: Chunk, view: Optional[str]) -> say.Job:
    settings, scene = plan.settings, plan.scene
    exports = plan.chunks[0].exports
    masks = [export for export in exports if export.what == "mask"]
    return say.Job(
        nonce=secrets.token_hex(16),
        plate=plan.plate,
        mask="",
        out=scene.matte,
        frames=chunk.frames,
        model=settings.model,
        options=_options(plan),
        delivery=say.Delivery(layout="layers" if settings.objects else "matte"),
        view=view,
        label=scene.node,
        priority="interactive",
        keys=tuple(say.KeyMask(mask.file, plan.keys, name) for mask, name in zip(masks, plan.objects)),
        objects=tuple(_object(name, exports) for name in plan.objects if _holdouts(name, exports)),
        pin_keys=settings.pin_keys,
    )


def _holdouts(name: str, exports: Tuple[Export, ...]) -> Dict[str, str]:
    """'inside' or 'outside' -> pattern, of one object."""
    found = {}
    for export in exports:
        named = os.path.basename(export.file).startswith("%s_%s." % (export.what, name))
        if export.what in ("inside", "outside") and named:
            found[export.what] = export.file
    return found


def _object(name: str, exports: Tuple[Export, ...]) -> say.ObjectOptions:
    held = _holdouts(name, exports)
    return say.ObjectOptions(name=name, inside=held.get("inside"), outside=held.get("outside"))


def _options(plan: Plan) -> say.Options:
    settings = plan.settings
    return say.Options(
        warm_up_passes=settings.settle if settings.settle >= 0 else None,
        working_size=QUALITIES[settings.quality],
        colorspace=plan.colorspace,
        mask_grow=settings.mask_grow,
        exposure=settings.exposure,
        region=_region(settings, plan.scene),
    )


def _region(settings: Settings, scene: Scene) -> Optional[str]:
    """Nuke counts rows from the bottom, the engine from the top. Raises PlanError for an empty box."""
    if settings.region != "box":
        return None if settings.region == "off" else settings.region
    left, bottom, right, top = (int(round(value)) for value in settings.region_box)
    if right <= left or top <= bottom:
        raise PlanError("a box with an inside, for 'region'", "an empty one", "Draw it, or choose off or follow.")
    return "%d,%d,%d,%d" % (left, scene.size[1] - top, right, scene.size[1] - bottom)


# ----------------------------------------------------------------------------------------------- run record


def settings_digest(settings: Settings) -> str:
    """Tells whether the knobs are those of the last run."""
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def record_text(plan: Plan, engine: str, written: int, unchanged: int, state: str) -> str:
    """The hidden knob that is saved with the script: what the mattes on disk were made with.

    Plain words: a text with braces or brackets is something else to a Nuke script.
    """
    said = (
        ("state", state),
        ("frames", describe_frames(plan.frames)),
        ("written", written),
        ("unchanged", unchanged),
        ("engine", engine),
        ("settings", settings_digest(plan.settings)),
    )
    return "; ".join("%s=%s" % pair for pair in said)


def read_record(text: str) -> Dict[str, str]:
    """{} where there is none, or one that cannot be read."""
    pairs = [part.partition("=") for part in text.split("; ")]
    return {name: value for name, equals, value in pairs if equals}


def staleness(settings: Settings, record: Dict[str, str]) -> str:
    """One line for the panel: whether the knobs have changed since the matte was made."""
    if not record:
        return "not matted yet"
    if record.get("settings") != settings_digest(settings):
        return "stale: a knob has changed since frames %s were matted" % record.get("frames", "?")
    return "%s: frames %s, engine %s" % (record.get("state"), record.get("frames", "?"), record.get("engine", "?"))
