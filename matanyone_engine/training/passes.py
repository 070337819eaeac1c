# SPDX-License-Identifier: Apache-2.0
"""Computes the passes of training, with a function for each kind: a batch goes in, named loss terms come out.

Rules of this file:
1. The network is run through its public methods and memory is read with memory/read.py, as at inference.
2. There is no optimiser and no file here: loop.py decides when a pass runs and how its terms are used.

Axes: B batch, T frames, H W crop, h w stride 16, P pixels at stride 16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from matanyone_engine.memory.read import read
from matanyone_engine.memory.summary import accumulated, normalised
from matanyone_engine.model.blocks import token_map, tokens
from matanyone_engine.model.decoder import DecoderMaps
from matanyone_engine.model.encoders import ImageFeatures
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.training import losses
from matanyone_engine.training.recipe import LossPass, MattingData, TrainingStage, labels_are_video

Terms = dict[str, Tensor]
"""Weighted scalars by name. Their sum is minimised."""

MATTING_MOVED, LABEL_MOVED = 0.001, 0.0
"""A stride-16 pixel counts as changed if its alpha, or its label, changes by more than this."""


class Batch(NamedTuple):
    """Holds the clips of a pass."""

    plates: Tensor
    """(B, T, 3, H, W), display-referred 0..1."""
    alphas: Tensor
    """(B, T, 1, H, W), true alphas or binary labels."""
    guide: Tensor
    """(B, 1, H, W), the mask an artist might have drawn on the first frame."""
    slots: tuple[int, ...]
    """The numbers of these clips among all clips of the step, which several processes share."""

    def to(self, device: torch.device) -> Batch:
        """Return the tensors on a device."""
        return Batch(self.plates.to(device), self.alphas.to(device), self.guide.to(device), self.slots)


class Clamped(NamedTuple):
    """Holds a raw alpha in its two uses, of which either may be clamped to 0..1."""

    remembered: Tensor
    """The alpha that goes into memory."""
    compared: Tensor
    """The alpha that the losses compare."""


class Prediction(NamedTuple):
    """Holds the network's outputs for one frame."""

    maps: DecoderMaps
    alpha: Clamped
    """(B, 1, H, W) each."""
    auxiliary: list[Tensor]
    """Log-odds (B, 1, h, w)."""
    change: Tensor | None
    """Log-odds (B, 1, h, w); None for the first frame."""


Clamp = Callable[[Tensor], Clamped]


def clamp_of(stage: TrainingStage, iteration: int) -> Clamp:
    """Return the function that clamps raw alphas in this iteration."""
    if stage.clamp_from is None:
        return _clamped_for_memory
    return _clamped if iteration >= stage.clamp_from else _unclamped


def _clamped(raw: Tensor) -> Clamped:
    alpha = raw.clamp(0, 1)
    return Clamped(alpha, alpha)


def _unclamped(raw: Tensor) -> Clamped:
    return Clamped(raw, raw)


def _clamped_for_memory(raw: Tensor) -> Clamped:
    """Clamp alphas for memory alone. The losses compare raw alphas: clamped ones have no gradient beyond 0 and 1, so
    that a hole below 0 would not close, and nothing would bound the decoder's gain.
    """
    return Clamped(raw.clamp(0, 1), raw)


# -- the unrolled network ---------------------------------------------------------------------------------------------


@dataclass
class Unrolled:
    """Holds the state that is passed from frame to frame, and the memory: keys and values of all frames."""

    sensory: Tensor
    alpha: Tensor
    value: Tensor
    summary: Tensor
    keys: list[ImageFeatures] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


def unroll(
    network: MatAnyone, batch: Batch, stage: TrainingStage, clamp: Clamp, rng: np.random.Generator
) -> list[Prediction]:
    """Follow the guide mask through the clip. Returns a Prediction for each frame, the first included.

    Losses are computed outside of autocast: in bfloat16, the gradient of the Laplacian term is wrong.
    """
    with torch.autocast(batch.plates.device.type, torch.bfloat16, enabled=stage.bf16):
        features = _features(network, batch.plates)
        carried, first = _first_frame(network, features[0], batch.guide, stage, clamp, rng)
        answers = [first]
        for frame in range(1, len(features)):
            answers.append(_next_frame(network, features[frame - 1 : frame + 1], carried, stage, clamp, rng))
    return answers


def _features(network: MatAnyone, plates: Tensor) -> list[ImageFeatures]:
    """Encode the images of all frames at once, and return them frame by frame."""
    count = plates.shape[1]
    every = network.encode_image(plates.transpose(0, 1).flatten(0, 1))
    return [ImageFeatures(*parts) for parts in zip(*(x.chunk(count) for x in every), strict=True)]


