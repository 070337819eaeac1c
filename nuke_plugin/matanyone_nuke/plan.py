# SPDX-License-Identifier: Apache-2.0
"""Decides what a run will do, from the knobs and the script around them, before anything is rendered or sent.

    Settings   the node's knobs            Scene   the script around it            Plan   exports, masks and jobs

jobs.py turns a Plan into the engine's words.

Rules of this file:
1. It imports no nuke and touches no disk: every decision can be tested with two values.
2. Frame numbers are the script's. The plate's frame N is the alpha's frame N, whatever was retimed upstream.
3. What cannot be done is a PlanError (expected, came, action) before the first frame is rendered.
4. Python 3.7: Nuke 13 runs it too.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .edges import check_edges
from .frames import (
    MOST_FRAMES,
    TOKEN,
    VIEW,
    PlanError,
    bad_range,
    frame_file,
    padding_of,
    parse_frames,
    with_view,
)

FIRST_CHUNK = 10
"""Exported frames after which the engine may begin; each further hand-over doubles, so no plate is read often."""
GUIDE_LOOKS_AROUND = 14
"""How many frames on either side have a say in what a guide says of a frame (matanyone_engine/media/guides.py)."""
QUALITIES = {"full": None, "1080": 1080, "720": 720, "480": 480}
"""For each value of the knob the limit of the shortest side that is computed."""
SUBJECT = "subject"
"""The object's name where there is one only."""
RASTER = "rgba.alpha"

_LAYER = re.compile(r"[A-Za-z_]\w*")
_ROLES = frozenset(["", "default", "scene_linear", "rendering", "compositing_linear"])
"""Names that mean another space in every OCIO config: nothing an engine could be told."""


@dataclass(frozen=True)
class Settings:
    """Holds the knobs as they stand; nothing is evaluated."""

    frames_from: str = "input"
    """'input', 'script' or 'list'."""
    frames: str = ""
    keys_from: str = "mask animation"
    """'mask animation', 'list' or 'current frame'."""
    keys: str = ""
    objects: str = ""
    """Layers of the mask input, one object each; '' is one object, from its alpha."""
    distractors: str = ""
    """Layers of the mask input that are followed only to keep the objects off them."""
    corrected: str = ""
    """Frames whose masks come from the corrections input."""
    colorspace: str = ""
    """An OpenColorIO name; '' takes what the script says."""
    model: str = "mini"
    quality: str = "full"
    region: str = "off"
    """'off', 'follow' or 'box'."""
    region_box: Tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """x, y, r, t in Nuke's pixels, from the bottom left."""
    warm_up: int = -1
    """Below 0: what suits the model."""
    mask_grow: int = 0
    exposure: float = 0.0
    auto_exposure: bool = True
    """Whether the engine finds the exposure where it is 0."""
    pin_keys: bool = False
    own_colour: bool = False
    core_edge: bool = False
    core_inset: int = 2
    """Pixels by which the core is drawn in, where there is one."""
    guide_band: int = -1
    """Pixels on either side of the guide's edge that are the network's; below 0: what suits the plate's size."""
    edge_deflicker: float = 0.0
    """This and those below: edges.py."""
    edge_despeckle: int = 0
    edge_solidify: float = 0.0
    edge_black_clip: float = 0.0
    edge_white_clip: float = 1.0
    edge_black_knee: float = 0.0
    edge_white_knee: float = 0.0
    edge_gamma: float = 1.0
    edge_grow: float = 0.0
    edge_blur: float = 0.0
    views: str = ""
    use_files: bool = True
    """Whether a plate that comes from a Read unchanged is sent as its path."""


@dataclass(frozen=True)
class PlateFiles:
    """Describes a Read whose pixels reach the node as they are on disk."""

    file: str
    first: int
    last: int
    colorspace: str
    """What its files are declared to be."""


