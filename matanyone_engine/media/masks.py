# SPDX-License-Identifier: Apache-2.0
"""Reads masks, constraint masks and delivered alphas from image files.

Rules of this file:
1. Which channel is the mask is decided as in docs/masks.md: by names (mask_channels.py), then by what channels show.
2. A file that leaves a choice is refused, with the names to choose from. A picture is never taken for a mask.
3. A label map is recognised and refused until one label is chosen (label_maps.py).
4. Nothing is stretched, and soft edges stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from matanyone_engine.errors import MaskError
from matanyone_engine.media.channels import Part, find_view, views_of
from matanyone_engine.media.images import (
    FLOAT_FORMATS,
    FloatImage,
    ImageChannels,
    check_canvas,
    check_is_one_picture,
    check_plain_pixels,
    into_display,
    open_image,
    parts_of,
    read_data,
)
from matanyone_engine.media.label_maps import (
    Codes,
    colours_in,
    hard_numbers,
    indices_of,
    numbers_in,
    of_colour,
    palette_of,
)
from matanyone_engine.media.mask_channels import MaskSource, MatteChannels, in_layer, mattes_of, named, single_channels
from matanyone_engine.sizes import Resolution

BLACKEST_MASK = 1.5 / 255.0
"""A mask without a greater value counts as black. It is 1/255 and half an 8-bit step, which allows for rounding."""
MASK_ROUNDING = 1e-3
"""How far values of a float mask may lie outside of 0..1, as after rounding to half or resampling."""
_NEARLY = 0.02
"""The largest change by a lossy codec. An alpha of 1 - _NEARLY counts as 1, and channels that differ by it as equal."""
_SAME = 1.5 / 255.0
"""The largest difference, a rounding to 8 bits, of two mattes that count as one."""
REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_MOST_NAMED = 12
"""Labels or channels that a message lists."""


def read_mask(source: Path | MaskSource, plate: Resolution, view: str | None = None) -> FloatImage:
    """Read a mask, (H, W) float32 0..1, soft edges kept.

    source: the file, perhaps with a chosen layer or label. plate: the size that the mask must have.
    view: which view's mask to read from a file with several views. A file without views has one mask for all.
    Raises MaskError: unreadable, of another size, several mattes to choose from, a picture, a label map, NaN, values
    outside 0..1, black (nothing above 1.5/255), or without that view.
    """
    source = _as_source(source)
    mask, channel = _read(source, plate, view)
    checked = _check_range(mask, source, channel)
    if checked.max() <= BLACKEST_MASK:
        raise _bad_mask(source, channel, f"a black mask (no value is above {checked.max():.4g})")
    return checked


def read_constraint_mask(source: Path | MaskSource, plate: Resolution, view: str | None = None) -> FloatImage:
    """Read a mask that may be black: (H, W) float32 0..1, as read_mask() does otherwise. Raises MaskError."""
    source = _as_source(source)
    mask, channel = _read(source, plate, view)
    return _check_range(mask, source, channel)


def read_alpha(path: Path) -> FloatImage:
    """Read an alpha as it was delivered, (H, W) float32 0..1; it may be black.

    The channel is A, unless that is 1 everywhere; else Y; else the luminance of R, G, B; else the only channel.
    Layers are ignored. Raises MaskError for a file that is unreadable, has no such channel, has NaN, or has values
    outside 0..1.
    """
    source = MaskSource(path)
    with open_image(path, MaskError) as image:
        mattes = [_Matte(path, image, spec, each) for spec, each in _candidates(source, image, None)]
        plain = [matte for matte in mattes if not matte.channels.layer] or mattes
        found = next((matte for matte in plain if not (matte.is_solid_alpha and len(plain) > 1)), None)
        if found is None:
            raise _no_mask(source, "no A, Y or R, G, B")
        alpha, name = found.luminance, found.channels.name
    return _check_range(alpha, source, name)


def _as_source(source: Path | MaskSource) -> MaskSource:
    return source if isinstance(source, MaskSource) else MaskSource(source)


def _read(source: MaskSource, plate: Resolution, view: str | None) -> tuple[FloatImage, str]:
    """Return the mask's values, not yet checked, and the name of the channel they are from."""
    with open_image(source.path, MaskError) as image:
        candidates = _candidates(source, image, view)
        for spec, _ in candidates:
            _check_spec(source, spec, plate)
        matte, forced = _chosen(source, image, candidates)
        return _values(source, matte, forced=forced), matte.channels.name


