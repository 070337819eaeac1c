# SPDX-License-Identifier: Apache-2.0
"""Writes shapes as an .fxs file, the XML by which Silhouette exchanges shapes.

Silhouette counts positions from the middle of the picture, in heights of the picture, y down, and frames from the first
of the session, as 0. A Bezier point is its place, the handle before it and the handle after it. Feathers are not
written, so the splines lie where the alpha is one half, and not inside of that by half of the feather as a ShapeKey's.
Islands with holes are joined by Difference, whose result does not depend on the order of the shapes.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from matanyone_engine.shapes.feather import inwards
from matanyone_engine.shapes.shape import CENTRE, LEFT, RIGHT, Numbers, Shape, ShapeSet
from matanyone_engine.sizes import Resolution


def to_fxs(shapes: ShapeSet) -> str:
    """Return the text of a file."""
    first, last = shapes.frames[0], shapes.frames[-1]
    root = Xml.Element("Silhouette", width=str(shapes.size.width), height=str(shapes.size.height))
    root.set("workRangeStart", str(first))
    root.set("workRangeEnd", str(last))
    root.set("sessionStartFrame", str(first))
    nested = any(shape.hole for shape in shapes.shapes)
    for shape in shapes.shapes:
        _add(root, shape, shapes, "Difference" if nested else "Add")
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _add(root: Xml.Element, shape: Shape, shapes: ShapeSet, mode: str) -> None:
    element = Xml.SubElement(root, "Shape", type="Shape", label=shape.name, shape_type="Bezier", hidden="False")
    properties = Xml.SubElement(element, "Properties")
    _opacity(properties, shape, shapes)
    for name, value in (("mode", mode), ("invert", "false"), ("motionBlur", "false")):
        one = Xml.SubElement(properties, "Property", constant="True", id=name)
        Xml.SubElement(one, "Value").text = value
    path = Xml.SubElement(properties, "Property", id="path")
    for key in shape.keys:
        at = Xml.SubElement(path, "Key", frame=str(key.frame - shapes.frames[0]), interp="linear")
        line = Xml.SubElement(at, "Path", closed="True", type="Bezier")
        for point in inwards(key.points, -key.feather / 2):
            Xml.SubElement(line, "Point").text = ",".join(
                _place(point[part], shapes.size) for part in (CENTRE, LEFT, RIGHT)
            )


def _opacity(properties: Xml.Element, shape: Shape, shapes: ShapeSet) -> None:
    """Show a shape on its own frames only."""
    begin, end = shape.first - shapes.frames[0], shape.last - shapes.frames[0]
    opacity = Xml.SubElement(properties, "Property", id="opacity")
    keys = {0: 100 if begin == 0 else 0, begin: 100}
    if shape.last < shapes.frames[-1]:
        keys[end + 1] = 0
    for frame, value in sorted(keys.items()):
        Xml.SubElement(opacity, "Key", frame=str(frame), interp="hold").text = str(value)


def _place(place: Numbers, size: Resolution) -> str:
    x, y = (place[0] - size.width / 2) / size.height, (place[1] - size.height / 2) / size.height
    return f"({x:.6f},{y:.6f})"
