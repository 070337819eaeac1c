# SPDX-License-Identifier: Apache-2.0
"""Moves the maps of a session's state to another window (docs/decisions/DR004-regions.md).

| part of the state | depends on the window | what a move does |
|---|---|---|
| last alpha | by its position | shifts it; 0 outside of the old window |
| last pixel feature, last value | computed from last plate, last alpha and window | computes them again |
| sensory map | recurrent, by its position | shifts it by whole cells; 0, its first state, outside of the old window |
| bank tokens | no; they are found by content, and frames may have any number | leaves them |
| object summary | no; it is summed over earlier frames | leaves it |

Rule of this file: pure functions from a state to a state.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from matanyone_engine.matting.geometry import Window
from matanyone_engine.matting.state import Carried, StreamState
from matanyone_engine.model.matanyone import MatAnyone


def moved(network: MatAnyone, state: StreamState, window: Window) -> StreamState:
    """Return the state as if the last frame had been computed in this window. It needs the last plate
    (StreamState.plate).
    """
    old, carried = state.window, state.carried
    if old is None or carried is None or old == window:
        return replace(state, window=window)
    if state.plate is None:
        raise LookupError("the last plate was not kept: windows of this session do not move")
    alpha = old.placed(carried.alpha, window)
    features = network.encode_image(window.cut(state.plate))
    value = network.encode_mask(features, alpha)
    maps = Carried(old.placed(carried.sensory, window, 1), alpha, features.pix, value, carried.summary)
    return replace(state, window=window, carried=Carried(*map(torch.Tensor.contiguous, maps)))