def _check_spec(source: MaskSource, spec: Any, plate: Resolution) -> None:
    check_plain_pixels(source.path, spec, MaskError)
    if (spec.full_width, spec.full_height) != plate:
        raise MaskError(
            expected=f"a mask of the plate's size, {plate}",
            came=f"{spec.full_width}x{spec.full_height} in {str(source.path)!r}",
            action="Render the mask at the plate's size; it is never stretched.",
        )
    check_canvas(source.path, spec, MaskError)


# ------------------------------------------------------------------------------------------------------- choosing


@dataclass(frozen=True)
class _Matte:
    """Holds a matte of an open file, whose pixels are read when they are needed."""

    path: Path
    image: Any
    spec: Any
    channels: MatteChannels

    @property
    def kind(self) -> str:
        """Returns how the first channel is stored: 'half', 'uint8' ..."""
        return str(self.spec.channelformat(self.channels.columns[0]))

    @cached_property
    def _where(self) -> ImageChannels:
        return ImageChannels(self.path, self.image, self.channels.part.number, self.spec, self.channels.columns)

    @cached_property
    def pixels(self) -> FloatImage:
        """Returns (H, W, 1 or 3) over the display window, 0 outside the data window."""
        return into_display(self._where, self.stored)

    @cached_property
    def stored(self) -> FloatImage:
        """Returns (H, W, 1 or 3) over the data window alone."""
        return read_data(self._where, MaskError)

    @cached_property
    def codes(self) -> Codes:
        """Returns (H, W) of the first channel over the display window, as stored."""
        if self.kind in ("uint", "uint32"):
            return np.asarray(into_display(self._where, read_data(self._where, MaskError, oiio.UINT32))[..., 0])
        if self.kind in FLOAT_FORMATS:
            return self.pixels[..., 0]
        bits = self.spec.get_int_attribute("oiio:BitsPerSample", 0)  # a PNG of 4 bits comes as 17, 34 ... of 255
        top = 2**bits - 1 if 0 < bits < 8 else 255 if self.kind == "uint8" else 65535
        codes = np.rint(self.pixels[..., 0] * np.float64(top)).astype(np.uint32)
        return codes * np.uint32(255) // np.uint32(top) if top < 255 and top in codes else codes

    @cached_property
    def luminance(self) -> FloatImage:
        """Returns (H, W): the value that R, G and B share, bit for bit; their Rec.709 luminance if they differ."""
        first = self.pixels[..., 0]
        if self.pixels.shape[2] == 1 or all((first == self.pixels[..., other]).all() for other in (1, 2)):
            return first
        return self.pixels @ REC709_LUMINANCE

    @cached_property
    def is_grey(self) -> bool:
        pixels = self.pixels
        return pixels.shape[2] == 1 or bool((np.ptp(pixels, axis=2) <= _NEARLY).all())

    @cached_property
    def is_solid_alpha(self) -> bool:
        """Returns whether this is an alpha that is 1, or nearly, wherever the file has pixels: it is no mask."""
        return self.channels.is_alpha and bool((self.stored >= 1.0 - _NEARLY).all())

    @cached_property
    def is_flat(self) -> bool:
        """Returns whether the matte has one value wherever the file has pixels."""
        return bool((self.stored == self.stored[:1, :1]).all()) or self.is_solid_alpha

    def explains(self, other: _Matte) -> bool:
        """Return whether a grey picture of the same layer shows nothing but this alpha: it is one grey, either all over
        or multiplied by the alpha.
        """
        if not self.channels.is_alpha or (self.channels.part, self.channels.layer) != (
            other.channels.part,
            other.channels.layer,
        ):
            return False
        alpha, grey = self.luminance, other.luminance
        inside, outside = grey[alpha > 0], grey[alpha <= 0]
        if inside.size and np.ptp(inside) <= _SAME and (not outside.size or np.ptp(outside) <= _SAME):
            return True
        solid = grey[alpha >= 1.0 - _NEARLY]
        level = float(np.median(solid)) if solid.size else 1.0
        return bool(np.abs(grey - alpha * level).max() <= _SAME)

    def shows_the_same_as(self, other: _Matte) -> bool:
        return bool(np.abs(self.luminance - other.luminance).max() <= _SAME)


