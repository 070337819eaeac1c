# SPDX-License-Identifier: Apache-2.0
"""Finds by name which channels of a mask file may be the mask, and reads the names of mask files. No pixel is read.

docs/masks.md states the rule for artists. In short: a layer's matte is its alpha, its luminance, its R, G, B where they
are one grey, or another channel of its own. Depth, normals, motion, UV and Cryptomatte channels are no mattes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from matanyone_engine.media.channels import ALPHA_NAMES, LUMINANCE_NAMES, RGB_NAMES, Part
from matanyone_engine.media.sequence import READABLE_SUFFIXES

_TECHNICAL = frozenset({"x", "y", "z", "zback", "depth", "u", "v", "w", "ry", "by", "id"})
"""Components that are places, directions, distances or ids, not coverage."""
_CRYPTOMATTE = re.compile(r"(.*\.)?[^.]*crypto[^.]*", re.IGNORECASE)

_SUFFIXES = "|".join(sorted(suffix[1:] for suffix in READABLE_SUFFIXES))
_NAME = re.compile(
    rf"(?P<file>.+\.(?:{_SUFFIXES}))(?::(?P<layer>[^/\\:#]+))?(?:#(?P<label>[0-9A-Fa-f]+))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class MaskSource:
    """Names a mask file, and what in it is the mask where its writer says so.

    path:  the file, or a pattern of files with ####.
    layer: a layer, a channel or a part of the file; '' leaves it to the rule.
    label: one label of a label map, '2' or a colour such as '800000'; '' where the file is no label map.
    label_may_be_absent: whether a label map without that label is a black mask, as on a frame that the subject has
           left; else it is an error.
    """

    path: Path
    layer: str = ""
    label: str = ""
    label_may_be_absent: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, text: str | Path) -> MaskSource:
        """Read 'roto.exr', 'roto.exr:hero.A', 'labels.png#2'. A file that is called exactly so is taken as it is."""
        match = _NAME.fullmatch(str(text))
        if match is None or not (match["layer"] or match["label"]) or _exists(Path(text)):
            return cls(Path(text))
        return cls(Path(match["file"]), match["layer"] or "", (match["label"] or "").lower())

    def at(self, path: Path) -> MaskSource:
        """Return the same choice in another file: one of the pattern's."""
        return replace(self, path=path)

    @property
    def choice(self) -> str:
        """Returns what follows the file's name: ':hero.A', '#2', or ''."""
        return (f":{self.layer}" if self.layer else "") + (f"#{self.label}" if self.label else "")

    @property
    def name(self) -> str:
        """Returns the file's name without its folder, and the choice."""
        return f"{self.path.name}{self.choice}"

    def __str__(self) -> str:
        return f"{self.path}{self.choice}"


@dataclass(frozen=True)
class MatteChannels:
    """Names one channel, or three of one grey, that may be the mask.

    name: as an artist writes it behind the file: 'A', 'roto.A', 'RGB', 'roto.RGB'.
    """

    part: Part
    layer: str
    name: str
    columns: tuple[int, ...]

    @property
    def is_alpha(self) -> bool:
        return len(self.columns) == 1 and self.name.rpartition(".")[2].lower() in ALPHA_NAMES


def mattes_of(parts: Sequence[tuple[Part, Sequence[int]]]) -> list[MatteChannels]:
    """Return every matte that the names allow, in the file's order; within a layer alpha, luminance, R G B, others.

    parts: each part with the numbers of its channels that belong to the view.
    A file of a single channel has that one, whatever its name.
    """
    if sum(len(columns) for _, columns in parts) == 1:
        return single_channels(parts)
    return [matte for part, columns in parts for matte in _of_part(part, columns)]


def single_channels(parts: Sequence[tuple[Part, Sequence[int]]]) -> list[MatteChannels]:
    """Return every channel alone, so that an artist can name any of them."""
    return [
        MatteChannels(part, part.owner(part.channels[column])[1], part.channels[column], (column,))
        for part, columns in parts
        for column in columns
    ]


def named(mattes: Sequence[MatteChannels], wanted: str) -> list[MatteChannels]:
    """Return the mattes of that name; a part's name may stand before it. Capitals count only where both exist."""
    found = [matte for matte in mattes if wanted in _names(matte)]
    lower = wanted.lower()
    return found or [matte for matte in mattes if lower in {name.lower() for name in _names(matte)}]


def in_layer(mattes: Sequence[MatteChannels], wanted: str) -> list[MatteChannels]:
    """Return the mattes of the layer or part of that name."""
    lower = wanted.lower()
    return [
        matte
        for matte in mattes
        if lower in {matte.layer.lower(), (matte.part.name or "").lower(), f"{matte.part.name}.{matte.layer}".lower()}
    ]


def _names(matte: MatteChannels) -> tuple[str, ...]:
    return (matte.name, f"{matte.part.name}.{matte.name}") if matte.part.name else (matte.name,)


def _of_part(part: Part, columns: Sequence[int]) -> list[MatteChannels]:
    layers: dict[str, dict[str, int]] = defaultdict(dict)
    for column in columns:
        _, layer, component = part.owner(part.channels[column])
        layers[layer][component.lower()] = column
    return [matte for layer, components in layers.items() for matte in _of_layer(part, layer, components)]


def _of_layer(part: Part, layer: str, components: dict[str, int]) -> list[MatteChannels]:
    if _CRYPTOMATTE.fullmatch(layer or part.name or "") or {"u", "v"} <= components.keys():
        return []
    colours = next((triple for triple in RGB_NAMES if all(name in components for name in triple)), ())
    vector = "x" in components or {"ry", "by"} & components.keys()
    alphas = [name for name in components if name in ALPHA_NAMES]
    greys = [name for name in components if name in LUMINANCE_NAMES and not vector and name not in colours]
    others = [
        name for name in components if name not in _TECHNICAL | ALPHA_NAMES | LUMINANCE_NAMES and name not in colours
    ]
    chosen: list[tuple[int, ...]] = [(components[name],) for name in (*alphas, *greys)]
    chosen += [tuple(components[name] for name in colours)] if colours else []
    chosen += [(components[name],) for name in others]
    return [MatteChannels(part, layer, _name(part, layer, columns), columns) for columns in chosen]


def _name(part: Part, layer: str, columns: tuple[int, ...]) -> str:
    if len(columns) == 1:
        return part.channels[columns[0]]
    return f"{layer}.RGB" if layer else "RGB"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
