# SPDX-License-Identifier: Apache-2.0
"""Computes one frame with the network: (plan, state, plate) -> (alpha, new state, change), without
side effects.

Axes: B batch (1), H W padded working size, h w stride 16.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from matanyone_engine.matting.inside_outside import MaskLimits
from matanyone_engine.matting.schedule import FramePlan, ValueSource
from matanyone_engine.matting.state import Carried, StreamState
from matanyone_engine.memory.bank import MemoryBank, Tokens
from matanyone_engine.memory.read import DEFAULT_BLOCK_BYTES
from matanyone_engine.memory.summary import accumulated, normalised
from matanyone_engine.model.blocks import token_map, tokens
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone


class StepResult(NamedTuple):
    """Holds the result of a frame."""

    alpha: Tensor
    """(B, 1, H, W) 0..1."""
    state: StreamState
    """After it."""
    change: Tensor | None = None
    """(B, 1, h, w) 0..1: where the change head trusted memory more than the last value; None if memory was not read."""
    overruled: Tensor | None = None
    """0..1: the part of the network's alpha that a guide has changed; None without a guide."""


def assign(
    network: MatAnyone, plan: FramePlan, state: StreamState, features: ImageFeatures, mask: Tensor
) -> StepResult:
    """Remember a frame whose alpha is the given mask (B, 1, H, W) 0..1."""
    sensory = _no_sensory(network, features) if state.carried is None else state.carried.sensory
    return StepResult(mask, _remembered(network, plan, state, features, mask, sensory))


def predict(
    network: MatAnyone,
    plan: FramePlan,
    state: StreamState,
    features: ImageFeatures,
    top_k: int | None,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    limits: MaskLimits | None = None,
) -> StepResult:
    """Compute the alpha of a frame with the network, within the limits.

    The limits are applied before anything is remembered, so that what they remove on one frame cannot come back on the
    next.
    """
    carried = state.known()
    value, bank, change = carried.value, state.bank, None
    if plan.source is ValueSource.MEMORY:
        value, bank, change = _value_from_memory(network, carried, bank, features, top_k, block_bytes)
    pixel_readout = network.fuse(features, value, carried.sensory, carried.alpha)
    readout = network.transform(pixel_readout, normalised(carried.summary)).readout
    maps = network.decode_in_strips(features, readout)
    overruled = None
    if limits is not None:
        overruled = limits.overruled(maps.raw_alpha.clamp(0, 1))
        maps = maps._replace(raw_alpha=limits.applied(maps.raw_alpha))
    sensory = carried.sensory
    if plan.updates_sensory:
        sensory = network.update_sensory_from_decoder(maps, sensory)
    alpha = maps.raw_alpha.clamp(0, 1)
    after = _remembered(network, plan, replace(state, bank=bank), features, alpha, sensory)
    return StepResult(alpha, after, change, overruled)


def _value_from_memory(
    network: MatAnyone,
    carried: Carried,
    bank: MemoryBank,
    features: ImageFeatures,
    top_k: int | None,
    block_bytes: int,
) -> tuple[Tensor, MemoryBank, Tensor]:
    """Read memory, and use the last value where the change head finds no change."""
    flat, bank = bank.read(
        tokens(features.key),
        tokens(features.selection),
        top_k=top_k,
        block_bytes=block_bytes,
        half_search=network.half_search,
    )
    read = token_map(flat, features.key.shape[-2:])
    change = torch.sigmoid(network.change_logits(carried.pix, features, carried.alpha, read - carried.value))
    return change * read + (1 - change) * carried.value, bank, change


def _no_sensory(network: MatAnyone, features: ImageFeatures) -> Tensor:
    return features.pix.new_zeros(1, network.dims.sensory_dim, *features.pix.shape[-2:])


def _remembered(
    network: MatAnyone,
    plan: FramePlan,
    state: StreamState,
    features: ImageFeatures,
    alpha: Tensor,
    sensory: Tensor,
) -> StreamState:
    """Return the state after a frame with this alpha.

    Every frame's value is kept as the last one; some frames also go into memory.
    """
    value = network.encode_mask(features, alpha)
    if not plan.memorises:
        carried = Carried(sensory, alpha, features.pix, value, state.known().summary)
        return replace(state, cursor=plan.cursor, carried=_plain(carried))
    old = None if plan.forgets_first or state.carried is None else state.carried.summary
    bank = state.bank.forgotten() if plan.forgets_first else state.bank
    return replace(
        state,
        cursor=plan.cursor,
        bank=bank.added(_frame_tokens(features, value)),
        carried=_plain(
            Carried(
                network.update_sensory_from_value(value, sensory),
                alpha,
                features.pix,
                value,
                accumulated(old, network.summarize(value, alpha)),
            )
        ),
    )


def _plain(carried: Carried) -> Carried:
    """Return the maps in one fixed memory layout, so that a restored state gives the same bits."""
    return Carried(*(tensor.contiguous() for tensor in carried))


def _frame_tokens(features: ImageFeatures, value: Tensor) -> Tokens:
    return Tokens(
        key=tokens(features.key),
        shrinkage=tokens(features.shrinkage).squeeze(-1),
        value=tokens(value),
        selection=tokens(features.selection),
    ).map(torch.Tensor.contiguous)