@dataclass(frozen=True)
class Scene:
    """Describes what the node stands in, as found out on the main thread."""

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
    mask_layers: Optional[Tuple[str, ...]] = ()
    """None: nothing is connected, here and below."""
    inside_layers: Optional[Tuple[str, ...]] = None
    outside_layers: Optional[Tuple[str, ...]] = None
    corrections_layers: Optional[Tuple[str, ...]] = None
    guide_layers: Optional[Tuple[str, ...]] = None
    area_layers: Optional[Tuple[str, ...]] = None
    first_masks: Tuple[Tuple[str, Tuple[int, ...]], ...] = ()
    """Object, frames that have a first mask on disk."""


@dataclass(frozen=True)
class Export:
    """Names frames of one input that are to be rendered into files."""

    what: str
    """Which input: 'plate', 'mask', 'inside', 'outside', 'corrections', 'guide' or 'area'."""
    channel: str
    """'rgb', or the one channel that becomes the file's alpha."""
    file: str
    """With %0Nd for the frame; %V where there are views."""
    frames: Tuple[int, ...]
    object: str = ""

    @property
    def folder(self) -> str:
        return os.path.dirname(self.file)


@dataclass(frozen=True)
class Mask:
    """Names the files of one object's masks, and their key frames."""

    object: str
    file: str
    frames: Tuple[int, ...]


@dataclass(frozen=True)
class Chunk:
    """Says what is rendered next, and which alphas the engine can be asked for once it is there."""

    exports: Tuple[Export, ...]
    frames: Tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Describes a whole run."""

    settings: Settings
    scene: Scene
    frames: Tuple[int, ...]
    masks: Tuple[Mask, ...]
    views: Tuple[Optional[str], ...]
    """One job each; (None,) in a script with one view."""
    plate: str
    colorspace: str
    chunks: Tuple[Chunk, ...]
    unmasked: Tuple[str, ...] = ()
    """Objects whose mask is a frame of their guide, which guide_keys.py chooses once the guide is rendered."""
    whole: Tuple[int, ...] = ()
    """The frames of a full run, also where fewer are wanted: among them such a frame is chosen."""

    @property
    def objects(self) -> Tuple[str, ...]:
        return object_names(self.settings)

    @property
    def keys(self) -> Tuple[int, ...]:
        """Return all frames on which some object has a mask."""
        return tuple(sorted({frame for mask in self.masks for frame in mask.frames}))

    def first_file(self, view: Optional[str]) -> str:
        """Return the matte of the first frame."""
        return frame_file(with_view(self.scene.matte, view), self.frames[0])


# ---------------------------------------------------------------------------------------------------- the plan


def plan_run(settings: Settings, scene: Scene, only: Optional[Tuple[int, ...]] = None) -> Plan:
    """Decide what a run does. only: these alphas instead of the whole range. Raises PlanError."""
    check_matte(scene)
    check_edges(settings)
    whole = chosen_frames(settings, scene)
    frames = only or whole
    views = chosen_views(settings, scene)
    _check_objects(settings, scene)
    masks, inputs, of_guides = _masks(settings, scene, views)
    keys = tuple(frame for mask in masks for frame in mask.frames)
    keys += tuple(frame for named in of_guides.values() for frame in named)
    unmasked = tuple(name for name, named in of_guides.items() if not named)
    reach = frames + keys + (whole if unmasked else ())
    span = tuple(range(min(reach), max(reach) + 1))
    plate = plate_on_disk(settings, scene, span, views)
    guides = _guides(settings, scene, span, whole, views)
    masks += tuple(
        Mask(each.object, each.file, of_guides[each.object]) for each in guides if of_guides.get(each.object)
    )
    exports = inputs + _constraint_masks(settings, scene, span, views) + guides
    exports += _areas(settings, scene, _around(span, 1, whole), views)
    if plate is not None:
        chunks: Tuple[Chunk, ...] = (Chunk(exports, frames),)
    elif settings.edge_deflicker or scene.area_layers is not None or unmasked:
        # An edge is compared with the next frame's, and an area with that of the frame before; a key that a guide makes
        # may be any frame. A chunk that ends before these would end otherwise.
        rendered = _around(span, 1, whole)
        chunks = (Chunk((export_of("plate", "rgb", "", rendered, scene, views),) + exports, frames),)
    else:
        chunks = _chunks(export_of("plate", "rgb", "", span, scene, views), exports, frames, keys)
    file = plate.file if plate is not None else chunks[0].exports[0].file
    space = plate_space(settings, scene, plate)
    return Plan(settings, scene, frames, masks, views, file, space, chunks, unmasked, whole)


def check_matte(scene: Scene) -> None:
    """Refuse a matte that has no place to go, or no frame number in its name. Raises PlanError."""
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
    """Return whether a path is absolute on this system or on Windows: the engine may map it."""
    return os.path.isabs(path) or bool(re.match(r"[A-Za-z]:[/\\]|\\\\", path))


def chosen_frames(settings: Settings, scene: Scene) -> Tuple[int, ...]:
    """Return the alphas that a full run writes. Raises PlanError."""
    if settings.frames_from == "list":
        return parse_frames(settings.frames)
    first, last = scene.input_frames if settings.frames_from == "input" else scene.script_frames
    if last - first > MOST_FRAMES:
        raise bad_range("%d-%d" % (first, last), "more than a million frames")
    return tuple(range(first, last + 1))


def chosen_views(settings: Settings, scene: Scene) -> Tuple[Optional[str], ...]:
    """Return one view a job: those named, else all of them where the matte tells them apart, else the current one."""
    apart = bool(VIEW.search(scene.matte))
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


# ----------------------------------------------------------------------------------------- objects and their masks


def names_in(text: str) -> Tuple[str, ...]:
    """Read the names of layers in a knob."""
    return tuple(text.replace(",", " ").split())


def object_names(settings: Settings) -> Tuple[str, ...]:
    """Return the objects that get a matte; ('subject',) where the mask's alpha is the only one."""
    return names_in(settings.objects) or (SUBJECT,)


