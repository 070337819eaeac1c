# SPDX-License-Identifier: Apache-2.0
"""The image encoder, run once for a plate that several sessions see."""

from __future__ import annotations

from torch import Tensor

from matanyone_engine.matting.geometry import Geometry
from matanyone_engine.matting.holdout import Image
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone


def encode(network: MatAnyone, image: Tensor, geometry: Geometry) -> ImageFeatures:
    """Features of a plate, float32 (3, H, W)."""
    return network.encode_image(geometry.prepare(image.unsqueeze(0).to(network.device)))


class SharedEncoder:
    """Features of one plate at a time, kept until the next plate or forget()."""

    def __init__(self, network: MatAnyone) -> None:
        self._network = network
        self._plate: Image | None = None
        self._features: dict[Geometry, ImageFeatures] = {}
        self.encoded = 0
        """Plates that went through the network."""

    def __call__(self, plate: Image, image: Tensor, geometry: Geometry) -> ImageFeatures:
        """Features of a plate; image is the same as float32 (3, H, W).

        The same object is taken for the same plate: whoever writes another plate into it calls forget() first.
        """
        if plate is not self._plate:
            self._plate, self._features = plate, {}
        if geometry not in self._features:
            self._features[geometry] = encode(self._network, image, geometry)
            self.encoded += 1
        return self._features[geometry]

    def forget(self) -> None:
        """Give the memory back."""
        self._plate, self._features = None, {}
