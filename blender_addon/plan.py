# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what the panel says into a job for the engine. It knows no bpy and no pixels, and of the disk only a folder
listing.

Rules of this file:
1. Frames are plate frames, the numbers in the file names. Scene frames are turned into them by SceneTime, once.
2. What cannot be right is refused here, before anything is sent, with what to do about it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from . import edges
from .engine.wire import messages as say
from .engine.wire.errors import Code, WireError

SUBJECT = "subject"
MOVIES = frozenset({".mov", ".mp4", ".m4v", ".mkv", ".avi", ".mxf", ".webm", ".mpg", ".mpeg"})
# The last field that is only a number, else the digits before the suffix; digits after a v are a version.
_FIELD = re.compile(r"(?:^|(?<=\.))-?[0-9]+(?=\.)")
_DIGITS = re.compile(r"(?<![0-9vV])[0-9]+(?=\.[^.]+$)")
_HASHES = re.compile(r"#+")
_CHOICE = re.compile(r"(\.[A-Za-z0-9]+)[:#][^\\/.]*$")
"""What follows a mask's file name to choose a layer or a label of it."""
_VERSION = "[0-9]+"
_UNKNOWN_SPACES = frozenset({"", "Non-Color", "Raw", "Generic Data", "Utility - Raw"})
_SPACES = {
    "Linear DCI-P3 D65": "lin_p3d65_scene",
    "Linear CIE-XYZ D65": "lin_ciexyzd65_scene",
    "Display P3": "srgb_p3d65_scene",
}
"""Blender's own names of colour spaces that the engine's config knows under another one: ids that both know."""

LAYOUTS = {
    "matte": ("One Each", "A file for each object, which holds its alpha and nothing else"),
    "layers": (
        "Layers",
        "One file for all objects, with the alpha of each in a layer that has the object's name. RGBA is all of them "
        "together. The node group of each object takes its own layer",
    ),
    "cryptomatte": (
        "Cryptomatte",
        "One file for all objects as a Cryptomatte, for programs that pick objects by name. Where objects overlap to "
        "more than 1, their alphas are scaled down to 1 together. The node group of each object picks its own",
    ),
}
"""What the files of a shot may hold, as the engine calls it: a name on the panel and a tooltip."""

HOLDS_ALL = frozenset({"layers", "cryptomatte"})
"""The layouts of which a file holds all objects."""
_ALL = "all"
"""What {object} stands for in the name of such a file."""
_LONGEST_LAYER = 26
_TAKEN_LAYERS = frozenset(
    [
        "a",
        "all",
        "alpha",
        "b",
        "backward",
        "core",
        "depth",
        "edge",
        "fg",
        "forward",
        "g",
        "mask",
        "motion",
        "none",
        "other",
        "r",
        "rgb",
        "rgba",
        "y",
        "z",
        "combined",
        "image",
    ]
)
"""Names that compositors mean something else by, so that the engine or Blender would not let an object have them."""

CONSTRAINTS = ("inside", "outside", "guide", "area")
"""The masks of an object that count on every frame, as their files are called: docs/guides.md, docs/refine_area.md."""

EDGES, ON_DISK = "the edges", "the mattes on disk"
"""Two of what stale_because() names."""

DOUBTFUL = 0.5
"""Alphas that are trusted less are pointed out, as the command line does (docs/confidence.md)."""

PRESETS = {
    "DRAFT": (
        "Draft",
        "270 lines, around the subject only: quick, to see whether the masks are good enough",
        270,
        "follow",
    ),
    "HD": (
        "HD",
        "1080 lines at most. For matanyone and matanyone2; mini was made for 432 lines and is slower here, not better",
        1080,
        "off",
    ),
    "FULL": (
        "Model's Own",
        "The size that the model was made for: 432 lines for mini, every line of the plate for matanyone and "
        "matanyone2. The alpha always has the plate's size, and its edge follows the plate's detail",
        0,
        "off",
    ),
}
"""For each preset its identifier, its name, what it is for, its working size (0: the model's own) and its region."""

LICENCES = {
    "mini": "Apache-2.0: free for paid work",
    "matanyone": "non-commercial research only",
    "matanyone2": "non-commercial research only",
}
"""Of the engine's models, as its docs say."""


_UNKNOWN_LICENCE = "licence: as its makers say"


