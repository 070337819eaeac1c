# SPDX-License-Identifier: Apache-2.0
"""Defines the limits of numbers in requests, and the characters that texts must not contain.

Every number has its limits here, so that no request keeps an engine busy for ever. A message's types are checked by
codec.py before; whether a value fits the plate or the weights is checked by whoever knows these.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from . import messages as say
from .errors import Code, WireError
from .text import is_plain

MOST_SIDE = 32768
"""Pixels."""
MOST_WARM_UP = 100
"""Predictions of a key frame; 10 are usual."""
MOST_GROW = 256
"""Pixels by which a mask may be grown or shrunk."""
WIDEST_BAND = 1024
"""Pixels on either side of a guide's edge."""
_FRAME = (-(2**31), 2**31 - 1)
_SEQ = (0, 2**53 - 1)
_PLACE = (-4 * MOST_SIDE, 4 * MOST_SIDE)
"""Pixels: a box or a stroke may begin beside the plate."""

LIMITS: dict[type, dict[str, tuple[float, float]]] = {
    say.Open: {"size": (1, MOST_SIDE)},
    say.Options: {
        "warm_up_passes": (0, MOST_WARM_UP),
        "working_size": (16, MOST_SIDE),
        "mask_grow": (-MOST_GROW, MOST_GROW),
        "exposure": (-16, 16),
        "hold_tolerance": (0, 1),
    },
    say.Key: {"seq": _SEQ, "frame": _FRAME},
    say.Frame: {"seq": _SEQ, "frame": _FRAME, "guide_band": (1, WIDEST_BAND)},
    say.Fetch: {"seq": _SEQ},
    say.Job: {"mask_frame": _FRAME, "frames": _FRAME, "first": _FRAME},
    say.Delivery: {"version": (0, 10**9), "split": (0, MOST_GROW)},
    say.EdgeControls: {
        "deflicker": (0, 1),
        "despeckle": (0, 10**6),
        "solidify": (0, 0.95),
        "black_clip": (0, 0.99),
        "white_clip": (0.01, 1),
        "black_knee": (0, 1),
        "white_knee": (0, 1),
        "gamma": (0.1, 10),
        "edge_grow": (-100, 100),
        "edge_blur": (0, 100),
    },
    say.KeyMask: {"frames": _FRAME},
    say.ObjectOptions: {"first": _FRAME, "last": _FRAME, "guide_band": (1, WIDEST_BAND)},
    say.Show: {"frame": _FRAME},
    say.Stroke: {"points": _PLACE},
    say.Prompt: {"frame": _FRAME, "box": _PLACE, "brush": (0, MOST_SIDE), "exposure": (-16, 16)},
}
"""The least and the most of every number in a request, both allowed. A test proves that none is forgotten."""


def check_values(message: Any) -> None:
    """Raise WireError (bad-input) for a number beyond its limits, or a text with characters that must not be shown."""
    for item in dataclasses.fields(message):
        _check(message, item.name, getattr(message, item.name))


def _check(holder: Any, name: str, value: Any) -> None:
    if isinstance(value, tuple):
        for each in value:
            _check(holder, name, each)
    elif isinstance(value, str):
        if not is_plain(value):
            raise _refused(name, "text without control characters", ascii(value)[:80])
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        least, most = LIMITS[type(holder)][name]
        if not least <= value <= most:
            raise _refused(name, f"{least:g} to {most:g}" if abs(most) < 10**6 else f"{least} to {most}", str(value))
    elif dataclasses.is_dataclass(value):
        check_values(value)


def _refused(name: str, expected: str, came: str) -> WireError:
    return WireError(Code.BAD_INPUT, f"{name}: expected {expected}, got {came}", "Correct the request.")