def _candidates(source: MaskSource, image: Any, view: str | None) -> list[tuple[Any, MatteChannels]]:
    """Return the mattes that names allow, each with OpenImageIO's description of its part."""
    every = parts_of(image)
    check_is_one_picture(source.path, image, every, MaskError)
    parts = _of_view(source, every, view)
    found = mattes_of(parts) or (single_channels(parts) if source.layer else [])
    specs = {part.number: spec for part, spec in every}
    if source.layer:
        found = named([*found, *single_channels(parts)], source.layer)[:1] or in_layer(found, source.layer)
    elif any(str(specs[each.part.number].channelformat(each.columns[0])) != "uint" for each in found):
        # Integers beside other channels are ids and no mattes; alone in their file they are a label map.
        found = [each for each in found if str(specs[each.part.number].channelformat(each.columns[0])) != "uint"]
    if not found:
        listed = [part.channels[column] for part, columns in parts for column in columns]
        raise _no_mask(source, f"channels {_some(listed)}")
    return [(specs[each.part.number], each) for each in found]


def _of_view(
    source: MaskSource, every: Sequence[tuple[Part, Any]], view: str | None
) -> list[tuple[Part, Sequence[int]]]:
    """Return the parts with the numbers of their channels that belong to a view; of unnamed pages only the first."""
    parts = [part for part, _ in every]
    first, columns = find_view(parts, view, source.path, MaskError)
    if not views_of(parts):
        return [(part, range(len(part.channels))) for part in parts if part.name or part is parts[0]]
    view = first.owner(first.channels[columns[0]])[0]
    found = [(part, [at for at, name in enumerate(part.channels) if part.owner(name)[0] == view]) for part in parts]
    return [(part, columns) for part, columns in found if columns]


def _chosen(source: MaskSource, image: Any, candidates: Sequence[tuple[Any, MatteChannels]]) -> tuple[_Matte, bool]:
    """Return the matte to use, and whether the artist named it as a channel, which no rule overrides."""
    mattes = [_Matte(source.path, image, spec, each) for spec, each in candidates]
    if source.layer and len(mattes) == 1:
        return mattes[0], mattes[0].channels in named([mattes[0].channels], source.layer)
    mattes = [matte for matte in mattes if not (len(mattes) > 1 and matte.is_solid_alpha)] or mattes[:1]
    greys = [matte for matte in mattes if matte.is_grey]
    if not greys:
        return mattes[0], False  # a map of colours, or a picture
    showing = [matte for matte in greys if not matte.is_flat] or greys[:1]
    left: list[_Matte] = []
    for matte in showing:
        if not any(kept.shows_the_same_as(matte) or kept.explains(matte) for kept in left):
            left.append(matte)
    if len(left) > 1:
        raise _several(source, left)
    return left[0], False


# --------------------------------------------------------------------------------------------------------- values


def _values(source: MaskSource, matte: _Matte, *, forced: bool) -> FloatImage:
    """Return (H, W) of the matte, or of one label of it. Raises MaskError."""
    indices = _indices(matte)
    if indices is not None:
        return _of_number(source, indices, numbers_in(indices, "uint32"), "a palette")
    if not matte.is_grey:
        return _of_colours(source, matte)
    labels = [] if forced and not source.label and matte.kind != "uint" else numbers_in(matte.codes, matte.kind)
    if labels or source.label:
        stored = "32-bit integers" if matte.kind in ("uint", "uint32") else f"{matte.kind} numbers"
        known = labels or hard_numbers(matte.codes)
        return _of_number(source, matte.codes, known, stored, channel=matte.channels.name)
    return matte.luminance


