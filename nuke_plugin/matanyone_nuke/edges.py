# SPDX-License-Identifier: Apache-2.0
"""Names the edge controls: what they are called on the panel, what they may be, and what the engine calls them.

Rule of this file: it imports no nuke. The ranges are the engine's, matanyone_engine/media/edges.py; a test compares
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

from .frames import PlanError

LEAST_RANGE = 0.01
"""What has to lie between the black clip and the white clip."""


@dataclass(frozen=True)
class Edge:
    """Describes one control. At its default it changes nothing."""

    field: str
    """What the engine calls it; on the panel it is edge_FIELD, but for those that begin so."""
    label: str
    least: float
    most: float
    default: float
    tooltip: str
    whole: bool = False
    new_line: bool = True

    @property
    def knob(self) -> str:
        """Return the name of its knob and of its field in plan.Settings."""
        return self.field if self.field.startswith("edge_") else "edge_" + self.field


EDGES: Tuple[Edge, ...] = (
    Edge(
        "deflicker", "deflicker", 0, 1, 0,
        "Takes out of edges what comes and goes within one frame: 0.5 by half, 1 wholly. Key frames stay as they are.",
    ),
    Edge(
        "despeckle", "despeckle", 0, 1000000, 0,
        "Removes islands of at most so many pixels, and the haze around them.", whole=True,
    ),
    Edge(
        "solidify", "solidify", 0, 0.95, 0,
        "Fills weak spots inside the subject. With 0.7 a spot is filled if its matte nowhere falls below 0.3.",
    ),
    Edge("black_clip", "black clip", 0, 0.99, 0, "The matte at this value and below becomes 0."),
    Edge("white_clip", "white clip", 0.01, 1, 1, "The matte at this value and above becomes 1.", new_line=False),
    Edge("black_knee", "black knee", 0, 1, 0, "Rounds the corner at the black clip, over this part of the range."),
    Edge(
        "white_knee", "white knee", 0, 1, 0,
        "Rounds the corner at the white clip, over this part of the range. Both knees together are at most 1.",
        new_line=False,
    ),
    Edge("gamma", "gamma", 0.1, 10, 1, "Makes greys lighter (above 1) or darker (below 1). 0 and 1 stay."),
    Edge(
        "edge_grow", "grow edge", -100, 100, 0,
        "By how many pixels edges move outwards; a negative number moves them inwards. Parts of a pixel count.",
    ),
    Edge("edge_blur", "blur edge", 0, 100, 0, "By how many pixels edges get softer. Parts of a pixel count."),
)  # fmt: skip
"""In the order in which the engine applies them."""


def check_edges(settings: Any) -> None:
    """Refuse controls that the engine would refuse. settings: plan.Settings. Raises PlanError."""
    for edge in EDGES:
        value = getattr(settings, edge.knob)
        if not edge.least <= value <= edge.most:
            raise PlanError(
                "%s from %g to %g" % (edge.label, edge.least, edge.most), "%g" % value, "Correct it on the tab Edges."
            )
    if settings.edge_white_clip - settings.edge_black_clip < LEAST_RANGE:
        raise PlanError(
            "a white clip that is %g above the black clip" % LEAST_RANGE,
            "%g and %g" % (settings.edge_white_clip, settings.edge_black_clip),
            "Move one of them on the tab Edges.",
        )
    if settings.edge_black_knee + settings.edge_white_knee > 1.0:
        raise PlanError(
            "knees that are at most 1 together",
            "%g and %g" % (settings.edge_black_knee, settings.edge_white_knee),
            "Make one of them smaller on the tab Edges.",
        )
