# SPDX-License-Identifier: Apache-2.0
"""Fakes nuke.rotopaint, as far as it is asked for."""

from __future__ import annotations

from ._curves import AnimControlPoint, Layer, Shape, ShapeControlPoint

__all__ = ["AnimControlPoint", "Layer", "Shape", "ShapeControlPoint"]
