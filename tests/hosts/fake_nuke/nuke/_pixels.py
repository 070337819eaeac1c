# SPDX-License-Identifier: Apache-2.0
"""Computes what a node's image is, for real: Reads and Writes go through OpenImageIO. Pixels are planes, rows from the
top.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from ._nodes import retimed
from ._session import Refused

_RASTER = {"R": "rgba.red", "G": "rgba.green", "B": "rgba.blue", "A": "rgba.alpha"}
_PARTS = {"R": "red", "G": "green", "B": "blue", "A": "alpha"}
_HEADER = ("FramesPerSecond", "smpte:TimeCode")
_SHOWN_AS_ALL = ("rgba.red", "rgba.green", "rgba.blue")


@dataclass
class Image:
    """Holds a picture. planes: each channel, (height, width) float32."""

    width: int
    height: int
    aspect: float = 1.0
    planes: dict[str, np.ndarray] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    margin: int = 0
    """Pixels of overscan on every side, which the planes have beyond width and height."""


def render(node: Any, frame: float, view: str) -> Image:
    """Return what Nuke would draw. Raises RuntimeError where Nuke has an error; Refused for what is not known here."""
    if node is None:
        raise RuntimeError("an input is not connected")
    off = node._knobs.get("disable")
    if off is not None and off._value and node._kind != "Read":
        return render(_input(node, 0), frame, view)
    if node._kind not in _RENDERERS:
        raise Refused(f"this fake cannot draw a {node._kind}")
    return _RENDERERS[node._kind](node, frame, view)


def _input(node: Any, number: int) -> Any:
    return node._inputs[number] if number < len(node._inputs) else None


def _through(node: Any, frame: float, view: str) -> Image:
    return render(_input(node, 0), frame, view)


def _group(node: Any, frame: float, view: str) -> Image:
    outputs = [inner for inner in node._nodes if inner._kind == "Output"]
    if len(outputs) != 1:
        raise Refused(f"{node._full_name()} has {len(outputs)} Outputs")
    return render(outputs[0], frame, view)


def _group_input(node: Any, frame: float, view: str) -> Image:
    return render(_input(node._parent, node._knobs["number"]._value), frame, view)


# ------------------------------------------------------------------------------------------------------- files


def file_of(text: str, frame: int, view: str) -> str:
    """Fill in a frame as C's printf does and Nuke pads: the sign of a negative frame is one of the digits."""
    import re

    text = text.replace("%V", view).replace("%v", view[0])
    text = re.sub("#+", lambda match: f"%0{len(match[0])}d", text)
    return text % frame if "%" in text else text


def _read(node: Any, frame: float, view: str) -> Image:
    knobs = node._knobs
    if knobs["frame"]._value or knobs["frame_mode"]._value != "expression":
        number = _moved(knobs, int(frame))
    else:
        number = int(frame)
    held = min(max(number, knobs["first"]._value), knobs["last"]._value)
    text = knobs["file"].getEvaluatedValue()
    path = file_of(text or "", held, view)
    if not os.path.isfile(path):
        return _missing(node, path)
    if not (knobs["raw"]._value or knobs["colorspace"]._value in ("default", "linear")):
        raise Refused(f"{node._full_name()}: this fake reads linear files only")
    return _loaded(path)


def _moved(knobs: Any, frame: int) -> int:
    if knobs["frame_mode"]._value != "offset":
        raise Refused("this fake knows the frame mode 'offset' only")
    return frame - int(knobs["frame"]._value)


def _missing(node: Any, path: str) -> Image:
    on_error = node._knobs["on_error"].value()
    if on_error == "error":
        raise RuntimeError(f"{node._full_name()}: {path}: no such file")
    plane = np.zeros((8, 8), np.float32)
    if on_error == "checkerboard":
        plane = plane + (np.indices((8, 8)).sum(0) % 2)
    return Image(8, 8, planes=dict.fromkeys(_RASTER.values(), plane))