def followed(settings: Settings) -> Tuple[str, ...]:
    """Return all that is followed: the objects, then the distractors."""
    return object_names(settings) + names_in(settings.distractors)


def _channel(settings: Settings, name: str) -> str:
    return RASTER if name == SUBJECT and not settings.objects else "%s.alpha" % name


def _check_objects(settings: Settings, scene: Scene) -> None:
    """Check that objects and distractors are layers that are there, each once; a first mask does for an object without
    a layer.
    """
    drawn = {name for name, frames in scene.first_masks if frames}
    seen: Dict[str, str] = {}
    for knob in ("objects", "distractors"):
        for name in names_in(getattr(settings, knob)):
            if not _LAYER.fullmatch(name):
                raise PlanError("layer names of letters, digits and _", name, "Rename the layer.")
            if name in seen:
                raise PlanError("each name once", "%s in %s and in %s" % (name, seen[name], knob), "Take one out.")
            seen[name] = knob
            layers = scene.mask_layers or ()
            if name not in layers and name not in drawn:
                there = ", ".join(layer for layer in layers if layer != "rgba") or "none but rgba"
                raise PlanError("layers with an alpha on the mask input: " + there, name, "Correct '%s'." % knob)


def _masks(
    settings: Settings, scene: Scene, views: Tuple[Optional[str], ...]
) -> Tuple[Tuple[Mask, ...], Tuple[Export, ...], Dict[str, Tuple[int, ...]]]:
    """Return every object's masks, what has to be rendered for them, and objects whose mask is a frame of their guide,
    with these frames as far as the artist names them.

    On a frame that has several, a correction goes before a first mask, and that before the mask input.
    """
    corrected = _corrected(settings, scene)
    first_masks = _first_masks(scene, views)
    keys = _input_keys(settings, scene, bool(corrected or any(first_masks.values())))
    masks: List[Mask] = []
    exports: List[Export] = []
    of_guides: Dict[str, Tuple[int, ...]] = {}

    def rendered(what: str, name: str, frames: Tuple[int, ...]) -> None:
        if frames:
            exports.append(export_of(what, _channel(settings, name), name, frames, scene, views))
            masks.append(Mask(name, exports[-1].file, frames))

    for name in followed(settings):
        mended = corrected if name == SUBJECT or name in (scene.corrections_layers or ()) else ()
        drawn = tuple(frame for frame in first_masks.get(name, ()) if frame not in mended)
        rendered("corrections", name, mended)
        if drawn:
            masks.append(Mask(name, first_mask_file(scene.matte, name), drawn))
        if _on_the_input(settings, scene, name):
            rendered("mask", name, tuple(frame for frame in keys if frame not in mended + drawn))
        if not any(mask.object == name for mask in masks):
            if name not in _with_layer(settings, scene.guide_layers):
                raise PlanError(
                    "a mask of %s" % name, "none", "Connect one to 'mask', or make a first mask under Masks."
                )
            of_guides[name] = _named_keys(settings, scene)
    return tuple(masks), tuple(exports), of_guides


