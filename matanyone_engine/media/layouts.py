# SPDX-License-Identifier: Apache-2.0
"""Decides which channels an output file has, from the requested delivery and the content of a frame.

    Delivery  +  FrameContent  ->  Picture  ->  mattes.write_picture()

Rules of this file:
1. The channels of a file depend on the layout and the names of the objects, never on pixels, so that all frames of a
   job have the same ones. An object that is missing on a frame gives zeros.
2. Alphas cover the plate's display window. If a layout shows the plate, its overscan is included, with alpha 0.
3. The plate's values are not changed, except by premultiplying where that is requested (table in docs/outputs.md).
4. Only what foreground.py estimates is called a foreground; plate times alpha is not.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from matanyone_engine.errors import BadResult, SettingError
from matanyone_engine.media.color import LinearLight
from matanyone_engine.media.cryptomatte import cryptomatte_attributes, cryptomatte_channels
from matanyone_engine.media.foreground import METHOD, check_choke, describe_split, estimate_foreground, split_matte
from matanyone_engine.media.half_float import LARGEST_LOST, halves
from matanyone_engine.media.headers import carried_attributes, provenance_attributes
from matanyone_engine.media.images import FLOAT_FORMATS, Attribute, DataWindow, FloatImage, PlateHeader, check_finite

SUBJECT = "subject"
"""The object's name where a shot has one object without a name."""

Depth = Literal["half", "float", "uint16"]
Channels = Mapping[str, FloatImage]
"""Channels by name, (H, W) float32, in the order they are written."""

LOSSLESS = ("none", "zips", "zip", "piz")
LOSSY = ("dwaa", "dwab")
COMPRESSIONS = (*LOSSLESS, *LOSSY)
DEPTHS = ("half", "float")

_EXR = (".exr",)
_TIFF = (".tif", ".tiff")

# Names of layers that have a meaning of their own in hosts, or in the engine's other layouts.
_TAKEN_LAYERS = frozenset(
    {"a", "all", "alpha", "b", "backward", "core", "depth", "edge", "fg", "forward", "g", "mask", "motion", "none"}
    | {"other", "r", "rgb", "rgba", "y", "z"}
)
# OpenEXR names of more than 31 bytes need a newer reader. Of these, ".A" and a number need a few.
_LONGEST_LAYER = 26


@dataclass(frozen=True)
class Delivery:
    """Says how alphas are to be written. Where a field is None, layout and plate decide.

    layout:      a name of LAYOUTS.
    compression: of .exr files, one of COMPRESSIONS; None is 'zips'.
    depth:       'half' or 'float' (.exr, and 'float' also .tif); None is half, or what holds the plate exactly.
    shot:        the text for {shot} in the output name; None takes it from the plate's name.
    version:     the number for {version} in the output name; None is the next free one.
    foreground:  whether the subject's unmixed colour is added to an .exr, straight, as fg.R, fg.G, fg.B.
    split:       pixels by which the core is shrunk where core.A and edge.A are added to an .exr; None adds neither.
    crop:        whether an .exr's data window is the smallest that holds all that is not 0.
    """

    layout: str = "matte"
    compression: str | None = None
    depth: str | None = None
    shot: str | None = None
    version: int | None = None
    foreground: bool = False
    split: int | None = None
    crop: bool = False

    @property
    def unmixes(self) -> bool:
        """Return whether a foreground is to be estimated."""
        return self.foreground or self.layout == "foreground"


@dataclass(frozen=True)
class FrameContent:
    """Holds the plate and the alphas of one frame.

    header: of the plate's file.
    alphas: (H, W) 0..1 over the display window, by object; objects that are missing here are black.
    plate:  (H, W, 3) the plate's own values over header.canvas; needed only where the plate is shown or unmixed.
    colour_id: the interop id of the plate's colour space, for files that show a plate whose header has none.
    light: converts a plate with a transfer curve to linear light and back; None where its values are linear light.
    """

    header: PlateHeader
    alphas: Mapping[str, FloatImage]
    plate: FloatImage | None = None
    colour_id: str = ""
    light: LinearLight | None = None


