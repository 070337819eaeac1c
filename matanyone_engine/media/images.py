# SPDX-License-Identifier: Apache-2.0
"""Reads plate frames through OpenImageIO, one file at a time.

Rules of this file:
1. Values are returned as they are in the file: there is no colour conversion, no clamping, no un-premultiplying.
2. The channels of the picture are found by their names (channels.py). Pixels cover the display window.
3. A message of OpenImageIO's is an error, even if it has returned pixels, as for a JPEG that is cut off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from matanyone_engine.errors import BadInput, PlateError
from matanyone_engine.media import exr, icc
from matanyone_engine.media.channels import Part, Selection, find_picture, views_of
from matanyone_engine.media.colour_tags import colour_tags, png_chunks, radiance_lines
from matanyone_engine.media.misread import misread
from matanyone_engine.media.sequence import is_movie, other_spelling
from matanyone_engine.sizes import Resolution

FloatImage = npt.NDArray[np.float32]

ANY_PICTURE = Selection()

MOST_PARTS = 64
"""The most parts of a file that a client of the engine sends."""
MOST_CHANNELS = 512
"""The most channels of such a file. Renders with all AOVs have far fewer."""
MOST_CANVAS_PIXELS = 16384 * 16384
"""The most pixels of a plate's display and data window together."""

_ONE_PICTURE = frozenset({"webp"})
"""Formats of which OpenImageIO (3.2) cannot read pixels after it was asked for a second picture."""

FLOAT_FORMATS = frozenset({"half", "float", "double"})
"""Pixel formats that can hold NaN, and values outside 0..1."""

FRAME_RATE = "framespersecond"
"""OpenEXR's attribute framesPerSecond in small letters. OpenImageIO calls it FramesPerSecond in other formats."""

_COLOUR_MODELS = frozenset({0, 1, 2, 3, 4, 6})
"""TIFF's grey, RGB, palette, mask and YCbCr, which OpenImageIO reads as grey or RGB. It also calls Lab RGB but does not
convert it, so that a* and b* would be taken for green and blue, and converts CMYK as if inks were ideal."""
_INKS = frozenset({"CMYK", "YCCK"})
"""OpenImageIO's names for a JPEG's colours that are inks."""
_VIDEO_RANGE = 16, 235
"""Black and white of video, as codes of 8 bits."""
_SIGNED = frozenset({"int8", "int16", "int32"})
"""Pixel formats with signed codes. OpenImageIO converts them to -1..1, even where a DPX has stored 0..1."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
"""TIFF's two kinds of grey. OpenImageIO inverts the first in files of 8 bits, but not in others."""
_FLOAT_24 = 24
"""Bits of TIFF's floats that OpenImageIO reads wrongly."""
_NO_DECODER = "not configured", "not implemented", "not supported", "unsupported"
"""Words in libraries' messages about compressions and formats that they were built without."""
_SMALLEST_ASPECT = 1e-6
"""The smallest pixel aspect that OpenEXR writes; the largest is its inverse."""
_PAGED = frozenset({"gif", "tiff", "webp"})
"""Formats in which a second picture of the same size is another frame or another page."""
_CICP_RANGE = 3
"""Which of ITU-T H.273's four numbers, from 0, says whether codes use the full range."""

_COLOUR_ATTRIBUTES = (
    "colorInteropID",
    "acesImageContainerFlag",
    "oiio:ColorSpace",
    "chromaticities",
    "oiio:Gamma",
    "ICCProfile:profile_description",
    "Exif:ColorSpace",
    "dpx:Transfer",
)
MOVIE_PRIMARIES, MOVIE_TRANSFER = "movie:primaries", "movie:transfer"
"""Keys in a header's `colour` for a movie's ColourPrimaries and TransferCharacteristics, codes of ITU-T H.273."""
ICC_PRIMARIES, ICC_CURVE = "icc:primaries", "icc:curve"
"""Keys in a header's `colour` for the encoding of an ICC profile; '' for what has no name in encodings.py."""


class DataWindow(NamedTuple):
    """Holds a rectangle of pixels: its top left corner and its size. y grows downwards."""

    x: int
    y: int
    width: int
    height: int


