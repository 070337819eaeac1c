# SPDX-License-Identifier: Apache-2.0
"""Finds which channels of which part of a file are the picture, by view, part and layer. It knows names only.

Rules of this file:
1. Channels are found by name, never by position.
2. No ambiguous choice is made here: if several pictures are equally possible, an error lists them. Two rules decide: R,
   G, B without a layer is preferred to layers, and the view that multiView names first to other views.
3. Names are read as OpenEXR has them: LAYER.VIEW.R in a part with multiView, a part's own view else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matanyone_engine.errors import BadInput, PlateError
from matanyone_engine.media.views import has_view

ALPHA_NAMES = frozenset({"a", "alpha"})
RGB_NAMES = (("r", "g", "b"), ("red", "green", "blue"))
LUMINANCE_NAMES = frozenset({"y", "l", "i", "luminance", "gray", "grey"})
_NO_LAYER = frozenset({"", "rgba", "rgb"})
"""The names that hosts give to the channels without a layer."""


@dataclass(frozen=True)
class Selection:
    """Names the picture of a file that was asked for; None means that the file decides.

    view:    'left', of a stereo file. part: a part's name. layer: the name before .R, .G, .B. by_path: the view chose
    the file (%V in the plate's name), so a file that names no views contains that view.
    """

    view: str | None = None
    part: str | None = None
    layer: str | None = None
    by_path: bool = False

    @classmethod
    def of(cls, plate: str, view: str | None, part: str | None, layer: str | None) -> Selection:
        """Return the choice for a plate's name, in which %V may stand for the view."""
        return cls(view, part, layer, by_path=has_view(plate))


@dataclass(frozen=True)
class Part:
    """Holds the names of one part of an OpenEXR file, or of one page of another file.

    view: the part's view attribute. views: the views of a part that has several, the default one first.
    """

    number: int
    name: str | None
    view: str | None
    views: tuple[str, ...]
    channels: tuple[str, ...]

    def owner(self, channel: str) -> tuple[str | None, str, str]:
        """Return (view, layer, component) of a channel: ('right', 'beauty', 'R') of 'beauty.right.R'."""
        layer, _, component = channel.rpartition(".")
        before, _, last = layer.rpartition(".")
        if last in self.views:
            return last, before, component
        return (self.views[0] if self.views else self.view), layer, component


@dataclass(frozen=True)
class PictureChannels:
    """Holds three channels of colour, or one of luminance, of one part."""

    part: Part
    view: str | None
    layer: str
    columns: tuple[int, ...]

    def __str__(self) -> str:
        """Return the choice as options of the command line."""
        named = (("--view", self.view), ("--part", self.part.name), ("--layer", self.layer))
        return " ".join(f"{option} {value}" for option, value in named if value) or "R, G, B"


def find_picture(parts: Sequence[Part], wanted: Selection, path: Path) -> PictureChannels:
    """Return the picture that was asked for. Raises PlateError if there is none, or if several are equally possible."""
    every = [picture for part in parts for picture in _coloured(part)] or [
        picture for part in parts for picture in _grey(part)
    ]
    if not every:
        raise PlateError(
            expected="channels R, G, B, one layer with them, or one luminance channel",
            came=f"{', '.join(name for part in parts for name in part.channels)} in {str(path)!r}",
            action="Write the plate with channels R, G and B.",
        )
    left = [picture for picture in every if _fits(picture, wanted)]
    if not left:
        asked = PictureChannels(Part(0, wanted.part, None, (), ()), wanted.view, wanted.layer or "", ())
        raise _unclear(f"{asked} in {str(path)!r}", every, "Choose one of those that the file has.")
    left = [picture for picture in left if picture.layer in _NO_LAYER] or left
    if len(left) > 1:
        left = [picture for picture in left if picture.view == default_view(parts)] or left
    if len(left) > 1 and any(part.name for part in parts):
        raise _unclear(f"one picture in {str(path)!r}", left, "Choose one: --view, --part or --layer.")
    if len({picture.layer for picture in left}) > 1:
        raise _unclear(f"one picture in {str(path)!r}", left, "Choose one: --layer.")
    return left[0]  # pages of a TIFF have no names to choose by: the first is the picture


def default_view(parts: Sequence[Part]) -> str | None:
    """Return the view that the file itself puts first (OpenEXR's multiView), None if it does not say."""
    return next((part.views[0] for part in parts if part.views), None)


def views_of(parts: Sequence[Part]) -> list[str]:
    """Return the views that a file names, in its own order, each once."""
    stated = [view for part in parts for view in (*part.views, *((part.view,) if part.view else ()))]
    return list(dict.fromkeys(stated))


def find_view(parts: Sequence[Part], view: str | None, path: Path, error: type[BadInput]) -> tuple[Part, list[int]]:
    """Return the part and the numbers of its channels that belong to a view; without views, all of the first part.

    view: None is the default view. Raises `error` if the file has views but not this one, or does not name its views.
    """
    views = views_of(parts)
    if not views:
        return parts[0], list(range(len(parts[0].channels)))
    view = view or default_view(parts) or (views[0] if len(views) == 1 else None)
    for part in parts:
        columns = [number for number, name in enumerate(part.channels) if part.owner(name)[0] == view]
        if columns:
            return part, columns
    raise error(
        expected=f"view {view!r}" if view else "a view to be named",
        came=f"{', '.join(views)} in {str(path)!r}",
        action="Choose one of them: --view.",
    )


def _coloured(part: Part) -> list[PictureChannels]:
    """Return every R, G, B of a part."""
    layers: dict[tuple[str | None, str], dict[str, int]] = defaultdict(dict)
    for column, name in enumerate(part.channels):
        view, layer, component = part.owner(name)
        if component.isupper() or component.lower() not in layers[view, layer]:  # R counts before r
            layers[view, layer][component.lower()] = column
    return [
        PictureChannels(part, view, layer, tuple(components[name] for name in triple))
        for (view, layer), components in layers.items()
        for triple in RGB_NAMES
        if all(name in components for name in triple)
    ]


def _grey(part: Part) -> list[PictureChannels]:
    """Return the luminance of a part, if it has no other colour."""
    colours = [column for column, name in enumerate(part.channels) if name.lower() not in ALPHA_NAMES]
    if len(colours) != 1 or part.channels[colours[0]].lower() not in LUMINANCE_NAMES:
        return []
    return [PictureChannels(part, part.owner("")[0], "", (colours[0],))]


def _fits(picture: PictureChannels, wanted: Selection) -> bool:
    return (
        (wanted.view is None or picture.view == wanted.view or (picture.view is None and wanted.by_path))
        and (wanted.part is None or picture.part.name == wanted.part)
        and (wanted.layer is None or picture.layer == wanted.layer or {picture.layer, wanted.layer} <= _NO_LAYER)
    )


def _unclear(expected: str, pictures: Sequence[PictureChannels], action: str) -> PlateError:
    listed = "; ".join(dict.fromkeys(str(picture) for picture in pictures[:20]))
    more = f" and {len(pictures) - 20} more" if len(pictures) > 20 else ""
    return PlateError(expected=expected, came=f"{listed}{more}", action=action)