def model_list(of_engine: Iterable[str], chosen: str) -> list[tuple[str, str]]:
    """Return the models to choose from, each with its licence: those that the engine has said it has, and the one that
    is chosen.

    of_engine: nothing where the engine has not answered yet; then those that come with it are listed.
    """
    names = list(of_engine) or ["mini"]
    return [(name, about_model(name, names)) for name in dict.fromkeys([*names, chosen])]


def about_model(name: str, of_engine: Iterable[str]) -> str:
    """Return a model's licence, or that the engine does not have it. of_engine: its models; nothing is not known."""
    models = list(of_engine)
    if models and name not in models and not _is_path(name):
        return f"the engine does not have it; it has {', '.join(models)}"
    return LICENCES.get(name, _UNKNOWN_LICENCE)


def short(name: str) -> str:
    """Return a model's name, or the file's where it is named by a path."""
    return re.split(r"[\\/]", name)[-1]


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name


def refused(message: str, action: str) -> WireError:
    """Return the error for something on the panel that cannot be right."""
    return WireError(Code.BAD_INPUT, message, action)


# ------------------------------------------------------------------------------------------------ names and frames


@dataclass(frozen=True)
class Numbered:
    """Names a file of a sequence: the pattern of all of them, and its own number."""

    pattern: str
    frame: int


def numbered(path: str) -> Numbered | None:
    """Split 'plate.1001.exr' into 'plate.####.exr' and 1001; return None for a movie or a name without a number."""
    name = re.split(r"[\\/]", path)[-1]
    if Path(name).suffix.lower() in MOVIES:
        return None
    found = list(_FIELD.finditer(name))[-1:] or list(_DIGITS.finditer(name))
    if not found:
        return None
    digits = found[0]
    width = len(digits[0].lstrip("-"))
    begin = len(path) - len(name)
    pattern = path[: begin + digits.start()] + "#" * width + path[begin + digits.end() :]
    return Numbered(pattern, int(digits[0]))


def name_of(pattern: str, path: str, taken: Container[str]) -> str:
    """Return a shot's name: that of its plate, or where that is taken, with its folder before it or a number behind
    it.
    """
    plain = re.split(r"[\\/]", pattern)[-1].split("#")[0].rsplit(".", 1)[0].rstrip("._-") or "shot"
    folder = re.split(r"[\\/]", path)[-2:][0]
    names = [plain, f"{folder}_{plain}", *(f"{folder}_{plain}_{number}" for number in range(2, 100))]
    return next((name for name in names if name not in taken), plain)


def file_of(pattern: str, frame: int) -> str:
    """Return the file of a frame: its number replaces the last run of #."""
    hashes = list(_HASHES.finditer(pattern))[-1]
    sign = "-" if frame < 0 else ""
    return f"{pattern[: hashes.start()]}{sign}{abs(frame):0{len(hashes[0])}d}{pattern[hashes.end() :]}"