class Attribute(NamedTuple):
    """Keeps a header attribute with OpenImageIO's type name, so that it can be written again as it was."""

    name: str
    type: str
    value: Any


@dataclass(frozen=True)
class PlateHeader:
    """Holds the header of a frame's file.

    display_window, data_window: in the file's own coordinates.
    colour:     the attributes about colour, as text (see color_spaces.choose_space).
    attributes: all attributes, unchanged, which headers.py adds to the alpha's header.
    view, part, layer: where in its file the picture is; None or '' where the file does not say.
    """

    path: Path
    display_window: DataWindow
    data_window: DataWindow
    pixel_aspect: float
    fps: Fraction | None
    timecode: str | None
    channels: tuple[str, ...]
    colour: Mapping[str, str]
    file_format: str
    pixel_format: str
    attributes: tuple[Attribute, ...] = ()
    view: str | None = None
    part: str | None = None
    layer: str = ""

    @property
    def resolution(self) -> Resolution:
        """Returns the size of the display window: that of the plate, of its mask and of its alpha."""
        return Resolution(self.display_window.width, self.display_window.height)

    @property
    def canvas(self) -> DataWindow:
        """Returns the smallest window that holds display and data window; larger than the display if overscanned."""
        display, data = self.display_window, self.data_window
        x, y = min(display.x, data.x), min(display.y, data.y)
        right = max(display.x + display.width, data.x + data.width)
        bottom = max(display.y + display.height, data.y + data.height)
        return DataWindow(x, y, right - x, bottom - y)

    @classmethod
    def plain(cls, path: Path, width: int, height: int) -> PlateHeader:
        """Return a header for pixels that came without a file, of which only the size is known."""
        window = DataWindow(0, 0, width, height)
        return cls(path, window, window, 1.0, None, None, ("R", "G", "B"), {}, "raw", "float")


@dataclass(frozen=True)
class Plate:
    """Holds the pixels of one frame in the file's own colour values.

    rgb:    (H, W, 3) float32 in the display window, 0 outside the data window.

    canvas: the same over header.canvas, with the overscan.
    """

    rgb: FloatImage
    header: PlateHeader
    overscanned: FloatImage | None = None
    """(H', W', 3) over header.canvas; None where that is the display window."""

    @property
    def canvas(self) -> FloatImage:
        return self.rgb if self.overscanned is None else self.overscanned


def read_header(path: Path, wanted: Selection = ANY_PICTURE) -> PlateHeader:
    """Read the header of a plate frame. Raises PlateError if the file is not an image, or lacks the wanted picture."""
    with open_image(path, PlateError) as image:
        return _header(_find_rgb(path, image, wanted))


def read_views(path: Path) -> list[str]:
    """Return the views that a file names, the default one first; [] if it names none. Raises PlateError."""
    with open_image(path, PlateError) as image:
        return views_of([part for part, _ in parts_of(image)])


def check_bounds(path: Path, most_pixels: int) -> None:
    """Refuse a client's file whose header asks for too much memory. Raises PlateError. No pixels are decoded.

    most_pixels: the limit for the data window of each part, which may be larger than the display window (overscan).
    """
    with open_image(path, PlateError) as image:
        part = 0
        while image.seek_subimage(part, 0):
            spec = image.spec()
            if part >= MOST_PARTS or spec.nchannels > MOST_CHANNELS or spec.width * spec.height > most_pixels:
                raise PlateError(
                    expected=f"at most {MOST_PARTS} parts, {MOST_CHANNELS} channels and {most_pixels} pixels a part",
                    came=f"part {part} with {spec.nchannels} channels of {spec.width}x{spec.height} pixels",
                    action="Write the plate again without the channels that the matte does not need.",
                )
            part += 1
        last_error(image)  # the missing part is not an error: forget it


def check_ends(path: Path, wanted: Selection = ANY_PICTURE) -> None:
    """Check that a plate frame's file is complete by reading its last rows. Raises PlateError.

    This is quick where rows can be read directly (EXR, DPX, TIFF); files of other formats are decoded.
    """
    with open_image(path, PlateError) as image:
        _read_end(_find_rgb(path, image, wanted), PlateError)