def _loaded(path: str) -> Image:
    source = oiio.ImageBuf(path)
    pixels = source.get_pixels(oiio.FLOAT)
    if source.has_error:
        raise RuntimeError(source.geterror())
    spec = source.spec()
    full = np.zeros((spec.full_height, spec.full_width, spec.nchannels), np.float32)
    left, top = spec.x - spec.full_x, spec.y - spec.full_y
    inner = pixels[max(0, -top) : spec.full_height - top, max(0, -left) : spec.full_width - left]
    rows, columns = max(0, top), max(0, left)
    full[rows : rows + inner.shape[0], columns : columns + inner.shape[1]] = inner
    planes = {}
    for number, name in enumerate(spec.channelnames):
        for channel in _channels_of(name):
            planes[channel] = np.ascontiguousarray(full[..., number])
    header = {name: spec.getattribute(name) for name in _HEADER if spec.getattribute(name) is not None}
    return Image(spec.full_width, spec.full_height, spec.get_float_attribute("PixelAspectRatio", 1.0), planes, header)


def _channels_of(name: str) -> tuple[str, ...]:
    if name in ("Y", "y"):
        return _SHOWN_AS_ALL
    layer, dot, part = name.rpartition(".")
    return (f"{layer}.{_PARTS.get(part, part)}",) if dot else (_RASTER.get(name, f"other.{name}"),)


def write(node: Any, frame: int, view: str) -> Path:
    """Write one file of a Write. Raises RuntimeError as nuke.execute does."""
    knobs = node.knobs()
    if knobs["file_type"]._value != "exr" or not knobs["raw"]._value:
        raise Refused(f"{node._full_name()}: this fake writes raw exr only")
    image = render(_input(node, 0), frame, view)
    path = Path(file_of(knobs["file"].getEvaluatedValue() or "", frame, view))
    if not path.parent.is_dir():
        if not knobs["create_directories"]._value:
            raise RuntimeError(f"{path.parent}: no such folder")
        path.parent.mkdir(parents=True)
    _save(path, image, _wanted(knobs["channels"]._value), knobs["datatype"]._value == "16 bit half")
    return path


def _wanted(channels: str) -> dict[str, str]:
    """Return for each channel its name in an EXR."""
    if channels == "rgb":
        return {_RASTER[name]: name for name in "RGB"}
    if channels in ("rgba.alpha", "alpha"):
        return {"rgba.alpha": "A"}
    raise Refused(f"this fake writes rgb or alpha, not {channels}")


def _save(path: Path, image: Image, names: dict[str, str], half: bool) -> None:
    width, height = image.width + 2 * image.margin, image.height + 2 * image.margin
    empty = np.zeros((height, width), np.float32)
    pixels = np.stack([image.planes.get(channel, empty) for channel in names], axis=-1)
    spec = oiio.ImageSpec(width, height, len(names), oiio.HALF if half else oiio.FLOAT)
    spec.x = spec.y = -image.margin
    spec.full_width, spec.full_height = image.width, image.height
    spec.channelnames = tuple(names.values())
    spec.attribute("compression", "zips")
    spec.attribute("PixelAspectRatio", image.aspect)
    for name, value in image.header.items():
        if name == "FramesPerSecond":
            spec.attribute(name, oiio.TypeDesc("rational"), value)
        elif name == "smpte:TimeCode" and isinstance(value, str):
            spec.attribute(name, value)
    buffer = oiio.ImageBuf(spec)
    buffer.set_pixels(oiio.ROI.All, np.ascontiguousarray(pixels, np.float32))
    if not buffer.write(str(path)):
        raise RuntimeError(buffer.geterror())


# --------------------------------------------------------------------------------------------------- operators


def _copy(node: Any, frame: float, view: str) -> Image:
    below, above = (_in_format(render(_input(node, number), frame, view)) for number in (0, 1))
    planes = dict(below.planes)
    for slot in range(4):
        source, target = node._knobs[f"from{slot}"]._value, node._knobs[f"to{slot}"]._value
        if "none" not in (source, target):
            planes[target] = _placed(above.planes.get(source), below)
    return replace(below, planes=planes)