def _first_frame(
    network: MatAnyone,
    features: ImageFeatures,
    guide: Tensor,
    stage: TrainingStage,
    clamp: Clamp,
    rng: np.random.Generator,
) -> tuple[Unrolled, Prediction]:
    """Encode the mask, and predict the first frame `warm_ups` times; memory then holds the last prediction."""
    blank = features.pix.new_zeros(len(guide), network.dims.sensory_dim, *features.pix.shape[-2:])
    value = network.encode_mask(features, guide)
    carried = Unrolled(network.update_sensory_from_value(value, blank), guide, value, network.summarize(value, guide))
    passes = int(rng.integers(stage.warm_ups[0], stage.warm_ups[1] + 1))
    for number in range(passes):
        answer = _predicted(network, features, carried.value, carried, clamp, None)
        deep = number < passes - 1 or rng.random() < stage.deep_update
        _remember(network, features, answer, carried, stage, deep=deep, forget=True)
    return carried, answer


def _next_frame(
    network: MatAnyone,
    pair: list[ImageFeatures],
    carried: Unrolled,
    stage: TrainingStage,
    clamp: Clamp,
    rng: np.random.Generator,
) -> Prediction:
    """Read memory, predict a frame, and add it to memory. The last value is that of the frame before, as at
    inference.
    """
    last, features = pair
    found = _read(features, carried, stage, rng)
    change = network.change_logits(last.pix, features, carried.alpha, found - carried.value)
    weight = torch.sigmoid(change)
    answer = _predicted(network, features, weight * found + (1 - weight) * carried.value, carried, clamp, change)
    _remember(network, features, answer, carried, stage, deep=rng.random() < stage.deep_update, forget=False)
    return answer


def _remember(
    network: MatAnyone,
    features: ImageFeatures,
    answer: Prediction,
    carried: Unrolled,
    stage: TrainingStage,
    *,
    deep: bool,
    forget: bool,
) -> None:
    """Add a frame to the state and to memory. deep: with a deep sensory update. forget: after memory was cleared."""
    alpha, maps, sensory = answer.alpha.remembered, answer.maps, carried.sensory
    if not stage.through_time:
        alpha, maps, sensory = alpha.detach(), _detached(maps), sensory.detach()
    value = network.encode_mask(features, alpha)
    sensory = network.update_sensory_from_decoder(maps, sensory)
    carried.sensory = network.update_sensory_from_value(value, sensory) if deep else sensory
    carried.summary = accumulated(None if forget else carried.summary, network.summarize(value, alpha))
    carried.alpha, carried.value = alpha, value
    carried.keys = [features] if forget else [*carried.keys, features]
    carried.values = [value] if forget else [*carried.values, value]


def _detached(maps: DecoderMaps) -> DecoderMaps:
    return DecoderMaps(*(None if x is None else x.detach() for x in maps))  # type: ignore[arg-type]


def _read(features: ImageFeatures, carried: Unrolled, stage: TrainingStage, rng: np.random.Generator) -> Tensor:
    """Return the value (B, V, h, w) that some earlier frames hold for this one, in float32."""
    known = len(carried.keys)
    chosen = sorted(rng.choice(known, min(known, stage.references), replace=False))
    with torch.autocast(features.key.device.type, enabled=False):
        found = read(
            torch.cat([tokens(carried.keys[k].key.float()) for k in chosen], dim=1),
            torch.cat([tokens(carried.keys[k].shrinkage.float()).squeeze(-1) for k in chosen], dim=1),
            torch.cat([tokens(carried.values[k].float()) for k in chosen], dim=1),
            tokens(features.key.float()),
            tokens(features.selection.float()),
            top_k=stage.top_k,
        )
    return token_map(found.value, features.key.shape[-2:])


def _predicted(
    network: MatAnyone, features: ImageFeatures, value: Tensor, carried: Unrolled, clamp: Clamp, change: Tensor | None
) -> Prediction:
    pixel_readout = network.fuse(features, value, carried.sensory, carried.alpha)
    transformed = network.transform(pixel_readout, normalised(carried.summary))
    maps = network.decode(features, transformed.readout)
    sensory_map = network.aux_computer.sensory_aux(features.pix, carried.sensory)
    return Prediction(maps, clamp(maps.raw_alpha.float()), [sensory_map, *transformed.logits], change)


# -- the passes -------------------------------------------------------------------------------------------------------