def _named_keys(settings: Settings, scene: Scene) -> Tuple[int, ...]:
    """Return the key frames that the artist names; nothing where the mask input's animation would tell them."""
    if settings.keys_from == "current frame":
        return (scene.frame,)
    return parse_frames(settings.keys) if settings.keys_from == "list" else ()


def _with_layer(settings: Settings, layers: Optional[Tuple[str, ...]]) -> Tuple[str, ...]:
    """Return the objects that an input shows. layers: of that input; None where nothing is connected."""
    if layers is None:
        return ()
    return tuple(name for name in object_names(settings) if not settings.objects or name in layers)


def _on_the_input(settings: Settings, scene: Scene, name: str) -> bool:
    """Return whether the mask input shows this object."""
    if scene.mask_layers is None:
        return False
    return _channel(settings, name) == RASTER or name in scene.mask_layers


def _input_keys(settings: Settings, scene: Scene, others: bool) -> Tuple[int, ...]:
    """Return the frames on which the mask input is used. others: whether there are masks from elsewhere."""
    if scene.mask_layers is None:
        return ()
    if settings.keys_from != "mask animation":
        return _named_keys(settings, scene)
    if not scene.mask_keys and not others:
        raise PlanError(
            "a mask with animation keys, for 'key frames: mask animation'",
            "none upstream of the mask input",
            "Set a key on the frame you drew, or choose 'list' or 'current frame'.",
        )
    return scene.mask_keys


def _corrected(settings: Settings, scene: Scene) -> Tuple[int, ...]:
    if not settings.corrected.strip():
        return ()
    if scene.corrections_layers is None:
        raise PlanError(
            "something on the input 'corrections'",
            "nothing, and corrected frames %s" % settings.corrected,
            "Connect the RotoPaint with the corrections, or empty 'corrected frames'.",
        )
    return parse_frames(settings.corrected)


def _first_masks(scene: Scene, views: Tuple[Optional[str], ...]) -> Dict[str, Tuple[int, ...]]:
    found = {name: frames for name, frames in scene.first_masks if frames}
    if found and len(views) > 1:
        raise PlanError(
            "masks for each view",
            "first masks, which were made on one view",
            "Name one view in 'views', or draw the masks in a Roto.",
        )
    return found


def first_mask_file(matte: str, name: str) -> str:
    """Return the pattern of an object's first masks: beside the matte. matte: evaluated, or as the knob says it."""
    return "%s/first_masks/%s.####.exr" % (matte.rpartition("/")[0], name)


def prompted_object(settings: Settings, said: str) -> str:
    """Return the object that a first mask is for. Raises PlanError for one that is not followed."""
    name = said.strip() or followed(settings)[0]
    if name not in followed(settings):
        raise PlanError(
            "one of " + ", ".join(followed(settings)), name, "Correct 'for object', or add it to 'objects'."
        )
    return name


# --------------------------------------------------------------------------------------------------------- plate


def plate_on_disk(
    settings: Settings, scene: Scene, span: Tuple[int, ...], views: Tuple[Optional[str], ...]
) -> Optional[PlateFiles]:
    """Return the plate's own files, if they may be sent as they are."""
    plate = scene.plate
    if plate is None or not settings.use_files or not _is_absolute(plate.file):
        return None
    if not (plate.first <= span[0] and span[-1] <= plate.last):
        return None  # Nuke holds or repeats a frame there: that is what the artist sees
    if views != (None,) and not VIEW.search(plate.file):
        return None
    return plate


