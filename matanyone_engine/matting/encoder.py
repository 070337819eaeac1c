# SPDX-License-Identifier: Apache-2.0
"""The image encoder, run once for a plate that several sessions see."""

from __future__ import annotations

from torch import Tensor

from matanyone_engine.matting.geometry import Geometry, Window
from matanyone_engine.matting.holdout import Image
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone


def encode(network: MatAnyone, padded: Tensor, window: Window) -> ImageFeatures:
    """Features of a window into a plate of working size, padded (1, 3, H, W)."""
    return network.encode_image(window.cut(padded))


class SharedEncoder:
    """Features of one plate at a time, kept until the next plate or forget()."""

    def __init__(self, network: MatAnyone) -> None:
        self._network = network
        self._plate: Image | None = None
        self._features: dict[tuple[Geometry, Window], ImageFeatures] = {}
        self.encoded = 0
        """Plates, or windows into them, that went through the network."""

    def __call__(self, plate: Image, padded: Tensor, geometry: Geometry, window: Window) -> ImageFeatures:
        """Features of a window into a plate; padded is the same plate prepared with this geometry.

        The same object is taken for the same plate: whoever writes another plate into it calls forget() first.
        """
        if plate is not self._plate:
            self._plate, self._features = plate, {}
        if (geometry, window) not in self._features:
            self._features[geometry, window] = encode(self._network, padded, window)
            self.encoded += 1
        return self._features[geometry, window]

    def forget(self) -> None:
        """Give the memory back."""
        self._plate, self._features = None, {}