def _indices(matte: _Matte) -> Codes | None:
    palette = palette_of(matte.path) if len(matte.channels.columns) == 3 else None
    return indices_of(matte.pixels, palette) if palette else None


def _of_number(source: MaskSource, codes: Codes, labels: Sequence[int], stored: str, channel: str = "") -> FloatImage:
    if source.label.isdecimal() and int(source.label) in labels:
        return (codes == int(source.label)).astype(np.float32)
    if source.label_may_be_absent and source.label and (labels or not codes.any()):
        return np.zeros(codes.shape, np.float32)
    faint = f" If it is a faint mask, name its channel: {source.path}:{channel}." if "numbers" in stored else ""
    raise _is_label_map(source, [str(label) for label in labels], stored, faint)


def _of_colours(source: MaskSource, matte: _Matte) -> FloatImage:
    labels = colours_in(matte.pixels) if matte.kind not in FLOAT_FORMATS else []
    if source.label in labels:
        return of_colour(matte.pixels, source.label)
    if labels and source.label and source.label_may_be_absent:
        return np.zeros(matte.pixels.shape[:2], np.float32)
    if labels:
        raise _is_label_map(source, labels, "colours")
    raise MaskError(
        expected="a mask: an alpha, or one grey value in R, G and B",
        came=f"a colour picture in {str(source.path)!r}, and no other channel that shows a mask",
        action=f"Write the mask as alpha or grey. To take one channel as it is, name it: {source.path}:R.",
    )


def _is_label_map(source: MaskSource, labels: Sequence[str], stored: str, more: str = "") -> MaskError:
    path = source.path
    which = f"label {labels[0]}" if len(labels) == 1 else f"labels {_some(labels)}"
    asked = f", without label {source.label}" if source.label else ""
    example = MaskSource(path, source.layer, labels[0] if labels else "1")
    return MaskError(
        expected=f"a mask in {str(path)!r}",
        came=f"a label map with {which} ({stored}){asked}" if labels else f"a picture without labels{asked}",
        action=f"Choose one label with FILE#LABEL: {example}.{more}",
    )


def _several(source: MaskSource, mattes: Sequence[_Matte]) -> MaskError:
    names = [matte.channels.name for matte in mattes]
    parts = [matte.channels.part.name for matte in mattes]
    if len(set(names)) < len(names):
        names = [f"{part}.{name}" if part else name for part, name in zip(parts, names, strict=True)]
    return MaskError(
        expected=f"one mask in {str(source.path)!r}",
        came=f"{len(names)} that differ: {_some(names)}",
        action=f"Choose one with FILE:LAYER: {source.path}:{names[0]}.",
    )


def _no_mask(source: MaskSource, came: str) -> MaskError:
    return MaskError(
        expected=f"a layer or channel {source.layer!r}"
        if source.layer
        else "a mask in channel A, in Y, in R, G, B, or alone in its file",
        came=f"{came} in {str(source.path)!r}",
        action="Write the mask as the alpha of its file, or name its channel: FILE:CHANNEL.",
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_range(mask: FloatImage, source: MaskSource, channel: str) -> FloatImage:
    if not np.isfinite(mask).all():
        raise _bad_mask(source, channel, f"{int((~np.isfinite(mask)).sum())} NaN or Inf pixels")
    low, high = float(mask.min()), float(mask.max())
    if low < -MASK_ROUNDING or high > 1.0 + MASK_ROUNDING:
        raise _bad_mask(source, channel, f"values from {low:.4g} to {high:.4g}")
    return np.ascontiguousarray(mask.clip(0.0, 1.0))


def _bad_mask(source: MaskSource, channel: str, came: str) -> MaskError:
    return MaskError(
        expected="a mask from 0 (outside) to 1 (the subject) that shows the subject",
        came=f"{came}, in channel {channel} of {str(source.path)!r}",
        action="Check what was written as the mask, and in which channel.",
    )
