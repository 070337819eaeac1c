# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the edge controls on the panel, and says what an artist must mend. No bpy.

The engine's own client (wire/) says which controls there are, in which order, with which ranges and defaults, so that
they are the same everywhere. The engine applies them: it keeps what the network has made, and computes no frame again
for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from .engine.wire.errors import Code, WireError
from .engine.wire.limits import LIMITS
from .engine.wire.messages import EdgeControls

LEAST_RANGE = 0.01
"""What has to lie between Black Clip and White Clip."""
_DIGITS = 4
"""Digits behind the point that are sent: Blender keeps 0.95 as 0.94999998807."""


@dataclass(frozen=True)
class Control:
    """Describes a control on the panel."""

    label: str
    tooltip: str
    often: tuple[float, float] | None = None
    """What one drags it over; None is all that may be typed."""
    pixels: bool = False


CONTROLS: Mapping[str, Control] = {
    "deflicker": Control(
        "Deflicker",
        "Takes out of edges what is there on one frame and neither before nor after it: half of it with 0.5, all of it "
        "with 1. Frames with a mask stay as they are",
    ),
    "despeckle": Control(
        "Despeckle",
        "Removes islands of at most so many pixels, and the haze around them",
        (0, 1000),
        pixels=True,
    ),
    "solidify": Control(
        "Solidify",
        "Fills weak spots inside the subject: with 0.7, a spot whose alpha nowhere falls below 0.3. Real holes stay, "
        "such as the one between an arm and the body",
    ),
    "black_clip": Control("Black Clip", "Alpha at this value and below becomes 0"),
    "white_clip": Control("White Clip", "Alpha at this value and above becomes 1"),
    "black_knee": Control(
        "Black Knee", "Makes the corner at the black clip soft, over this part of the range between the clips"
    ),
    "white_knee": Control(
        "White Knee",
        "Makes the corner at the white clip soft, over this part of the range between the clips. Both knees together "
        "are at most 1",
    ),
    "gamma": Control("Gamma", "Makes greys lighter (above 1) or darker (below 1). 0 and 1 stay", (0.2, 5)),
    "edge_grow": Control(
        "Grow Edge",
        "By how many pixels edges move outwards, or inwards where it is negative. Parts of a pixel count",
        (-10, 10),
        pixels=True,
    ),
    "edge_blur": Control(
        "Blur Edge", "By how many pixels edges get softer. Parts of a pixel count", (0, 10), pixels=True
    ),
}
"""In the order in which the engine applies them."""

NO_EDGES = EdgeControls()


def limits_of(name: str) -> tuple[float, float]:
    """Return the least and the most of a control, both allowed."""
    return LIMITS[EdgeControls][name]


def controls_of(values: Mapping[str, float]) -> EdgeControls:
    """Return the controls as the engine takes them. values: for each control what Blender has."""
    return EdgeControls(
        **{name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in values.items()}
    )


def changed(controls: EdgeControls) -> dict[str, float]:
    """Return the controls that are not at their default."""
    values = {each.name: getattr(controls, each.name) for each in fields(controls)}
    return {name: value for name, value in values.items() if value != getattr(NO_EDGES, name)}


def check(name: str, controls: EdgeControls) -> None:
    """Raise WireError for controls of an object that do not go together."""
    if controls.white_clip - controls.black_clip < LEAST_RANGE:
        raise _refused(
            f"expected a White Clip of {name} that is at least {LEAST_RANGE:g} above its Black Clip, "
            f"got {controls.white_clip:g} and {controls.black_clip:g}",
            "Move one of them in the panel Edges.",
        )
    if controls.black_knee + controls.white_knee > 1.0:
        raise _refused(
            f"expected knees of {name} that are at most 1 together, "
            f"got {controls.black_knee:g} and {controls.white_knee:g}",
            "Make one of them smaller in the panel Edges.",
        )


def _refused(message: str, action: str) -> WireError:
    return WireError(Code.BAD_INPUT, message, action)


def shared(of_objects: Mapping[str, EdgeControls]) -> EdgeControls | None:
    """Return the controls that all objects have; None where they differ. of_objects: of those that get a matte."""
    different = set(of_objects.values())
    return different.pop() if len(different) == 1 else None