def matting_pass(
    network: MatAnyone, batch: Batch, stage: TrainingStage, iteration: int, rng: np.random.Generator
) -> tuple[Terms, list[Prediction]]:
    """Compute the terms of the matting pass, from the matting head and true alphas."""
    answers = unroll(network, batch, stage, clamp_of(stage, iteration), rng)
    alphas = torch.stack([answer.alpha.compared for answer in answers], dim=1)
    alphas = losses.forgiven(alphas, batch.alphas, stage.overshoot)
    later, truth = _frames(alphas[:, 1:]), _frames(batch.alphas[:, 1:])
    first, first_truth = alphas[:, 0], batch.alphas[:, 0]
    weights = stage.weights
    terms = {
        "l1": losses.alpha_l1(later, truth),
        "laplacian": losses.laplacian(later, truth),
        "coherence": weights.coherence * losses.coherence(alphas[:, 1:], batch.alphas[:, 1:]),
        "first": weights.first * (losses.alpha_l1(first, first_truth) + losses.laplacian(first, first_truth)),
        "auxiliary": weights.auxiliary * _auxiliary(answers, batch.alphas),
    }
    if weights.edge:
        terms["edge"] = weights.edge * losses.edge_l1(later, truth)
    if stage.matting is MattingData.VIDEO:
        terms["change"] = weights.change * _change(answers, batch.alphas, MATTING_MOVED)
    return terms, answers


def segmentation_pass(
    network: MatAnyone, batch: Batch, stage: TrainingStage, iteration: int, rng: np.random.Generator
) -> tuple[Terms, list[Prediction]]:
    """Compute the terms of the segmentation pass, from the segmentation head and binary labels, at random points."""
    answers = unroll(network, batch, stage, clamp_of(stage, iteration), rng)
    seed = int(rng.integers(2**40))
    generators = [torch.Generator().manual_seed(seed + slot) for slot in batch.slots]
    per_frame = [
        _on_points(network.mask_decoder.segmentation_logits(answer.maps).float(), label, stage.points, generators)
        for answer, label in zip(answers, batch.alphas.unbind(1), strict=True)
    ]
    maps = [
        _on_points(_full(logits, batch), label, stage.points, generators)
        for answer, label in zip(answers, batch.alphas.unbind(1), strict=True)
        for logits in answer.auxiliary
    ]
    weights = stage.weights
    terms = {
        "segmentation": torch.stack(per_frame[1:]).sum(),
        "segmentation_first": weights.first * per_frame[0],
        "segmentation_auxiliary": weights.auxiliary * torch.stack(maps).sum(),
    }
    if labels_are_video(iteration):
        terms["segmentation_change"] = weights.change * _change(answers, batch.alphas, LABEL_MOVED)
    return terms, answers


def core_pass(
    network: MatAnyone, batch: Batch, stage: TrainingStage, iteration: int, rng: np.random.Generator
) -> tuple[Terms, list[Prediction]]:
    """Compute the terms of the core pass, from the matting head: far from the outline by binary labels, and near it by
    the boundary loss.
    """
    answers = unroll(network, batch, stage, clamp_of(stage, iteration), rng)
    alphas = torch.stack([answer.alpha.compared for answer in answers], dim=1)
    known = losses.known_region(batch.alphas)
    weights = stage.weights
    terms = {
        "core": losses.core(alphas[:, 1:], batch.alphas[:, 1:], known[:, 1:]),
        "core_first": weights.first * losses.core(alphas[:, 0], batch.alphas[:, 0], known[:, 0]),
        "core_auxiliary": weights.auxiliary * _auxiliary(answers, batch.alphas, known),
        "boundary": weights.boundary * losses.boundary(_frames(alphas), _frames(batch.plates)),
    }
    if labels_are_video(iteration):
        terms["core_change"] = weights.change * _change(answers, batch.alphas, LABEL_MOVED)
    return terms, answers


def _frames(x: Tensor) -> Tensor:
    """Return (B, T, C, H, W) as (B T, C, H, W)."""
    return x.flatten(0, 1)


def _full(logits: Tensor, batch: Batch) -> Tensor:
    return F.interpolate(logits.float(), size=batch.plates.shape[-2:], mode="bilinear", align_corners=False)


def _on_points(logits: Tensor, label: Tensor, count: int, generators: list[torch.Generator]) -> Tensor:
    return losses.segmentation(logits, label, losses.sample_points(logits, count, generators))


def _auxiliary(answers: list[Prediction], alphas: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the loss of the auxiliary maps, summed over maps and averaged over frames; weighted by `known`, if
    given.
    """
    terms = [
        losses.log_odds_loss(logits.float(), alphas[:, frame], None if known is None else known[:, frame])
        for frame, answer in enumerate(answers)
        for logits in answer.auxiliary
    ]
    return torch.stack(terms).sum() / len(answers)


def _change(answers: list[Prediction], alphas: Tensor, threshold: float) -> Tensor:
    terms = [
        losses.change_loss(answer.change.float(), alphas[:, frame], alphas[:, frame - 1], threshold)
        for frame, answer in enumerate(answers)
        if answer.change is not None
    ]
    return torch.stack(terms).mean()


PASSES = {LossPass.MATTING: matting_pass, LossPass.SEGMENTATION: segmentation_pass, LossPass.CORE: core_pass}