@dataclass(frozen=True)
class Picture:
    """Holds the pixels and the header of one file.

    channels: all of the size of data_window.
    straight: whether R, G, B are not multiplied by A.
    """

    channels: Channels
    display_window: DataWindow
    data_window: DataWindow
    depth: Depth
    compression: str
    straight: bool
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True)
class Layout:
    """Describes one way to lay an alpha out.

    about:       a text for the help.
    compose:     makes the file's channels, over the data window, from a frame's content and the objects' names.
    holds_all:   all objects are in one file; else each has a file of its own.
    shows_plate: R, G, B are the plate's colours: the file has its overscan and its colour attributes.
    straight:    R, G, B are not multiplied by A.
    """

    about: str
    compose: Callable[[FrameContent, Sequence[str]], Channels]
    holds_all: bool = False
    shows_plate: bool = False
    straight: bool = False
    suffixes: tuple[str, ...] = _EXR


# ------------------------------------------------------------------------------------------------------ the layouts


def _matte(content: FrameContent, objects: Sequence[str]) -> Channels:
    alpha = union([alpha_of(content, name) for name in objects])
    return dict.fromkeys("RGBA", alpha)


def _alpha_only(content: FrameContent, objects: Sequence[str]) -> Channels:
    return {"A": union([alpha_of(content, name) for name in objects])}


def _straight(content: FrameContent, objects: Sequence[str]) -> Channels:
    alpha = _on_canvas(union([alpha_of(content, name) for name in objects]), content.header)
    return {**{name: _plate(content)[..., column] for column, name in enumerate("RGB")}, "A": alpha}


def _plate(content: FrameContent) -> FloatImage:
    assert content.plate is not None, "this layout shows the plate"
    return content.plate


def _premultiplied(content: FrameContent, objects: Sequence[str]) -> Channels:
    straight = _straight(content, objects)
    return {name: plane if name == "A" else plane * straight["A"] for name, plane in straight.items()}


def _foreground(content: FrameContent, objects: Sequence[str]) -> Channels:
    alpha = _on_canvas(union([alpha_of(content, name) for name in objects]), content.header)
    unmixed = _unmixed(_plate(content), alpha, content.light)
    return {**{name: unmixed[..., column] for column, name in enumerate("RGB")}, "A": alpha}


def _layers(content: FrameContent, objects: Sequence[str]) -> Channels:
    layers = {f"{layer}.A": alpha_of(content, name) for name, layer in layer_names(objects).items()}
    return {**_matte(content, objects), **layers}


def _cryptomatte(content: FrameContent, objects: Sequence[str]) -> Channels:
    alphas = {name: alpha_of(content, name) for name in objects}
    return {**_matte(content, objects), **cryptomatte_channels(alphas)}


LAYOUTS: Mapping[str, Layout] = {
    "matte": Layout("R = G = B = A = alpha", _matte, suffixes=(*_EXR, ".png", *_TIFF)),
    "alpha": Layout("the alpha alone, as A", _alpha_only, suffixes=(*_EXR, ".png", *_TIFF)),
    "straight": Layout(
        "the plate's R, G, B as they are, and A",
        _straight,
        shows_plate=True,
        straight=True,
        suffixes=(*_EXR, ".png", *_TIFF),
    ),
    "premult": Layout("the plate's R, G, B times A, and A", _premultiplied, shows_plate=True, suffixes=(*_EXR, *_TIFF)),
    "foreground": Layout(
        "the subject's own colour as R, G, B, unmixed from the background, straight, and A",
        _foreground,
        shows_plate=True,
        straight=True,
        suffixes=(*_EXR, *_TIFF),
    ),
    "layers": Layout("one layer NAME.A per object; R = G = B = A = all of them", _layers, holds_all=True),
    "cryptomatte": Layout("objects as Cryptomatte; R = G = B = A = all of them", _cryptomatte, holds_all=True),
}


# -------------------------------------------------------------------------------------------------- before the work


