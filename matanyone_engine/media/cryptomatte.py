# SPDX-License-Identifier: Apache-2.0
"""Stores alphas as Cryptomatte, after version 1.2.0 of its specification (github.com/Psyop/Cryptomatte).

Every pixel lists the objects that cover it, the largest coverage first, as pairs of an id and a coverage. The pairs are
called ranks: rank 0 is R, G of the layer CryptoObject00 and rank 1 its B, A; ranks 2 and 3 are those of CryptoObject01.
An id is 32 bits that are made from the object's name and stored as a float. The coverages of a pixel add up to at most
1. Id and coverage are 0 where there is no object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import mmh3
import numpy as np

from matanyone_engine.errors import SettingError
from matanyone_engine.media.images import Attribute, FloatImage

TYPE_NAME = "CryptoObject"

MOST_RANKS = 6
"""The most objects that are stored for a pixel, as many as renderers write."""


def object_id(name: str) -> int:
    """Return the 32-bit id of a name: MurmurHash3_x86_32 of its UTF-8. One bit is flipped where it would be a NaN."""
    value = mmh3.hash(name.encode(), signed=False)
    return value ^ (1 << 23) if (value >> 23) & 0xFF in (0, 0xFF) else value


def cryptomatte_channels(alphas: Mapping[str, FloatImage]) -> dict[str, FloatImage]:
    """Return the channels CryptoObject00.R ..., (H, W) float32, from the alpha of each object, (H, W) 0..1.

    Their number depends on the number of objects alone.
    """
    coverages = np.stack(list(alphas.values()))
    coverages /= np.maximum(coverages.sum(axis=0), np.float32(1.0))
    ids = np.array([object_id(name) for name in alphas], dtype=np.uint32).view(np.float32)
    order = np.argsort(-coverages, axis=0, kind="stable")
    channels = {}
    for rank in range(2 * _layers(len(alphas))):
        layer, (id_channel, coverage_channel) = f"{TYPE_NAME}{rank // 2:02d}", ("RG", "BA")[rank % 2]
        ranked = order[rank] if rank < len(alphas) else None
        coverage = _ranked(coverages, ranked)
        channels[f"{layer}.{id_channel}"] = np.where(
            coverage > 0, ids[ranked] if ranked is not None else 0, np.float32(0)
        )
        channels[f"{layer}.{coverage_channel}"] = coverage
    return channels


def cryptomatte_attributes(objects: Sequence[str]) -> list[Attribute]:
    """Return the header attributes of Cryptomatte: the layers' name and the manifest of ids.

    Raises SettingError if two names have the same id.
    """
    manifest = {name: f"{object_id(name):08x}" for name in objects}
    if len(set(manifest.values())) < len(manifest):
        raise SettingError(
            expected="object names with different Cryptomatte ids",
            came=f"the same id for two of {', '.join(objects)}",
            action="Give one of them another name.",
        )
    prefix = f"cryptomatte/{mmh3.hash(TYPE_NAME.encode(), signed=False):08x}"[: len("cryptomatte/") + 7]
    said = {
        "name": TYPE_NAME,
        "hash": "MurmurHash3_32",
        "conversion": "uint32_to_float32",
        "manifest": json.dumps(manifest, ensure_ascii=False, separators=(",", ":")),
    }
    return [Attribute(f"{prefix}/{key}", "string", value) for key, value in said.items()]


def _layers(objects: int) -> int:
    return (min(objects, MOST_RANKS) + 1) // 2


def _ranked(coverages: FloatImage, order: np.ndarray | None) -> FloatImage:
    """Return the coverage of one rank, (H, W), from those of all objects, (N, H, W); 0 if `order` is None."""
    if order is None:
        return np.zeros(coverages.shape[1:], np.float32)
    return np.take_along_axis(coverages, order[np.newaxis], axis=0)[0]