def read_plate(path: Path, wanted: Selection = ANY_PICTURE) -> Plate:
    """Read a plate frame. Raises PlateError if the file is not complete, has no R, G, B, or has NaN or Inf."""
    with open_image(path, PlateError) as image:
        channels = _find_rgb(path, image, wanted)
        header = _header(channels)
        pixels = _into_window(_read_colours(channels, header), header.data_window, header.canvas)
    canvas = np.ascontiguousarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))
    rgb = check_finite(_into_window(canvas, header.canvas, header.display_window), path)
    return Plate(rgb, header, None if rgb is canvas else canvas)


def read_channel(path: Path, name: str) -> FloatImage:
    """Read one channel of a file's first part by its name, (H, W) float32, in the display window.

    Raises PlateError if the file is unreadable or has no such channel.
    """
    with open_image(path, PlateError) as image:
        spec = image.spec()
        if name not in spec.channelnames:
            raise PlateError(
                expected=f"a channel {name} in {str(path)!r}",
                came=", ".join(spec.channelnames),
                action="Check that all files come from the same run.",
            )
        channels = ImageChannels(path, image, 0, spec, (spec.channelnames.index(name),))
        found: FloatImage = into_display(channels, read_data(channels, PlateError))[..., 0]
        return found


def check_finite(rgb: FloatImage, path: Path) -> FloatImage:
    """Return rgb unchanged. Raises PlateError for NaN or Inf, which says how many pixels have them, and the first."""
    if np.isfinite(rgb).all():
        return rgb
    bad = ~np.isfinite(rgb).all(axis=-1)
    y, x = np.argwhere(bad)[0]
    raise PlateError(
        expected="numbers in every pixel of the plate",
        came=f"{int(bad.sum())} NaN or Inf pixels in {str(path)!r}, the first at x={x} y={y} (from the top left)",
        action="Render the frame again, or repair these pixels first.",
    )


# ------------------------------------------------------------------------------------------- OpenImageIO itself


@dataclass(frozen=True)
class ImageChannels:
    """Names some channels of one part of an open image file."""

    path: Path
    image: Any
    part: int
    spec: Any
    columns: tuple[int, ...]
    view: str | None = None
    part_name: str | None = None
    layer: str = ""


@contextmanager
def open_image(path: Path, error: type[BadInput]) -> Iterator[Any]:
    """Open an image so that its pixels come as the file has them, and close it in any case."""
    _check_is_file(path, error)
    if is_movie(path):
        raise error(
            expected="an image file",
            came=f"the movie {str(path)!r}",
            action="Export its frames as images, such as mask.####.exr, and name those.",
        )
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # without it, PNG and TIFF would come premultiplied
    last_error()  # forget an earlier message of this thread
    image = oiio.ImageInput.open(str(path), as_stored)
    if image is None:
        raise _unreadable(path, error, last_error() or "not an image that OpenImageIO can read")
    try:
        if not _has_flat_part_after_deep(image):  # if so, the part is checked when it has been chosen
            check_plain_pixels(path, image.spec(), error)
        _check_not_misread(path, image, error)
        yield image
    finally:
        image.close()


def _check_not_misread(path: Path, image: Any, error: type[BadInput]) -> None:
    found = misread(path, image.format_name(), image.spec())
    if found:
        came, action = found
        raise error(
            expected="an image file that can be read as it was meant", came=f"{str(path)!r}: {came}", action=action
        )


def _has_flat_part_after_deep(image: Any) -> bool:
    """Return whether the first part is deep and a later one is not."""
    if not image.spec().deep:
        return False
    part, found = 1, False
    while not found and image.seek_subimage(part, 0):
        part, found = part + 1, not image.spec().deep
    image.seek_subimage(0, 0)
    last_error(image)  # the missing part is not an error: forget it
    return found