def check_delivery(delivery: Delivery, suffix: str, header: PlateHeader, *, linear: bool) -> None:
    """Raise SettingError for a delivery that cannot be written, before any work.

    header: of a plate. linear: whether the plate's values are linear light.
    """
    suffix = suffix.lower()
    _check_choice("layout", delivery.layout, LAYOUTS)
    _check_choice("compression", delivery.compression, COMPRESSIONS)
    _check_choice("depth", delivery.depth, DEPTHS)
    layout = LAYOUTS[delivery.layout]
    if suffix not in layout.suffixes:
        raise _cannot(
            f"layout '{delivery.layout}' as {', '.join(layout.suffixes)}",
            suffix,
            "Give the output a name with one of these endings.",
        )
    if delivery.compression and suffix != ".exr":
        raise _cannot("--compression for .exr files only", f"{delivery.compression} for {suffix}", "Leave it out.")
    if suffix != ".exr":
        _check_sixteen_bit(delivery, layout, suffix, header)
    if delivery.layout == "cryptomatte":
        _check_cryptomatte(delivery)
    if delivery.layout == "premult" and not linear:
        raise _cannot(
            "a scene-linear plate to multiply by its alpha",
            "a plate in a space with a transfer curve",
            "Use --layout straight, and premultiply in your application after it has linearised the colours.",
        )
    _check_additions(delivery, suffix)


def _check_additions(delivery: Delivery, suffix: str) -> None:
    """Refuse --foreground, --split and --crop for files that cannot hold what they add."""
    additions = {
        "--foreground for .exr files, which have layers": delivery.foreground,
        "--split for .exr files, which have layers": delivery.split is not None,
        "--crop for .exr files, which have a data window": delivery.crop,
    }
    for expected, asked in additions.items():
        if asked and suffix != ".exr":
            raise _cannot(expected, suffix, "Give the output a name that ends in .exr.")
    if delivery.split is not None:
        check_choke(delivery.split)


def _check_choice(option: str, asked: str | None, choices: Iterable[str]) -> None:
    if asked is not None and asked not in choices:
        raise _cannot(f"{option} to be one of {', '.join(choices)}", repr(asked), "Choose one of them.")


def _check_sixteen_bit(delivery: Delivery, layout: Layout, suffix: str, header: PlateHeader) -> None:
    """Refuse a depth that a .png or .tif cannot have, and 16-bit integers, which hold 0 to 1, for a float plate."""
    if delivery.depth == "half" or (delivery.depth == "float" and suffix not in _TIFF):
        raise _cannot(
            "--depth half for .exr only, or --depth float for .exr and .tif",
            f"{delivery.depth} for {suffix}",
            "Leave it out.",
        )
    if layout.shows_plate and delivery.depth is None and header.pixel_format in FLOAT_FORMATS:
        raise _cannot(
            f"an output that holds the plate's {header.pixel_format} values",
            f"16-bit {suffix}, which clips them to 0..1",
            "Write .exr, or a .tif with --depth float.",
        )


def _check_cryptomatte(delivery: Delivery) -> None:
    """Refuse a Cryptomatte in half floats or with lossy compression: its ids are the bits of 32-bit floats."""
    if delivery.depth == "half" or delivery.compression in LOSSY:
        asked = delivery.compression if delivery.compression in LOSSY else "half"
        raise _cannot(
            "Cryptomatte as 32-bit floats with lossless compression", str(asked), "Leave --depth and --compression out."
        )


def _cannot(expected: str, came: str, action: str) -> SettingError:
    return SettingError(expected=expected, came=came, action=action)


def stored_depth(delivery: Delivery, suffix: str, header: PlateHeader) -> Depth:
    """Return the pixel type of the file: the requested one, else half where that holds all values exactly."""
    if suffix.lower() != ".exr":
        return "float" if delivery.depth == "float" else "uint16"
    if delivery.layout == "cryptomatte":
        return "float"
    if delivery.depth is not None:
        return "half" if delivery.depth == "half" else "float"
    return "float" if LAYOUTS[delivery.layout].shows_plate and header.pixel_format != "half" else "half"


# -------------------------------------------------------------------------------------------------------- a picture