def plate_space(settings: Settings, scene: Scene, plate: Optional[PlateFiles]) -> str:
    """Return what the plate's pixels are, as a name that means the same to the engine. Raises PlanError."""
    said = settings.colorspace or space_name(plate.colorspace if plate is not None else scene.working_space)
    if said in _ROLES:
        raise PlanError(
            "a colour space by name",
            "%r, which every OCIO config takes for another space" % said if said else "none, from the script",
            "Set 'colour space' to what the plate is: ACEScg, linear, LogC4.",
        )
    return said


def space_name(said: str) -> str:
    """Read 'default (ACES - ACEScg)' as 'ACES - ACEScg'; a plain name stays as it is."""
    match = re.search(r"\(([^()]+(?:\([^()]*\)[^()]*)*)\)\s*$", said)
    bare = said.partition("(")[0].strip()
    return match.group(1).strip() if match and bare in _ROLES else said.strip()


# ------------------------------------------------------------------------------------------------------- exports


def export_folder(matte: str) -> str:
    """Return where rendered inputs go: beside the matte, where the engine may read, apart for each matte's name."""
    name = TOKEN.split(os.path.basename(matte))[0].rstrip("._- ") or "matte"
    return os.path.dirname(matte).replace("\\", "/") + "/" + VIEW.sub("", name).rstrip("._- ") + "_export"


def export_of(
    what: str, channel: str, name: str, frames: Tuple[int, ...], scene: Scene, views: Tuple[Optional[str], ...]
) -> Export:
    """Return what to render of an input for an object: mask_hero.%04d.exr. name: '' for the plate."""
    stem = "%s_%s" % (what, name) if name else what
    view = "" if views == (None,) else ".%V"
    file = "%s/%s%s.%%0%dd.exr" % (export_folder(scene.matte), stem, view, padding_of(frames))
    return Export(what, channel, file, frames, name)


def _constraint_masks(
    settings: Settings, scene: Scene, span: Tuple[int, ...], views: Tuple[Optional[str], ...]
) -> Tuple[Export, ...]:
    """Return inside and outside masks of the objects, on every frame that the engine runs."""
    found = []
    for what, layers in (("inside", scene.inside_layers), ("outside", scene.outside_layers)):
        for name in _with_layer(settings, layers):
            found.append(export_of(what, _channel(settings, name), name, span, scene, views))
    return tuple(found)


def _guides(
    settings: Settings, scene: Scene, span: Tuple[int, ...], whole: Tuple[int, ...], views: Tuple[Optional[str], ...]
) -> Tuple[Export, ...]:
    """Return the guides of the objects, so far around the frames of the run as they have a say in them."""
    frames, guided = _around(span, GUIDE_LOOKS_AROUND, whole), _with_layer(settings, scene.guide_layers)
    return tuple(export_of("guide", _channel(settings, name), name, frames, scene, views) for name in guided)


def _areas(
    settings: Settings, scene: Scene, frames: Tuple[int, ...], views: Tuple[Optional[str], ...]
) -> Tuple[Export, ...]:
    """Return the areas in which alphas are solved along the plate; a frame on which one is black is left alone."""
    named = _with_layer(settings, scene.area_layers)
    return tuple(export_of("area", _channel(settings, name), name, frames, scene, views) for name in named)


def _around(span: Tuple[int, ...], reach: int, whole: Tuple[int, ...]) -> Tuple[int, ...]:
    """Return the span with what lies beside it in a run of everything."""
    first = min(span[0], max(span[0] - reach, min(whole)))
    last = max(span[-1], min(span[-1] + reach, max(whole)))
    return tuple(range(first, last + 1))


def _chunks(
    plate: Export, others: Tuple[Export, ...], frames: Tuple[int, ...], keys: Tuple[int, ...]
) -> Tuple[Chunk, ...]:
    """Return the keys and what follows them first, then what lies before: in the order in which the engine works."""
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