def frames_on_disk(pattern: str) -> tuple[int, ...]:
    """Return the numbers of the files that are there, ascending."""
    folder, name = Path(pattern).parent, Path(pattern).name
    hashes = list(_HASHES.finditer(name))[-1]
    begins, ends = re.escape(name[: hashes.start()]), re.escape(name[hashes.end() :])
    number = re.compile(f"{begins}(-?[0-9]{{{len(hashes[0])},}}){ends}")
    if not folder.is_dir():
        return ()
    found = (number.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


@dataclass(frozen=True)
class SceneTime:
    """Says which plate frame a scene frame shows: scene frame `scene_start` shows plate frame `first`."""

    first: int
    scene_start: int

    def plate_frame(self, scene_frame: int) -> int:
        return scene_frame - self.scene_start + self.first

    def scene_frame(self, plate_frame: int) -> int:
        return plate_frame - self.first + self.scene_start


def shown_stretch(whole: tuple[int, ...], damaged: tuple[int, ...]) -> tuple[int, ...]:
    """Return the frames whose files Blender may read in one go: the most whole ones that no damaged one lies
    between.
    """
    between: list[list[int]] = [[]]
    for frame in sorted({*whole, *damaged}):
        if frame in damaged:
            between.append([])
        else:
            between[-1].append(frame)
    return tuple(max(between, key=len))


def presence(frames: tuple[int, ...]) -> tuple[tuple[int, bool], ...]:
    """Return where a sequence begins and ends: (frame, whether there are files from here on). frames: ascending."""
    changes: list[tuple[int, bool]] = []
    for frame in frames:
        if changes and changes[-1] == (frame, False):
            changes.pop()
        else:
            changes.append((frame, True))
        changes.append((frame + 1, False))
    return tuple(changes)


def stretches(frames: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return the first and the last frame of each stretch without a gap."""
    changes = [frame for frame, _ in presence(tuple(sorted(set(frames))))]
    return tuple((first, after - 1) for first, after in zip(changes[::2], changes[1::2], strict=True))


def coloured(frames: Iterable[int], sure: Mapping[int, float]) -> list[tuple[int, int, float | None]]:
    """Return the first and the last frame of each stretch of one confidence, to a twentieth; None where nobody knows
    it.
    """
    found: list[tuple[int, int, float | None]] = []
    for frame in sorted(frames):
        value = round(20 * sure[frame]) / 20 if frame in sure else None
        if found and found[-1][1] == frame - 1 and found[-1][2] == value:
            found[-1] = (found[-1][0], frame, value)
        else:
            found.append((frame, frame, value))
    return found


def tell_frames(frames: Iterable[int], most: int = 4) -> str:
    """Return frames as people say them: '1001-1003, 1007'; after so many stretches '...'."""
    pairs = stretches(frames)
    said = [str(first) if first == last else f"{first}-{last}" for first, last in pairs]
    return ", ".join(said[:most]) + (", ..." if len(said) > most else "")


@dataclass(frozen=True)
class Made:
    """Holds what the last run of a shot has left; it is kept in the scene."""

    patterns: dict[str, str]
    """The files of each object; they are relative to the .blend ('//') where the output is."""
    stretches: tuple[tuple[int, int], ...]
    """The first and last frame of each stretch of frames that are there."""
    outcome: str = "finished"

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(frame for first, last in self.stretches for frame in range(first, last + 1))

    def text(self) -> str:
        return json.dumps(asdict(self))


def made_from(text: str) -> Made | None:
    """Read what Made.text has saved; None where there is none. Version 0.1.0 kept the first and the last frame."""
    try:
        said = json.loads(text)
        pairs = said["stretches"] if "stretches" in said else [said["frames"]]
        return Made(said["patterns"], tuple((first, last) for first, last in pairs), said.get("outcome", "finished"))
    except (ValueError, TypeError, KeyError):
        return None


# ------------------------------------------------------------------------------------------------ the shot


@dataclass(frozen=True)
class KeyState:
    """Holds a mask on one plate frame; its file need not be there before the job is sent."""

    frame: int
    file: str
    object: str = SUBJECT


@dataclass(frozen=True)
class ObjectState:
    """Holds an object that is followed."""

    name: str = SUBJECT
    distractor: bool = False
    first: int | None = None
    last: int | None = None
    inside: str | None = None
    """Masks of where the object is for certain: a file, or a pattern with ####."""
    outside: str | None = None
    """Masks of where the object certainly is not."""
    guide: str | None = None
    """Rough masks of the object, a pattern with ####."""
    guide_band: int | None = None
    """Pixels by which the guide's edge may be wrong; None is what suits the plate."""
    area: str | None = None
    """Masks of where the alpha is solved along the plate, a pattern with ####."""
    edges: say.EdgeControls = edges.NO_EDGES
    """What the engine does to the edges of its alphas before it writes them."""


@dataclass(frozen=True)
class ShotState:
    """Holds all that the panel says. Paths are absolute."""

    name: str
    plate: str
    """A pattern with #### or a movie."""
    out: str
    keys: tuple[KeyState, ...]
    objects: tuple[ObjectState, ...] = (ObjectState(),)
    frames: tuple[int, int] | None = None
    """First and last plate frame; None is all there are."""
    colorspace: str | None = None
    """OpenColorIO name; None is what the file says of itself."""
    model: str = "mini"
    working_size: int = 0
    """Shortest side that is computed; 0 is the plate's."""
    region: str = "off"
    warm_up_passes: int | None = None
    """How often a masked frame is predicted again before the shot runs; None is what suits the model."""
    exposure: float | None = None
    """Stops; None leaves them to the engine."""
    mask_grow: int = 0
    refine: bool = True
    hold_tolerance: float = 0.0
    skip_missing: bool = False
    foreground: bool = False
    """Whether files hold the subject's own colour, straight, beside the alpha."""
    files: str = "matte"
    """What files hold where they do not hold the subject's own colour: one of LAYOUTS."""
    version: int = 0
    """What {version} stands for; 0 is the next free one."""

    @property
    def layout(self) -> str:
        """Return what the engine calls that which files hold."""
        return "foreground" if self.foreground else self.files


def check(state: ShotState) -> None:
    """Raise WireError for what the artist has to mend first."""
    if not state.plate:
        raise refused("expected a plate, got none", "Choose a movie clip or an image sequence in the panel.")
    if not state.keys and not unmasked(state):
        raise refused(
            "expected a mask on at least one frame, got none",
            "Draw the subject on the frame where it is seen best, and add that frame under Masks.",
        )
    if Path(state.out).suffix.lower() != ".exr" or "#" not in Path(state.out).name:
        raise refused(
            f"expected an output name such as {{shot}}.####.exr, got {Path(state.out).name!r}",
            "Put #### where the frame number belongs, and end the name in .exr.",
        )
    twice = [key for key in state.keys if sum((key.object, key.frame) == (k.object, k.frame) for k in state.keys) > 1]
    if twice:
        raise refused(
            f"expected one mask for an object and frame, got two of {twice[0].object} on {twice[0].frame}",
            "Remove one of them.",
        )
    _check_objects(state)


def _check_objects(state: ShotState) -> None:
    names = [each.name for each in state.objects]
    if len(set(names)) < len(names) or "" in names:
        raise refused(f"expected a name of its own for each object, got {', '.join(names)}", "Rename one.")
    without = [name for name in names if name not in {*(key.object for key in state.keys), *unmasked(state)}]
    if without:
        raise refused(f"expected a mask of {without[0]}, got none", "Add one, or remove the object.")
    unwritten = [each.name for each in state.objects if each.distractor and each.area]
    if unwritten:
        raise refused(
            f"expected a refine area of an object that gets a matte, got one of the distractor {unwritten[0]}",
            "Remove the area, or switch Distractor off.",
        )
    for each in state.objects:
        if not each.distractor:
            edges.check(each.name, each.edges)
    if state.foreground and state.files in HOLDS_ALL:
        raise refused(
            f"expected One Each under Settings > Files with Own Color, got {LAYOUTS[state.files][0]}",
            "Choose One Each, or switch Own Color off: colors under soft edges are estimated for one object a file.",
        )
    if len(followed(state)) > 1 and "{object}" not in state.out and state.layout not in HOLDS_ALL:
        raise refused(
            "expected {object} in the output name, since several objects are followed",
            "Write it where the object's name belongs: {shot}/{object}/{shot}_{object}.####.exr. "
            "Or choose Layers or Cryptomatte under Settings > Files, which put all objects into one file.",
        )
    if state.layout == "layers" or ("{object}" in state.out and state.layout not in HOLDS_ALL):
        _check_layer_names(names)


def _check_layer_names(names: Iterable[str]) -> None:
    """Raise WireError for names that the engine would change where they become names of layers or files."""
    seen: set[str] = set()
    for name in names:
        plain = name.lower()
        if len(name) > _LONGEST_LAYER or "__" in name or name.endswith("_") or plain in _TAKEN_LAYERS | seen:
            raise refused(
                f"expected an object's name that can also name a layer or a file, got {name!r}",
                f"Rename it: at most {_LONGEST_LAYER} letters and digits with single _ between them, not the name of "
                "another object but for capitals, and no word that compositors use otherwise, such as alpha or mask.",
            )
        seen.add(plain)


def unmasked(state: ShotState) -> dict[str, str]:
    """Return the guides of the objects that have a guide and no mask: a frame of it is their key (guide_keys.py)."""
    masked = {key.object for key in state.keys}
    return {each.name: each.guide for each in state.objects if each.guide and each.name not in masked}


def with_object(out: str) -> str:
    """Return an output name with {object} before its frame number, where it has none: a.####.exr becomes
    a_{object}.####.exr.
    """
    if "{object}" in out or "#" not in out:
        return out
    before, hashes, after = re.split(r"([._-]?#+)(?!.*#)", out, maxsplit=1)
    return f"{before}_{{object}}{hashes}{after}"


def preset_of(working_size: int, region: str) -> str:
    """Return which of the presets these settings are; '' for none of them."""
    return next((name for name, (_, _, *has) in PRESETS.items() if has == [working_size, region]), "")


def followed(state: ShotState) -> tuple[str, ...]:
    """Names of the objects that get a matte."""
    return tuple(each.name for each in state.objects if not each.distractor)


def space_of(blender_name: str) -> str:
    """Return Blender's name of a colour space as the engine takes it. Raises WireError."""
    if blender_name in _UNKNOWN_SPACES:
        raise refused(
            f"expected the plate's colour space, got {blender_name or 'none'!r}, which says that it is unknown",
            "Set the plate's Color Space in Blender, or name it in the panel under Color.",
        )
    return _SPACES.get(blender_name, blender_name)


def job_of(state: ShotState, first: tuple[int, ...] = ()) -> say.Job:
    """Return the job, ready to be sent once every object has a key. first: frames that are made before all others.
    Raises WireError.
    """
    check(state)
    frames = None if state.frames is None else tuple(range(state.frames[0], state.frames[1] + 1))
    if frames == ():
        first, last = state.frames or (0, 0)
        raise refused(f"expected a frame range, got {first} to {last}", "Set the end after the start.")
    plain = all(replace(each, edges=edges.NO_EDGES) == ObjectState(SUBJECT) for each in state.objects)
    only = state.keys[0] if len(state.keys) == 1 and plain and len(state.objects) == 1 else None
    shared = edges.shared(_edges(state))
    return say.Job(
        nonce=secrets.token_hex(16),
        plate=state.plate,
        mask=only.file if only else "",
        mask_frame=only.frame if only else None,
        out=state.out,
        frames=frames,
        missing="skip" if state.skip_missing else "error",
        model=state.model,
        options=_options(state),
        delivery=_delivery(state),
        keys=() if only else tuple(say.KeyMask(key.file, (key.frame,), key.object) for key in state.keys),
        objects=() if only else tuple(_object_options(each, own_edges=shared is None) for each in state.objects),
        first=first,
        edges=shared or edges.NO_EDGES,
        label=state.name,
        priority="interactive",
    )


def _edges(state: ShotState) -> dict[str, say.EdgeControls]:
    return {each.name: each.edges for each in state.objects if not each.distractor}


def _object_options(each: ObjectState, *, own_edges: bool) -> say.ObjectOptions:
    """Return what else the engine is to know of an object. own_edges: whether objects differ in their edge controls;
    engines before protocol 1.5 know controls of the whole job only.
    """
    return say.ObjectOptions(
        *(each.name, each.first, each.last, each.distractor),
        inside=each.inside,
        outside=each.outside,
        guide=each.guide,
        guide_band=each.guide_band,
        refine_area=each.area,
        edges=each.edges if own_edges and edges.changed(each.edges) and not each.distractor else None,
    )


def _delivery(state: ShotState) -> say.Delivery:
    """Return the values that tokens of the output's name stand for; the engine refuses a value that no token asks
    for.
    """
    return say.Delivery(
        layout=state.layout,
        shot=state.name if "{shot}" in state.out else None,
        version=state.version or None if "{version" in state.out else None,
    )


def _options(state: ShotState) -> say.Options:
    return say.Options(
        warm_up_passes=state.warm_up_passes,
        working_size=state.working_size or None,
        colorspace=state.colorspace,
        mask_grow=state.mask_grow,
        exposure=state.exposure,
        refine=state.refine,
        region=None if state.region == "off" else state.region,
        hold_tolerance=state.hold_tolerance,
    )


def only_frame(state: ShotState, frame: int) -> ShotState:
    """Return the same shot, of which one alpha is wanted."""
    return replace(state, frames=(frame, frame))


def masks_folder(out: str, shot: str) -> Path:
    """Return where the masks of a shot are written: beside its output, above the first folder that a token names."""
    path = Path(out)
    fixed = path.parent
    for parent in reversed(path.parents):
        if "{" in parent.name:
            fixed = parent.parent
            break
    return fixed / "masks" / (re.sub(r"[^\w.-]+", "_", shot) or "shot")


def constraint_files(folder: Path, name: str, side: str) -> str:
    """Return the pattern of the masks that an object has on every frame. folder: masks_folder(); side: of
    CONSTRAINTS.
    """
    return str(folder / f"{name}.{side}.####.exr")


def fixed_patterns(state: ShotState) -> dict[str, str]:
    """Return the files of each object; {} where the engine chooses the version, which is always one that is free."""
    if "{version" in state.out and not state.version:
        return {}
    return _patterns(state, state.version)


def patterns_of(state: ShotState, first_file: str) -> dict[str, str]:
    """Return the files of each object as this machine calls them. first_file: what the engine said that it writes
    first.

    The engine chooses the version; everything else of the name is known here.
    """
    found = re.search(_named(Path(state.out).as_posix(), state), first_file.replace("\\", "/"))
    version = int(found["version"]) if found and "version" in found.groupdict() else 0
    return _patterns(state, version)


def _patterns(state: ShotState, version: int) -> dict[str, str]:
    all_in_one = state.layout in HOLDS_ALL
    names = {name: _ALL if all_in_one else name for name in followed(state)}
    return {name: _with_tokens(state.out, state.name, token, version) for name, token in names.items()}


def _named(out: str, state: ShotState) -> str:
    """Return an expression for the end of the output's name, from its first token on; the first version of a token has
    a name.
    """
    pieces = [_piece(piece, state) for piece in re.split(r"(\{[^}]*\}|#+)", out)[1:]]
    if _VERSION in pieces:
        pieces[pieces.index(_VERSION)] = "(?P<version>[0-9]+)"
    return "".join(pieces) + "$"


def _piece(piece: str, state: ShotState) -> str:
    if piece.startswith("{version"):
        return _VERSION
    if piece.startswith("#"):
        return "-?[0-9]+"
    return {"{shot}": re.escape(_plain(state.name)), "{object}": "[A-Za-z0-9_]+"}.get(piece, re.escape(piece))


def _with_tokens(out: str, shot: str, name: str, version: int) -> str:
    """Fill in the tokens of a name as the engine does (docs/outputs.md)."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "version":
            return f"{version:0{match[2] or 1}d}"
        return {"shot": _plain(shot), "object": name}.get(match[1], match[0])

    return re.sub(r"\{(\w+)(?::0([1-9])d)?\}", replaced, out)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")


def supersampling(size: tuple[int, int]) -> int:
    """Return how much finer than the plate a mask is rasterised: Blender's rasteriser has hard edges, and memory has
    limits.

    It also draws clockwise splines without feather 0.42 of its own pixels too large, which this makes small.
    """
    pixels = size[0] * size[1]
    return next((factor for factor, most in ((16, 160_000), (8, 600_000), (4, 2_400_000)) if pixels <= most), 2)


# ------------------------------------------------------------------------------------------------ prompts


@dataclass(frozen=True)
class Pointing:
    """Holds what an artist has pointed at: positions 0..1 across the picture, from the bottom left, as Blender has
    them.
    """

    corners: tuple[tuple[float, float], tuple[float, float]] | None = None
    subject: tuple[tuple[float, float], ...] = ()
    other: tuple[tuple[float, float], ...] = ()

    start: str = ""
    """An alpha that is corrected: it stays as it is where no click is near."""

    def __bool__(self) -> bool:
        return self.corners is not None or bool(self.subject) or bool(self.start and self.other)

    def text(self) -> str:
        """Return what is kept with a key, so that the clicking can be taken up again."""
        return json.dumps(asdict(self))


def pointing_from(text: str) -> Pointing:
    """Read what Pointing.text has said; nothing where that is nothing."""
    try:
        said = json.loads(text)
        corners = said["corners"] and tuple((x, y) for x, y in said["corners"])
        subject, other = (tuple((x, y) for x, y in said[name]) for name in ("subject", "other"))
        return Pointing(corners, subject, other, said.get("start", ""))
    except (ValueError, TypeError, KeyError):
        return Pointing()


def prompt_of(
    pointing: Pointing, plate: str, frame: int, size: tuple[int, int], out: str, colorspace: str | None
) -> say.Prompt:
    """Return the request to the engine's mask service. size: the plate's width and height. Raises WireError."""
    if not pointing:
        raise refused("expected a box around the subject, or a click on it, got none", "Drag a box, or click.")
    strokes = [say.Stroke((_pixel(at, size),)) for at in pointing.subject]
    strokes += [say.Stroke((_pixel(at, size),), subject=False) for at in pointing.other]
    box = None if pointing.corners is None else box_of(pointing.corners, size)
    return say.Prompt(
        secrets.token_hex(16),
        plate,
        out,
        frame,
        box,
        tuple(strokes),
        colorspace=colorspace,
        start=pointing.start or None,
    )


def _pixel(at: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    """Return a position as a plate pixel from the top left, within the picture."""
    x, y = at[0] * size[0], (1 - at[1]) * size[1]
    return min(max(x, 0.0), size[0] - 0.001), min(max(y, 0.0), size[1] - 0.001)


def box_of(
    corners: tuple[tuple[float, float], tuple[float, float]], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Turn two corners, 0..1 from the bottom left, into left, top, right, bottom in plate pixels from the top left."""
    (ax, ay), (bx, by) = (_pixel(corner, size) for corner in corners)
    return int(min(ax, bx)), int(min(ay, by)), int(max(ax, bx)) + 1, int(max(ay, by)) + 1


# ------------------------------------------------------------------------------------------------ what has become of it


@dataclass(frozen=True)
class Record:
    """Holds what was run, kept in the scene: it tells whether the matte is still that of this plate, mask and
    setting.
    """

    job: str
    """Digest of the settings."""
    masks: str
    """Digest of what the masks are drawn of."""
    plate: str
    """Digest of the plate's files: names, sizes, times."""
    moving: dict[str, dict[str, str]] = field(default_factory=dict)
    """The names of animated masks, and for each the digests of what it is on scene frames."""
    keys: tuple[tuple[str, int], ...] = ()
    """Masks, and the scene frames on which they are used."""
    result: str = ""
    """Digest of what the run left on disk (ondisk.result_of)."""
    frames: tuple[int, ...] | None = None
    """First and last plate frame of the Range; None is the whole plate."""
    throughout: tuple[tuple[str, int, int], ...] = ()
    """Masks that count on every frame, and the first and the last scene frame of the plate."""
    files: str = ""
    """Digest of the mask files that the artist has named: names, sizes, times."""
    edges: str = ""
    """Digest of the edge controls; '' where none is changed, as in records of before there were any."""
    drawn: str = ""
    """Digest of the mask files that the run was given: names, sizes, times. '' is not known."""

    def text(self) -> str:
        """Return what is saved. Of movements it holds only the frames on which masks are used, so that it does not grow
        with the timeline.
        """
        used = {(name, str(frame)) for name, frame in self.keys}
        used |= {(name, str(frame)) for name, first, last in self.throughout for frame in range(first, last + 1)}
        moving = {
            name: {frame: looks for frame, looks in frames.items() if (name, frame) in used}
            for name, frames in self.moving.items()
        }
        return json.dumps({**asdict(self), "moving": moving})


def record_from(text: str) -> Record | None:
    """Read what Record.text has saved; None where there is none."""
    try:
        found = Record(**json.loads(text))
        frames = None if found.frames is None else tuple(found.frames)
        throughout = tuple((name, first, last) for name, first, last in found.throughout)
        keys = tuple((name, frame) for name, frame in found.keys)
        return replace(found, keys=keys, frames=frames, throughout=throughout)
    except (ValueError, TypeError):
        return None


def digest_of_settings(state: ShotState) -> str:
    """Changes whenever a setting does for which the network may have to run: the frame range and the edge controls do
    not count.
    """
    settings = asdict(replace(state, frames=None, version=0))
    if state.files == "matte":  # the digest is what it was before there was a choice
        del settings["files"]
    # Version 0.1.0 knew no automatic exposure. Its mattes count as made with it: on ordinary plates they were.
    settings["exposure"] = {None: 0.0, 0.0: "as it is"}.get(state.exposure, state.exposure)
    for each in settings["objects"]:  # without a guide or an area the digest is what it was before there were any
        if each["guide"] is None:
            del each["guide"], each["guide_band"]
        if each["area"] is None:
            del each["area"]
        del each["edges"]
    return digest(settings)


def digest_of_edges(state: ShotState) -> str:
    """Changes whenever the edge controls of an object do; '' where none is changed."""
    said = {name: edges.changed(controls) for name, controls in _edges(state).items()}
    said = {name: values for name, values in said.items() if values}
    return digest(said) if said else ""


def mask_files(state: ShotState) -> tuple[str, ...]:
    """Return all files and patterns that the engine reads as masks."""
    held = (path for each in state.objects for path in (each.inside, each.outside, each.guide, each.area))
    return (*(key.file for key in state.keys), *(path for path in held if path))


@dataclass(frozen=True)
class Drawn:
    """Holds what the mask of a key is made of."""

    object: str
    frame: int
    """The plate frame that the mask is of."""
    scene_frame: int
    mask: str = ""
    """The name of the Mask datablock; '' is an image."""
    looks: str = ""
    """A digest of the datablock as it is on the playhead's frame."""
    rest: tuple[object, ...] = ()
    """Everything else, which does not depend on the playhead."""


def digest_of_masks(drawn: Iterable[Drawn], moving: Container[str] = ()) -> str:
    """Changes whenever alphas would. moving: masks of which Record.moving tells."""
    return digest([_facts(each, each.mask in moving) for each in drawn])


def _facts(each: Drawn, moves: bool) -> dict[str, object]:
    """Return what a key's mask depends on: of a mask that moves not how it is at the playhead, of any other one neither
    its name nor its scene frame.
    """
    return asdict(replace(each, looks="") if moves else replace(each, mask="", scene_frame=0))


def keys_of(drawn: Iterable[Drawn]) -> tuple[tuple[str, int], ...]:
    """Return the keys as Record holds them."""
    return tuple((each.mask, each.scene_frame) for each in drawn if each.mask)


def with_what_is_seen(
    moving: dict[str, dict[str, str]], frame: int, seen: dict[str, str]
) -> tuple[dict[str, dict[str, str]], bool]:
    """Return movements with what masks are at the playhead, and whether that is news: then the rest may be old, too.

    seen: name of a mask -> its digest at the scene frame.
    """
    at, found, news = str(frame), dict(moving), False
    for name, digest_now in seen.items():
        frames = moving.get(name, {})
        news = news or frames.get(at, digest_now) != digest_now
        if at in frames:
            found[name] = {**frames, at: digest_now}
    return found, news


def digest_of_files(patterns: Iterable[str]) -> str:
    """Return a digest of mask files, as digest_of_plate does; '' where none is named. Of FILE:LAYER and FILE#LABEL the
    file counts.
    """
    every = sorted({_CHOICE.sub(r"\1", pattern) for pattern in patterns})
    return digest([digest_of_plate(pattern) for pattern in every]) if every else ""


def digest_of_plate(plate: str) -> str:
    """Names, sizes and times of the plate's files: asks the disk, so not for the main thread."""
    files = [file_of(plate, frame) for frame in frames_on_disk(plate)] if "#" in plate else [plate]
    facts = []
    for file in files:
        try:
            told = Path(file).stat()
        except OSError:
            continue
        facts.append((file, told.st_size, told.st_mtime_ns))
    return digest(facts)


def stale_because(now: Record, then: Record) -> tuple[str, ...]:
    """Return what has changed since the matte was made; it is up to date where that is empty."""
    changed = {
        "the settings": _differs(now.job, then.job),
        EDGES: now.edges != then.edges,
        "a mask": _differs(_masks(now, then), _masks(then, then)) or _differs(now.files, then.files),
        "the plate": _differs(now.plate, then.plate),
        "the range": wider(now.frames, then.frames),
        ON_DISK: _differs(now.result, then.result),
    }
    return tuple(what for what, has in changed.items() if has)


def _differs(one: str, other: str) -> bool:
    """Return whether two digests differ; '' stands for one that is not known, which differs from none."""
    return bool(one and other and one != other)


def wider(now: tuple[int, ...] | None, then: tuple[int, ...] | None) -> bool:
    """Return whether frames are asked for that the run did not make."""
    if then is None or now is None:
        return then is not None
    return now[0] < then[0] or now[-1] > then[-1]


def _masks(record: Record, then: Record) -> str:
    """Return a digest of masks where they are used: how an animated mask is between its keys does not matter."""
    places = [*then.keys, *((mask, at) for mask, first, last in then.throughout for at in range(first, last + 1))]
    used = [record.moving.get(mask, {}).get(str(frame), "") for mask, frame in places if mask in then.moving]
    return digest([record.masks, used])


def digest(what: object) -> str:
    """Return a digest of anything that JSON can say."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def doubtful(sure: dict[int, float], most: int = 3) -> tuple[int, ...]:
    """Return the frames to look at, the worst first. sure: for each frame how far its alphas can be trusted, 0 to 1."""
    return tuple(sorted((frame for frame in sure if sure[frame] < DOUBTFUL), key=lambda frame: sure[frame])[:most])


def told_reasons(frames: Iterable[int], reasons: Mapping[int, str]) -> tuple[str, ...]:
    """Return why to look at these frames, a line for each reason: '1003, 1007: The edge is wide and grey.'"""
    told: dict[str, list[int]] = {}
    for frame in frames:
        if reasons.get(frame):
            told.setdefault(reasons[frame], []).append(frame)
    return tuple(f"{tell_frames(there)}: {words}" for words, there in told.items())


def fault_in(log: str) -> str:
    """Return the line of a program's output that tells why it failed: Python's last exception, else the end."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    faults = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    return [*lines[-1:], *faults][-1] if lines else "it said nothing"


def tell_time(seconds: float) -> str:
    """Return seconds as people say them: '45 s', '3 min 20 s', '1 h 05 min'."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