def compose(
    delivery: Delivery, content: FrameContent, objects: Sequence[str], about: Mapping[str, str], suffix: str
) -> Picture:
    """Return the picture for one file of a frame. objects: those that the file holds, in the job's order.

    about: provenance, written as matanyone:<key>. Raises BadResult if an alpha does not fit the plate; PlateError if
    the plate is shown and has NaN or Inf in its overscan.
    """
    layout, header = LAYOUTS[delivery.layout], content.header
    for name in objects:
        _check_alpha(alpha_of(content, name), header)
    if layout.shows_plate:
        check_finite(_plate(content), header.path)
    depth = stored_depth(delivery, suffix, header)
    channels = {**layout.compose(content, objects), **_additions(delivery, content, objects, depth)}
    if suffix.lower() != ".exr" and not layout.shows_plate:
        channels = {"Y": channels["A"]}
    said = {
        **about,
        "layout": delivery.layout,
        "alphaMode": "straight" if layout.straight else "premultiplied",
        "objects": json.dumps(_object_channels(delivery, objects), ensure_ascii=False),
        **({"foreground": _method(content.light)} if delivery.unmixes else {}),
        **({"split": describe_split(delivery.split)} if delivery.split is not None else {}),
    }
    picture = Picture(
        channels=channels,
        display_window=header.display_window,
        data_window=header.canvas if layout.shows_plate else header.display_window,
        depth=depth,
        compression=delivery.compression or "zips",
        straight=layout.straight,
        attributes=(
            *carried_attributes(header, colour=layout.shows_plate, colour_id=content.colour_id),
            *provenance_attributes(said),
            *(cryptomatte_attributes(objects) if delivery.layout == "cryptomatte" else ()),
        ),
    )
    return cropped(picture) if delivery.crop else picture


def cropped(picture: Picture) -> Picture:
    """Return the picture with the smallest data window that holds all that is not 0; one pixel if everything is 0."""
    planes = {id(plane): plane for plane in picture.channels.values()}  # several channels may be one plane
    largest_zero = LARGEST_LOST if picture.depth == "half" else 0.0
    filled = np.any([np.abs(plane) > largest_zero for plane in planes.values()], axis=0)
    top, bottom = _span(filled.any(axis=1))
    left, right = _span(filled.any(axis=0))
    cut = {number: np.ascontiguousarray(plane[top:bottom, left:right]) for number, plane in planes.items()}
    x, y = picture.data_window[:2]
    return replace(
        picture,
        channels={name: cut[id(plane)] for name, plane in picture.channels.items()},
        data_window=DataWindow(x + left, y + top, right - left, bottom - top),
    )


