# SPDX-License-Identifier: Apache-2.0
"""Checks screenshots of Blender for blender_window.py: veils over the plate, outlines, checkerboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from matanyone_engine.media.masks import read_alpha

_CHANGED = 24
"""The least change of a screen pixel, of 255, that counts: smaller ones are noise."""


def seen(folder: Path, told: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with each picture of a tour in this folder; '' where it looks right."""
    x0, y0, x1, y1 = (round(value) for value in told["plate on the screen"])
    alpha = cv2.resize(read_alpha(Path(told["alpha"])), (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    screens = {}
    for mode in ("off", "red", "alpha", "outline", "checker"):
        whole = cv2.imread(str(folder / f"blender_overlay_{mode}.png"))
        assert whole is not None, f"no picture of the overlay {mode}"
        screens[mode] = whole[y0:y1, x0:x1].astype(np.int32)
    visible = _visible(screens, alpha.shape)
    kept, left = visible & (alpha > 0.9), visible & (alpha < 0.02)
    plate = screens["off"]
    with_area, without = (cv2.imread(str(folder / f"blender_area_{name}.png")) for name in ("kept", "hidden"))
    assert with_area is not None
    assert without is not None, "no picture of the painted area"
    outlined = np.abs(with_area.astype(np.int32) - without)[y0:y1, x0:x1].max(axis=2) > _CHANGED
    red, grey = screens["red"][..., 2] - plate[..., 2], screens["alpha"].max(axis=2)
    differs = {mode: np.abs(screens[mode] - plate).max(axis=2) > _CHANGED for mode in screens}
    return {
        "the red veil lies on the subject": _wrong(red[kept] > _CHANGED, 0.9),
        "there is no veil beside it": _wrong(~differs["red"][left], 0.97),
        "the alpha is white on the subject": _wrong(grey[kept] > 200, 0.97),
        "the alpha is black beside it": _wrong(grey[left] < 40, 0.97),
        "the outline is a thin line": _wrong(~differs["outline"][kept | left], 0.9),
        "there is an outline": "" if differs["outline"][visible].sum() > 100 else "no pixel of it is to be seen",
        "a kept area has an outline": "" if outlined.sum() > 100 else "no pixel of it is to be seen",
        "the outline of an area is a thin line": _wrong(~outlined, 0.95),
        "the checker is beside the subject": _wrong(differs["checker"][left], 0.5),
        "the plate is to be seen where it is kept": _wrong(~differs["checker"][kept], 0.9),
    }


def _visible(screens: dict[str, NDArray[np.int32]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where nothing of the editor covers the plate: header, tools and sidebar are the same in both extremes."""
    changes = np.abs(screens["alpha"] - screens["off"]).max(axis=2) > _CHANGED
    changes |= np.abs(screens["alpha"] - screens["red"]).max(axis=2) > _CHANGED
    whole = cv2.morphologyEx(changes.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8)) > 0
    return np.asarray(whole[: shape[0], : shape[1]], dtype=np.bool_)


def _wrong(right: NDArray[np.bool_], least: float) -> str:
    """Return what is wrong, or '' if at least this part of the pixels is right."""
    if not right.size:
        return "there are no such pixels"
    part = float(right.mean())
    return "" if part >= least else f"so on {100 * part:.0f} % of the pixels only"