def _in_format(image: Image) -> Image:
    """Cut off the overscan: what is left is what a viewer of the format shows, and all that this fake combines."""
    rim = image.margin
    if not rim:
        return image
    planes = {name: np.ascontiguousarray(plane[rim:-rim, rim:-rim]) for name, plane in image.planes.items()}
    return replace(image, planes=planes, margin=0)


def _adjusted(node: Any, frame: float, view: str) -> Image:
    """Do as AdjBBox does: show more of the picture beyond its format, which repeats its border here."""
    below = _through(node, frame, view)
    rim = int(node._knobs["numpixels"]._value)
    planes = {name: np.pad(plane, rim, mode="edge") for name, plane in below.planes.items()}
    return replace(below, planes=planes, margin=below.margin + rim)


def _placed(plane: np.ndarray | None, onto: Image) -> np.ndarray:
    """Place a picture of another format from the bottom left corner, as Nuke does."""
    full = np.zeros((onto.height, onto.width), np.float32)
    if plane is not None:
        rows, columns = min(plane.shape[0], onto.height), min(plane.shape[1], onto.width)
        full[onto.height - rows :, :columns] = plane[plane.shape[0] - rows :, :columns]
    return full


def _multiply(node: Any, frame: float, view: str) -> Image:
    below = _through(node, frame, view)
    factor = np.float32(node._knobs["value"]._now(frame))
    return replace(below, planes={name: plane * factor for name, plane in below.planes.items()})


def _time_offset(node: Any, frame: float, view: str) -> Image:
    return render(_input(node, 0), frame - node._knobs["time_offset"]._value, view)


def _retime(node: Any, frame: float, view: str) -> Image:
    return render(_input(node, 0), retimed(node, frame), view)


def _roto(node: Any, frame: float, view: str) -> Image:
    below = render(_input(node, 0), frame, view)
    alpha = np.zeros((below.height, below.width), np.float32)
    for shape in node._knobs["curves"].rootLayer:
        points = [point.center.at(frame) for point in shape]
        alpha = np.maximum(alpha, _polygon(points, below.width, below.height))
    return replace(below, planes={**below.planes, "rgba.alpha": alpha})


def _polygon(points: list[tuple[float, float]], width: int, height: int) -> np.ndarray:
    """Draw a polygon, even-odd, with 4 x 4 samples a pixel; y counts from the bottom."""
    y, x = np.mgrid[0 : height * 4, 0 : width * 4]
    x, y = (x + 0.5) / 4, height - (y + 0.5) / 4
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        if y0 != y1:
            crosses = ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
            inside ^= crosses
    return inside.reshape(height, 4, width, 4).mean((1, 3)).astype(np.float32)


def _switch(node: Any, frame: float, view: str) -> Image:
    return render(_input(node, int(node._knobs["which"]._now(frame))), frame, view)


def _roto_paint(node: Any, frame: float, view: str) -> Image:
    """Add what is drawn to what is there, as paint does."""
    below, drawn = render(_input(node, 0), frame, view), _roto(node, frame, view)
    there = below.planes.get("rgba.alpha", np.zeros((below.height, below.width), np.float32))
    alpha = np.maximum(there, drawn.planes["rgba.alpha"])
    return replace(below, planes={**below.planes, "rgba.alpha": alpha})


_RENDERERS = {
    "AdjBBox": _adjusted,
    "Switch": _switch,
    "RotoPaint": _roto_paint,
    "Read": _read,
    "Write": _through,
    "Output": _through,
    "Dot": _through,
    "NoOp": _through,
    "Group": _group,
    "MatAnyone": _group,
    "Input": _group_input,
    "Copy": _copy,
    "Multiply": _multiply,
    "TimeOffset": _time_offset,
    "Retime": _retime,
    "Roto": _roto,
}