def _span(there: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the index of the first true value, and the one after the last; (0, 1) where none is true."""
    found = np.flatnonzero(there)
    return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 1)


def raw_bytes(delivery: Delivery, objects: Sequence[str], header: PlateHeader, suffix: str) -> int:
    """Return the bytes that a pixel takes in a file without compression; 0 if the file is compressed."""
    if delivery.compression != "none":
        return 0
    point = replace(PlateHeader.plain(header.path, 1, 1), pixel_format=header.pixel_format)
    content = FrameContent(point, {}, np.zeros((1, 1, 3), np.float32))
    picture = compose(delivery, content, objects, {}, suffix)
    return len(picture.channels) * (4 if picture.depth == "float" else 2)


def _additions(
    delivery: Delivery, content: FrameContent, objects: Sequence[str], depth: Depth
) -> dict[str, FloatImage]:
    """Return the channels fg, core and edge of all objects together, over the data window."""
    alpha = union([alpha_of(content, name) for name in objects])
    over_canvas = LAYOUTS[delivery.layout].shows_plate
    added: dict[str, FloatImage] = {}
    if delivery.foreground:
        unmixed = (
            _unmixed(_plate(content), _on_canvas(alpha, content.header), content.light)
            if over_canvas
            else _unmixed(_in_display(_plate(content), content.header), alpha, content.light)
        )
        added.update({f"fg.{name}": unmixed[..., column] for column, name in enumerate("RGB")})
    if delivery.split is not None:
        # The alpha is split in the file's precision, so that core + edge is the alpha in the file.
        stored = _as_half(alpha) if depth == "half" else alpha
        parts = zip(("core.A", "edge.A"), split_matte(stored, delivery.split), strict=True)
        added.update({name: _on_canvas(part, content.header) if over_canvas else part for name, part in parts})
    return added


def _unmixed(plate: FloatImage, alpha: FloatImage, light: LinearLight | None) -> FloatImage:
    """Return the foreground in the plate's space. It is the plate wherever the alpha in the file is 1."""
    stored = _as_half(alpha)  # also for files in float, where the same alphas are 1
    if light is None:
        return estimate_foreground(plate, stored)
    unmixed = light.back(estimate_foreground(light.of(plate), stored))
    return np.where(stored[..., np.newaxis] >= 1.0, plate, unmixed)


def _method(light: LinearLight | None) -> str:
    return METHOD if light is None else f"{METHOD}; estimated in linear light, stored in {light.space}"


def _as_half(alpha: FloatImage) -> FloatImage:
    """Round values to half floats."""
    return halves(alpha).astype(np.float32)


def _object_channels(delivery: Delivery, objects: Sequence[str]) -> dict[str, str]:
    """Return the channel of each object's alpha."""
    if delivery.layout == "layers":
        return {name: f"{layer}.A" for name, layer in layer_names(objects).items()}
    return dict.fromkeys(objects, "CryptoObject" if delivery.layout == "cryptomatte" else "A")


def alpha_of(content: FrameContent, name: str) -> FloatImage:
    """Return an object's alpha, (H, W); black where it is missing."""
    alpha = content.alphas.get(name)
    if alpha is not None:
        return alpha
    width, height = content.header.resolution
    return np.zeros((height, width), np.float32)


def union(alphas: Sequence[FloatImage]) -> FloatImage:
    """Return one alpha for all objects. Coverages are added, since two objects cover different parts of a pixel."""
    return alphas[0] if len(alphas) == 1 else np.minimum(np.sum(alphas, axis=0, dtype=np.float32), np.float32(1.0))


def layer_names(objects: Sequence[str]) -> dict[str, str]:
    """Return a different name for each object that all hosts accept for a layer, and all systems in a file name.

    It has ASCII letters, digits and underscores, begins with a letter, and is no name with another meaning in hosts.
    """
    named: dict[str, str] = {}
    for name in objects:
        plain = _plain(name)
        candidates = (plain, *(f"{plain}_{number}" for number in range(2, len(objects) + 2)))
        used = {layer.lower() for layer in named.values()} | _TAKEN_LAYERS
        named[name] = next(layer for layer in candidates if layer.lower() not in used)
    return named


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", decomposed).strip("_")[:_LONGEST_LAYER]
    return plain if plain[:1].isalpha() else f"object_{plain}".rstrip("_")


def _on_canvas(alpha: FloatImage, header: PlateHeader) -> FloatImage:
    """Place an alpha of the display window on the canvas, with 0 in the overscan."""
    canvas, display = header.canvas, header.display_window
    if canvas == display:
        return alpha
    placed = np.zeros((canvas.height, canvas.width), np.float32)
    top, left = display.y - canvas.y, display.x - canvas.x
    placed[top : top + display.height, left : left + display.width] = alpha
    return placed


def _in_display(pixels: FloatImage, header: PlateHeader) -> FloatImage:
    """Return pixels of the canvas, (H, W, C), without the overscan."""
    canvas, display = header.canvas, header.display_window
    top, left = display.y - canvas.y, display.x - canvas.x
    return pixels[top : top + display.height, left : left + display.width]


def _check_alpha(alpha: FloatImage, header: PlateHeader) -> None:
    width, height = header.resolution
    if alpha.shape != (height, width):
        came = f"shape {alpha.shape}"
    elif not np.isfinite(alpha).all():
        came = f"{int((~np.isfinite(alpha)).sum())} pixels that are NaN or Inf"
    elif alpha.min() < 0.0 or alpha.max() > 1.0:
        came = f"values from {alpha.min():.6g} to {alpha.max():.6g}"
    else:
        return
    raise BadResult(
        expected=f"an alpha of {width}x{height} pixels, 0 to 1, for {str(header.path)!r}",
        came=came,
        action="Nothing was written for this frame. This is a defect of the engine: report it with the log.",
    )
