# SPDX-License-Identifier: Apache-2.0
"""Makes a plate ready for the network: checked, on the device, at working size, and encoded as far as anyone has asked.

Rules of this file:
1. It depends on the plate and on a session's options only, never on what a session remembers: it can be made before
   its turn, on another thread, and sessions of one network with the same options share it.
2. Values come display-referred, 0..1, and are checked before anything is computed.
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
"""How far outside 0..1 a value may lie: resampling and half floats overshoot by less."""


_MOST_CELLS_AHEAD = 1920 // STRIDE * 1088 // STRIDE
"""Of a plate that is encoded before its turn."""


EncodeOn = Callable[[Callable[[], ImageFeatures]], ImageFeatures]
"""Has something computed on a thread of its choice."""


def at_once(encode: Callable[[], ImageFeatures]) -> ImageFeatures:
    """Encode on the thread that asks."""
    return encode()


@dataclass(frozen=True, eq=False)
class ReadyPlate:
    """Holds one plate, ready for the sessions of one network."""

    network: MatAnyone
    geometry: Geometry
    tolerance: float | None
    """Of the comparison with other plates (held_frames.py)."""
    plate: Tensor
    """(1, 3, H, W) on the device."""
    padded: Tensor
    """(1, 3, H, W) at working size, padded."""
    fingerprint: Tensor | None
    """What tells whether another plate repeats it; None where every frame is computed."""
    encode_on: EncodeOn
    """Runs the encoder where that may be before the plate's turn, and whenever it might have been."""
    encoded: dict[Window, ImageFeatures] = field(default_factory=dict)
    """Windows into it that went through the image encoder."""

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
        """Return whether of() would make the same with these values."""
        geometry = Geometry.of(self.geometry.frame, working_size, network.core_size)
        return self.network is network and self.geometry == geometry and self.tolerance == tolerance

    def repeats(self, fingerprint: Tensor | None) -> bool:
        """Return whether the plate that had this fingerprint was the same, within the tolerance."""
        if fingerprint is None or self.fingerprint is None or self.tolerance is None:
            return False
        return is_repeat(self.fingerprint, fingerprint, self.tolerance)

    def features(self, window: Window) -> ImageFeatures:
        """Return the image features of a window into the plate, which do not depend on the object; they are computed
        once.
        """
        if window not in self.encoded:
            may_be_ahead = window == self.geometry.whole and encodes_ahead(self.network.device, self.geometry)
            run = self.encode_on if may_be_ahead else at_once
            self.encoded[window] = run(lambda: self._encode(window))
        return self.encoded[window]

    def _encode(self, window: Window) -> ImageFeatures:
        with inference():
            return self.network.encode_image(window.cut(self.padded))

    def encode_ahead(self) -> None:
        """Encode the whole plate where that pays; this never raises an error."""
        if encodes_ahead(self.network.device, self.geometry):
            with suppress(OutOfMemory):  # in its turn there may be room
                self.features(self.geometry.whole)

    def forget(self) -> None:
        """Free the memory of what was encoded."""
        self.encoded.clear()


def encodes_ahead(device: torch.device, geometry: Geometry) -> bool:
    """Return whether encoding plates before their turn keeps cores busy that a frame alone does not.

    An accelerator has one queue for all; and where pixels are many, a frame has enough for every core, and its features
    take room that two of them need not take at once.
    """
    return device.type == "cpu" and geometry.whole.cells <= _MOST_CELLS_AHEAD


AnyPlate = Image | ReadyPlate
"""As it comes, or made ready."""


def float_tensor(image: Image) -> Tensor:
    """Return the image as a float32 tensor; a numpy array is copied where torch could not share it safely."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image, dtype=np.float32))
    return image.detach().to(torch.float32)


def channels_first(plate: Tensor) -> Tensor:
    """Return a plate as (3, H, W), whether its colours are its first axis or its last, as in an image of numpy's."""
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
    """Raise the error for values that are not numbers or lie outside of 0..1."""
    low, high = (float(end) for end in torch.aminmax(image))  # one pass; either end is NaN where any pixel is
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
