# SPDX-License-Identifier: Apache-2.0
"""Prepares a plate for the network: it is checked, moved to the device, brought to working size, and encoded when that
is needed.

Rules of this file:
1. A prepared plate depends only on the plate and on a session's options, never on the session's state. So it can be
   made ahead on another thread, and sessions of one network with the same options share it.
2. Plates have display-referred values 0..1, which are checked before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from matanyone_engine.errors import MaskError, OutOfMemory, PlateError
from matanyone_engine.matting.geometry import Geometry, Window
from matanyone_engine.matting.held_frames import fingerprint_of, is_repeat
from matanyone_engine.matting.inference import inference
from matanyone_engine.matting.inside_outside import Image
from matanyone_engine.model.dims import STRIDE
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.sizes import Size

_ROUNDING = 1e-3
"""How far outside of 0..1 a value may lie: resampling and half floats overshoot by less."""


_MOST_CELLS_AHEAD = 1920 // STRIDE * 1088 // STRIDE
"""Most cells of a plate that is encoded ahead."""


EncodeOn = Callable[[Callable[[], ImageFeatures]], ImageFeatures]
"""Calls a function on a thread that it chooses, and returns the result."""


def at_once(encode: Callable[[], ImageFeatures]) -> ImageFeatures:
    """Encode on the calling thread."""
    return encode()


@dataclass(frozen=True, eq=False)
class ReadyPlate:
    """Holds one prepared plate for the sessions of one network."""

    network: MatAnyone
    geometry: Geometry
    tolerance: float | None
    """The tolerance for repeats (held_frames.py)."""
    plate: Tensor
    """(1, 3, H, W) on the device."""
    padded: Tensor
    """(1, 3, H, W) at working size, padded."""
    fingerprint: Tensor | None
    """The fingerprint for finding repeats; None if every frame is computed."""
    encode_on: EncodeOn
    """Calls the encoder, on the same kind of thread whether the plate is encoded ahead or in its turn."""
    encoded: dict[Window, ImageFeatures] = field(default_factory=dict)
    """The encoded windows of the plate."""

    @classmethod
    def of(
        cls,
        network: MatAnyone,
        plate: Image,
        working_size: int | None,
        tolerance: float | None,
        encode_on: EncodeOn = at_once,
    ) -> ReadyPlate:
        """Prepare a plate (3, H, W) or (H, W, 3), display-referred 0..1. Raises PlateError.

        working_size, tolerance: as in MattingSession.
        """
        image = channels_first(float_tensor(plate))
        geometry = Geometry.of(_plate_size(image), working_size, network.core_size)
        check_values(image, "plate", PlateError)
        on_device = image.unsqueeze(0).to(network.device)
        fingerprint = None if tolerance is None else fingerprint_of(image, tolerance)
        padded = geometry.prepare(on_device, smooth=network.core_size is not None)
        return cls(network, geometry, tolerance, on_device, padded, fingerprint, encode_on)

    def suits(self, network: MatAnyone, working_size: int | None, tolerance: float | None) -> bool:
        """Return whether the plate was prepared with these values."""
        geometry = Geometry.of(self.geometry.frame, working_size, network.core_size)
        return self.network is network and self.geometry == geometry and self.tolerance == tolerance

    def repeats(self, fingerprint: Tensor | None) -> bool:
        """Return whether the plate with this fingerprint equals this one within the tolerance."""
        if fingerprint is None or self.fingerprint is None or self.tolerance is None:
            return False
        return is_repeat(self.fingerprint, fingerprint, self.tolerance)

    def features(self, window: Window) -> ImageFeatures:
        """Return the image features of a window. They do not depend on the object and are computed once."""
        if window not in self.encoded:
            may_be_ahead = window == self.geometry.whole and encodes_ahead(self.network.device, self.geometry)
            run = self.encode_on if may_be_ahead else at_once
            self.encoded[window] = run(lambda: self._encode(window))
        return self.encoded[window]

    def _encode(self, window: Window) -> ImageFeatures:
        with inference():
            return self.network.encode_image(window.cut(self.padded))

    def encode_ahead(self) -> None:
        """Encode the whole plate ahead if that saves time. It never raises an error."""
        if encodes_ahead(self.network.device, self.geometry):
            with suppress(OutOfMemory):  # in its turn there may be enough memory
                self.features(self.geometry.whole)

    def forget(self) -> None:
        """Free the memory of the encoded windows."""
        self.encoded.clear()


def encodes_ahead(device: torch.device, geometry: Geometry) -> bool:
    """Return whether encoding plates ahead uses cores that one frame alone leaves idle.

    It does not help on a GPU, which has one queue for all work. It does not help for large plates either: one frame
    keeps all cores busy, and the features of two plates would take much memory.
    """
    return device.type == "cpu" and geometry.whole.cells <= _MOST_CELLS_AHEAD


AnyPlate = Image | ReadyPlate
"""A plate as it comes, or a prepared one."""


def float_tensor(image: Image) -> Tensor:
    """Return the image as a float32 tensor; a numpy array is copied if torch cannot share its memory safely."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image, dtype=np.float32))
    return image.detach().to(torch.float32)


def channels_first(plate: Tensor) -> Tensor:
    """Return a plate as (3, H, W), whether its colours are the first axis or the last."""
    if plate.dim() == 3 and plate.shape[0] != 3 and plate.shape[2] == 3:
        return plate.permute(2, 0, 1).contiguous()
    return plate


def _plate_size(plate: Tensor) -> Size:
    if plate.dim() != 3 or plate.shape[0] != 3 or 0 in plate.shape:
        raise PlateError(
            expected="a plate of shape (3, height, width) or (height, width, 3)",
            came=f"shape {tuple(plate.shape)}",
            action="Pass the R, G and B of one frame; leave out alpha and other channels.",
        )
    return Size(*plate.shape[1:])


def check_values(image: Tensor, name: str, error: type[PlateError] | type[MaskError]) -> None:
    """Raise `error` for NaN, Inf, or values outside of 0..1."""
    # one pass over the pixels; both ends are NaN if any pixel is
    low, high = (float(end) for end in torch.aminmax(image))
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~torch.isfinite(image)).sum())
        raise error(
            expected=f"a {name} of finite numbers",
            came=f"{bad} values that are NaN or Inf",
            action=f"Repair the {name} (a NaN would spread through the shot's memory).",
        )
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise error(
            expected=f"a {name} with values in 0..1",
            came=f"values from {low:g} to {high:g}",
            action="Divide 8-bit values by 255; encode scene-linear plates for display first (media.color.NetworkView)."
            if name == "plate"
            else "Divide 8-bit values by 255.",
        )
