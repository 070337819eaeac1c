# SPDX-License-Identifier: Apache-2.0
"""Computes a session in the plainest way, to measure what the network costs without matting/'s optimisations.

It has the same weights and results as matting/, but computes the whole matrix of queries and tokens at once and reads
memory densely from it, encodes the plate again for every warm-up pass, and uses torch's default memory layout. Only
benchmarks/network.py uses it, for comparison. There is one object, with default memory settings and without long-term
memory.

Axes: B batch (1), N stored tokens, P pixels at stride 16, K key channels, V value channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from matanyone_engine.memory.summary import normalised
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone

MEMORY_EVERY, BANK_FRAMES, TOP_K = 5, 5, 30


def dense_read(key: Tensor, shrinkage: Tensor, value: Tensor, query: Tensor, selection: Tensor) -> Tensor:
    """Read memory. key (B, K, N), shrinkage (B, 1, N), value (B, V, N); query, selection (B, K, P). Returns (B, V,
    P).
    """
    squares = key.square().transpose(1, 2) @ selection
    products = 2 * (key.transpose(1, 2) @ (query * selection))
    constant = (selection * query.square()).sum(dim=1, keepdim=True)
    similar = (products - squares - constant) * shrinkage.transpose(1, 2) / math.sqrt(key.shape[1])
    best = torch.topk(similar, min(TOP_K, similar.shape[1]), dim=1)
    weight = torch.softmax(best.values, dim=1)
    affinity = torch.zeros_like(similar).scatter_(1, best.indices, weight)
    return value @ affinity


class DenseSession:
    """Follows one object through one shot, as MattingSession does: seed, then advance."""

    def __init__(self, network: MatAnyone, warm_up_passes: int = 10) -> None:
        """network: from build_network; it is used in torch's default memory layout."""
        self.network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.warm_up_passes = warm_up_passes
        self.stored: list[tuple[Tensor, Tensor, Tensor]] = []
        self.frame = self.memorised = 0

    @torch.inference_mode()
    def seed(self, plate: Tensor, mask: Tensor) -> Tensor:
        """Return the alpha (1, 1, H, W) of a padded plate (1, 3, H, W) with its mask (1, 1, H, W)."""
        features = self.network.encode_image(plate)
        self.sensory = features.pix.new_zeros(1, self.network.dims.sensory_dim, *features.pix.shape[-2:])
        self.alpha, self.pix = mask, features.pix
        self._remember(features)
        for _ in range(1 + self.warm_up_passes):
            self.warm_up(plate)
        return self.alpha

    @torch.inference_mode()
    def warm_up(self, plate: Tensor) -> Tensor:
        """Predict the seeded frame again, from its last alpha."""
        features = self.network.encode_image(plate)
        self._predict(features, self.value, update=True)
        self.stored.clear()
        self.frame = self.memorised = 0
        self._remember(features)
        return self.alpha

    @torch.inference_mode()
    def advance(self, plate: Tensor) -> Tensor:
        """Return the next frame's alpha (1, 1, H, W)."""
        self.frame += 1
        features = self.network.encode_image(plate)
        read = self._read(features)
        change = torch.sigmoid(self.network.change_logits(self.pix, features, self.alpha, read - self.value))
        self._predict(features, change * read + (1 - change) * self.value, update=True)
        if self.frame - self.memorised >= MEMORY_EVERY:
            self.memorised = self.frame
            self._remember(features)
        else:
            self.value = self.network.encode_mask(features, self.alpha)
            self.network.summarize(self.value, self.alpha)
        return self.alpha

    def _read(self, features: ImageFeatures) -> Tensor:
        keys, shrinkages, values = (torch.cat(parts, dim=2) for parts in zip(*self.stored, strict=True))
        flat = dense_read(keys, shrinkages, values, features.key.flatten(2), features.selection.flatten(2))
        return flat.unflatten(2, features.key.shape[-2:])

    def _predict(self, features: ImageFeatures, value: Tensor, update: bool) -> None:
        pixels = self.network.fuse(features, value, self.sensory, self.alpha)
        maps = self.network.decode(features, self.network.transform(pixels, normalised(self.summary)).readout)
        if update:
            self.sensory = self.network.update_sensory_from_decoder(maps, self.sensory)
        self.alpha, self.pix = maps.raw_alpha.clamp(0, 1), features.pix

    def _remember(self, features: ImageFeatures) -> None:
        self.value = self.network.encode_mask(features, self.alpha)
        self.sensory = self.network.update_sensory_from_value(self.value, self.sensory)
        frame = self.network.summarize(self.value, self.alpha)
        self.summary = self.summary + frame if self.stored else frame
        self.stored.append((features.key.flatten(2), features.shrinkage.flatten(2), self.value.flatten(2)))
        if len(self.stored) > BANK_FRAMES:
            del self.stored[1]