def _unreadable(path: Path, error: type[BadInput], why: str) -> BadInput:
    action = "Check that the file is there, finished and not damaged; copy or render it again."
    if "Subsampled channels" in why:  # OpenEXR's luminance and chroma, mostly
        action = "Write it with R, G and B of full resolution."
    elif any(said in why.lower() for said in _NO_DECODER):
        action = (
            "The file may be whole, but this OpenImageIO cannot decode it. Save it with another compression, or as EXR."
        )
    said = "; ".join(line.rstrip(".") for line in why.strip().splitlines())
    return error(expected="an image file that can be read", came=f"{str(path)!r}: {said}", action=action)


def _check_is_file(path: Path, error: type[BadInput]) -> None:
    try:
        if not path.is_file():
            missing = f"there is no such file{other_spelling(path)}"
            if path.is_symlink() and not path.exists():
                missing = "a link to a file that is not there"
            raise _unreadable(path, error, "a folder" if path.is_dir() else missing)
    except OSError as refusal:
        raise _unreadable(path, error, refusal.strerror or str(refusal)) from refusal


def check_plain_pixels(path: Path, spec: Any, error: type[BadInput]) -> None:
    """Raise error for pixels that are deep, stored rotated, or of a colour model that is not converted here."""
    found = _problem(spec)
    if found:
        came, action = found
        raise error(
            expected="a flat image, stored upright, of RGB or grey", came=f"{str(path)!r}: {came}", action=action
        )


def _problem(spec: Any) -> tuple[str, str] | None:
    """Return what came and what to do about it; None for plain pixels."""
    orientation = spec.get_int_attribute("Orientation", 1)
    cicp = spec.getattribute("CICP")
    if spec.deep:
        return "deep samples", "Flatten it."
    if orientation != 1:
        return f"orientation {orientation} in the header", "Save it with the rotation applied to the pixels."
    if cicp is not None and len(cicp) > _CICP_RANGE and not cicp[_CICP_RANGE]:
        return "codes of limited (video) range, by its cICP chunk", "Save it with full-range codes."
    return _colour_problem(spec) or _tiff_problem(spec)


def _colour_problem(spec: Any) -> tuple[str, str] | None:
    """Return what came and what to do about it, for inks, luma and chroma, and signed codes; else None."""
    inks, elements = (spec.get_string_attribute(name) for name in ("jpeg:ColorSpace", "dpx:ImageDescriptor"))
    if inks in _INKS:
        return f"inks ({inks})", "Save it as RGB."
    if "Cb" in elements:
        return f"luma and chroma ({elements})", "Save it as RGB."
    if str(spec.format) in _SIGNED:
        return f"codes with a sign ({spec.format})", "Save it with unsigned integers or with floats."
    return None


def _tiff_problem(spec: Any) -> tuple[str, str] | None:
    """Return what came and what to do about it, for a TIFF that OpenImageIO reads wrongly; else None."""
    model = spec.get_int_attribute("tiff:PhotometricInterpretation", _BLACK_IS_ZERO)
    if model not in _COLOUR_MODELS:
        name = readable(spec.get_string_attribute("tiff:ColorSpace")) or "another one"
        return f"TIFF's colour model {model} ({name})", "Save it as RGB."
    if model == _WHITE_IS_ZERO and str(spec.format) != "uint8":
        return f"white stored as 0 and black as the largest number (WhiteIsZero), in {spec.format}", "Save it as RGB."
    if str(spec.format) == "float" and spec.get_int_attribute("oiio:BitsPerSample") == _FLOAT_24:
        return "floats of 24 bits", "Save it with floats of 16 or 32 bits."
    return None


