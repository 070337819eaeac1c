# SPDX-License-Identifier: Apache-2.0
"""What a session carries, moved to another window (docs/decisions/DR004-regions.md).

| carried | depends on the window | so a move |
|---|---|---|
| last alpha | by its place | shifts it: 0 where nothing was seen |
| last pixel feature, last value | functions of last plate, last alpha and window | computes them again |
| sensory map | recurrent, by its place | shifts it by whole cells: 0, its first state, where nothing was seen |
| bank tokens | found by content; any number a frame | leaves them |
| object summary | sums over frames that are gone | leaves it |

Rule of this file: pure; a state in, a state out.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from matanyone_engine.matting.geometry import Window
from matanyone_engine.matting.state import Carried, StreamState
from matanyone_engine.model.matanyone import MatAnyone


def moved(network: MatAnyone, state: StreamState, window: Window) -> StreamState:
    """The state as if the last frame had been seen through this window. Needs the last plate (StreamState.plate)."""
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