def _header(channels: ImageChannels) -> PlateHeader:
    spec = channels.spec
    attributes = tuple(
        Attribute(readable(item.name), str(item.type), readable(item.value)) for item in spec.extra_attribs
    )
    found = {item.name: item.value for item in attributes}
    return PlateHeader(
        path=channels.path,
        display_window=DataWindow(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        data_window=DataWindow(spec.x, spec.y, spec.width, spec.height),
        pixel_aspect=pixel_aspect_of(spec),
        fps=_rate_in(found),
        timecode=readable(spec.get_string_attribute("smpte:TimeCode")) or None,
        channels=tuple(map(readable, spec.channelnames)),
        colour=_colour_in(found, channels),
        file_format=channels.image.format_name(),
        pixel_format=str(spec.channelformat(channels.columns[0])),
        attributes=attributes,
        view=channels.view,
        part=channels.part_name,
        layer=channels.layer,
    )


def _colour_in(found: Mapping[str, Any], channels: ImageChannels) -> dict[str, str]:
    """Return what a file states about its colour, as text: attributes, an ICC profile, and colour_tags.py's tags."""
    colour = {name: _text(found[name]) for name in _COLOUR_ATTRIBUTES if name in found}
    _warn_of_video_range(channels.spec)
    if channels.image.format_name() == "hdr":
        _warn_of_exposure(channels.path)
    profile = found.get("ICCProfile")
    if profile is not None:
        encoding = icc.encoding_of(np.asarray(profile, np.uint8).tobytes())
        colour |= {ICC_PRIMARIES: encoding.primaries, ICC_CURVE: encoding.curve}
    return colour | colour_tags(channels.path, channels.image.format_name())


def pixel_aspect_of(spec: Any) -> float:
    """Return the width of a pixel over its height; 1 where the header does not say, as many DPX files write 0."""
    aspect = float(spec.get_float_attribute("PixelAspectRatio", 1.0))
    return aspect if _SMALLEST_ASPECT <= aspect <= 1 / _SMALLEST_ASPECT else 1.0


def _text(value: Any) -> str:
    return " ".join(f"{number:.6g}" for number in value) if isinstance(value, tuple) else str(value)


def last_error(of: Any = oiio) -> str:
    """Return the last error message of OpenImageIO, or of one of its files, and forget it; '' where there is none.

    A message may quote bytes of the file that are not UTF-8.
    """
    try:
        return str(of.geterror())
    except UnicodeDecodeError as error:
        return bytes(error.object).decode("utf-8", "replace")


def readable(value: Any) -> Any:
    """Return a header's text as Unicode, however it was encoded; each text of a tuple; other values unchanged.

    Python represents bytes that are not UTF-8 by surrogates, which cannot be written to a file. They are decoded as
    Latin-1, which PNG and most cameras write, and in which every byte is a letter.
    """
    if isinstance(value, tuple | list):
        return tuple(readable(item) for item in value)
    if not isinstance(value, str) or value.isascii():
        return value
    stored = value.encode("utf-8", "surrogateescape")
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return stored.decode("latin-1")


def _rate_in(found: Mapping[str, Any]) -> Fraction | None:
    """Return the frames per second among a header's attributes. A value that is no rate is dropped, with a warning."""
    value = next((value for name, value in found.items() if name.lower() == FRAME_RATE), None)
    rate = rate_of(value)
    if value is not None and rate is None and repr(value) not in _warned:
        _warned.add(repr(value))
        _log.warning("The plate's framesPerSecond, %r, is no frame rate; the alphas are written without one.", value)
    return rate


def _warn_of_video_range(spec: Any) -> None:
    """Warn once of a DPX whose header names black and white of video, which is ignored here as in other programs."""
    bits = spec.get_int_attribute("oiio:BitsPerSample", 8)
    low, high = (spec.get_int_attribute(f"dpx:{name}Data", -1) for name in ("Low", "High"))
    note = f"black is code {low} and white is code {high}"
    if (low, high) == tuple(code << max(bits - 8, 0) for code in _VIDEO_RANGE) and note not in _warned:
        _warned.add(note)
        _log.warning(
            "The plate's DPX header says that %s. Its codes are read as 0 to %d all the same, as other programs read "
            "them. If blacks look grey, convert the plate to full range.",
            note,
            2**bits - 1,
        )


def _warn_of_exposure(path: Path) -> None:
    """Warn once of a Radiance file whose pixels were multiplied. OpenImageIO does not divide them, nor does Blender."""
    factor = math.prod(map(float, radiance_lines(path, "EXPOSURE")))
    note = f"EXPOSURE={factor:g}"
    if factor != 1 and note not in _warned:
        _warned.add(note)
        _log.warning(
            "The plate's Radiance header says that its pixels were multiplied by %g (EXPOSURE). They are read as they "
            "are stored, as Blender reads them. If the plate looks too bright or too dark, use --exposure.",
            factor,
        )


_warned: set[str] = set()
"""What was warned of, so that each warning comes once."""
_log = logging.getLogger("matanyone_engine")


def rate_of(value: Any) -> Fraction | None:
    """Return a frame rate from a header's value: a number, a pair (24000, 1001), or text such as '23.976' and '24/1'.

    None where it is no rate, such as a pair of zeros, a list of three, or a word.
    """
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
        return frame_rate(value[0] / value[1]) if all(np.isfinite(part) and part > 0 for part in value) else None
    if isinstance(value, str):
        try:
            return frame_rate(float(Fraction(value.strip().removesuffix("fps").strip())))
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
    return frame_rate(float(value)) if isinstance(value, int | float) else None


def frame_rate(value: float) -> Fraction | None:
    """Return a decimal rate as a fraction: 24000/1001 for 23.976; None for a value that is no rate."""
    if not np.isfinite(value) or value <= 0:
        return None
    ntsc = Fraction(round(value * 1.001) * 1000, 1001)
    if abs(float(ntsc) - value) < 0.002:
        return ntsc
    return Fraction(value).limit_denominator(1000)


# ----------------------------------------------------------------------------------------------------- channels


def _find_rgb(path: Path, image: Any, wanted: Selection) -> ImageChannels:
    """Return the wanted picture of a file. Raises PlateError."""
    parts = parts_of(image)
    if not wanted.part:
        check_is_one_picture(path, image, parts, PlateError)
    picture = find_picture([part for part, _ in parts], wanted, path)
    spec = parts[picture.part.number][1]
    check_plain_pixels(path, spec, PlateError)
    check_canvas(path, spec, PlateError)
    if image.format_name() == "openexr" and any(str(spec.channelformat(at)) == "uint" for at in picture.columns):
        raise PlateError(
            expected="half or float colours",
            came=f"32-bit integers, which EXR uses for ids, in {str(path)!r}",
            action="Write the plate as half or float, or choose another layer with --layer.",
        )
    return ImageChannels(
        path, image, picture.part.number, spec, picture.columns, picture.view, picture.part.name, picture.layer
    )


def check_is_one_picture(path: Path, image: Any, parts: Sequence[tuple[Part, Any]], error: type[BadInput]) -> None:
    """Raise error for an animation, for pages of one size, and for a small picture before a larger one, of which only
    the first picture would be read. parts: all of parts_of(image).
    """
    sizes = [spec.width * spec.height for _, spec in parts]
    if image.format_name() == "png":
        several = _frames_of_png(path) > 1
    elif image.format_name() == "dpx":
        several = sum({"R", "G", "B"} <= set(part.channels) for part, _ in parts) > 1  # alpha may have its own part
    else:
        has_pages = any(size >= sizes[0] for size in sizes[1:]) or parts[0][1].get_int_attribute("oiio:Movie")
        several = image.format_name() in _PAGED and has_pages
    if several:
        raise error(
            expected="one picture in an image file",
            came=f"{str(path)!r}, which holds several frames or pages",
            action="Save each of them as a file of its own, such as name.0001.tif.",
        )


def _frames_of_png(path: Path) -> int:
    """Return the number of frames of an animated PNG; 1 for an ordinary one. OpenImageIO reads the first alone.

    The number is in the chunk acTL, which stands before the pixels.
    """
    counts = (int.from_bytes(content[:4], "big") for name, content in png_chunks(path) if name == b"acTL")
    return next(counts, 1)


def check_canvas(path: Path, spec: Any, error: type[BadInput]) -> None:
    """Raise error if a header asks for more pixels than MOST_CANVAS_PIXELS, which would take all memory."""
    width = max(spec.x + spec.width, spec.full_x + spec.full_width) - min(spec.x, spec.full_x)
    height = max(spec.y + spec.height, spec.full_y + spec.full_height) - min(spec.y, spec.full_y)
    if width * height > MOST_CANVAS_PIXELS:
        raise error(
            expected=f"display and data window together of at most {MOST_CANVAS_PIXELS} pixels",
            came=f"{width}x{height} in {str(path)!r}",
            action="Crop the overscan, or correct the display window in the header.",
        )


def parts_of(image: Any) -> list[tuple[Part, Any]]:
    """Return every part of an open file, with OpenImageIO's description of it."""
    parts: list[tuple[Part, Any]] = []
    has_one = image.format_name() in _ONE_PICTURE
    while not (parts and has_one) and image.seek_subimage(len(parts), 0):
        spec = image.spec()
        views = spec.getattribute("multiView") or ()
        parts.append(
            (
                Part(
                    len(parts),
                    readable(spec.get_string_attribute("oiio:subimagename")) or None,
                    readable(spec.get_string_attribute("view")) or None,
                    readable((views,) if isinstance(views, str) else tuple(map(str, views))),
                    readable(tuple(spec.channelnames)),
                ),
                spec,
            )
        )
    last_error(image)  # the missing part is not an error: forget it
    return parts


def _read_colours(channels: ImageChannels, header: PlateHeader) -> FloatImage:
    """Return the plate's channels, (H, W, 3 or 1) float32, in the data window. A plain EXR is read faster by exr.py."""
    if header.file_format == "openexr" and header.part is None and not header.layer and len(channels.columns) == 3:
        quick = exr.read_colours(channels.path, header.channels)
        if quick is not None and quick.shape == (*header.data_window[:1:-1], 3):
            return quick
    return read_data(channels, PlateError)


def into_display(channels: ImageChannels, pixels: Any) -> Any:
    """Place pixels of the data window, (H, W, C), in the display window; 0 where the file has none."""
    spec = channels.spec
    data = DataWindow(spec.x, spec.y, spec.width, spec.height)
    display = DataWindow(spec.full_x, spec.full_y, spec.full_width, spec.full_height)
    return _into_window(pixels, data, display)


def read_data(channels: ImageChannels, error: type[BadInput], kind: Any = oiio.FLOAT) -> FloatImage:
    """Read the channels in the given order, (H, W, C) over the data window. Raises error if they cannot be read."""
    spec = channels.spec
    check_canvas(channels.path, spec, error)
    first, last = min(channels.columns), max(channels.columns) + 1
    pixels = channels.image.read_image(channels.part, 0, first, last, kind)
    _check_read(channels, pixels, error)
    pixels = pixels.reshape(spec.height, spec.width, last - first)
    return pixels[..., [column - first for column in channels.columns]]


def _read_end(channels: ImageChannels, error: type[BadInput]) -> None:
    """Read the last rows (or tiles) of a file, to see whether it is complete. Raises error."""
    spec, image = channels.spec, channels.image
    bottom = spec.y + spec.height
    if spec.tile_width:
        top = bottom - 1 - (spec.height - 1) % spec.tile_height
        area = (spec.x, spec.x + spec.width, top, bottom, spec.z, spec.z + 1)
        pixels = image.read_tiles(channels.part, 0, *area, 0, spec.nchannels, oiio.FLOAT)
    else:
        pixels = image.read_scanlines(channels.part, 0, bottom - 1, bottom, spec.z, 0, spec.nchannels, oiio.FLOAT)
    _check_read(channels, pixels, error)


def _check_read(channels: ImageChannels, pixels: Any, error: type[BadInput]) -> None:
    complaint = last_error(channels.image)
    if pixels is None or complaint:
        raise _unreadable(channels.path, error, complaint or "the pixels cannot be read")


def _into_window(pixels: FloatImage, from_window: DataWindow, to_window: DataWindow) -> FloatImage:
    """Place pixels (H, W, C) of one window in another: they are cropped, and 0 is added where there were none."""
    if from_window == to_window:
        return pixels
    left, top = from_window.x - to_window.x, from_window.y - to_window.y
    width, height = to_window.width, to_window.height
    placed = np.zeros((height, width, pixels.shape[2]), dtype=pixels.dtype)
    x0, x1 = max(left, 0), min(left + from_window.width, width)
    y0, y1 = max(top, 0), min(top + from_window.height, height)
    if x0 < x1 and y0 < y1:
        placed[y0:y1, x0:x1] = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    return placed
