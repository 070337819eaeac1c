# SPDX-License-Identifier: Apache-2.0
"""Trains a refiner on stored patches, behind a core that is finished.

The patches (refiner_pairs.py) are written once, clip by clip, so a step costs no core and no composing.

Rules of this file:
1. The core is never touched.
2. What is saved is the average of the weights, as in loop.py.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from matanyone_engine.atomic import whole_file
from matanyone_engine.errors import DatasetError
from matanyone_engine.model.precision import half_type
from matanyone_engine.model.refiner import MARGIN, Refiner
from matanyone_engine.training.augment import Rng
from matanyone_engine.training.losses import alpha_l1, forgiven, laplacian
from matanyone_engine.training.refiner_pairs import RefinerPatches

BATCH = 8
RATE, RATE_RISE, LAST_RATE = 2e-3, 100, 0.03
"""Learning rate, iterations in which it rises from 0, and what part of it is left at the end."""
AVERAGE = 0.995
OVERSHOOT = 0.1
"""As TrainingStage.overshoot."""
HOPELESS = 0.08
"""Mean error of the core's alpha in a patch from which nothing is learnt: the core is lost there, not its edge soft."""
STRANDS, HOPELESS_STRANDS = 0.025, 0.3
"""Mean step between neighbouring true alphas from which on a patch is full of strands, and what is hopeless there. The
core makes one soft mass of strands, which is a large error, and just the one that the refiner is for: with HOPELESS
alone, nine of ten of these patches were left out."""
STRANDS_SHARE, MOST_STEP = 0.25, 0.12
"""Part of the draws in which patches with more strands are likelier, and the mean step from which on a patch is as
likely as one can be. Drawn clip by clip alone, a refiner sees strands so rarely that it does not learn to trust the
colours there."""
HELD_OUT = 20
"""Every 20th clip is kept for testing."""


class RefinerStep(NamedTuple):
    """Says what came of an iteration."""

    iteration: int
    error: float
    """Mean |alpha - truth| of its patches."""


class _Patches(NamedTuple):
    """Holds a batch of the refiner's inputs, and the truth; (B, C, PATCH, PATCH), 0..1, and (B, 1, 1, 1)."""

    plate: Tensor
    alpha: Tensor
    colours: Tensor
    truth: Tensor
    enlarged: Tensor


def write_patches(path: Path, patches: RefinerPatches) -> None:
    """Write the patches of one clip, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **patches._asdict())


def read_patches(path: Path) -> RefinerPatches:
    """Read what write_patches() wrote, without the patches in which the core is lost. Raises DatasetError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = RefinerPatches(**{name: file[name] for name in RefinerPatches._fields})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            expected="patches for a refiner (.npz)",
            came=f"{path}, which cannot be read as such ({error})",
            action="Delete the file and make the patches again.",
        ) from error
    kept = _teaches(found)
    return RefinerPatches(
        found.plate[kept], found.alpha[kept], found.colours[kept], found.truth[kept], float(found.enlarged)
    )


_INNER = slice(MARGIN, -MARGIN)


def _teaches(patches: RefinerPatches) -> NDArray[np.bool_]:
    """Return for each patch (N,) whether there is something to learn from it."""
    truth = patches.truth[..., _INNER, _INNER] / np.float32(255)
    errors = np.abs(patches.alpha[..., _INNER, _INNER] / np.float32(65535) - truth).mean(axis=(1, 2, 3))
    return np.asarray(errors < np.where(_steps(patches) > STRANDS, HOPELESS_STRANDS, HOPELESS))


def _steps(patches: RefinerPatches) -> NDArray[np.float32]:
    """Return for each patch (N,) the mean step, 0..1, between true alphas that lie side by side: how many strands it
    shows.
    """
    truth = patches.truth[..., _INNER, _INNER] / np.float32(255)
    return np.asarray(np.abs(np.diff(truth, axis=-1)).mean(axis=(1, 2, 3)))


class PatchPool:
    """Holds the clips to learn from, and draws patches of them."""

    def __init__(self, clips: list[RefinerPatches]) -> None:
        self._clips = clips
        self._places = [(clip, number) for clip in clips for number in range(len(clip.plate))]
        steps = np.concatenate([_steps(clip) for clip in clips]).astype(np.float64)
        self._chances = np.cumsum(np.clip(steps, 1e-6, MOST_STEP) ** 1.5)

    def drawn(self, rng: Rng) -> tuple[RefinerPatches, int]:
        """Draw a clip and the number of a patch in it."""
        if rng.random() < STRANDS_SHARE:
            place = np.searchsorted(self._chances, rng.random() * self._chances[-1])
            return self._places[min(int(place), len(self._places) - 1)]
        clip = self._clips[int(rng.integers(len(self._clips)))]
        return clip, int(rng.integers(len(clip.plate)))


def train_refiner(
    folder: Path, width: int, iterations: int, seed: int = 0, start: Refiner | None = None
) -> Iterator[tuple[RefinerStep, Refiner]]:
    """Train a refiner of this width on a folder of patches; after each iteration, yield it and the averaged refiner.

    start: a refiner of the same width to go on from; None for a new one. Raises DatasetError where the folder holds no
    patches.
    """
    pool = PatchPool(_clips(folder))
    torch.manual_seed(seed)
    refiner, rng = Refiner(width), np.random.default_rng(seed)
    if start is not None:
        refiner.load_state_dict(start.state_dict())
    optimiser = torch.optim.AdamW(refiner.parameters(), lr=RATE, weight_decay=1e-4)
    average = AveragedModel(refiner, avg_fn=_averaged)
    averaged = average.module
    assert isinstance(averaged, Refiner)
    half = half_type(torch.device("cpu")) is not None  # a CPU without instructions for it is slower in half precision
    for iteration in range(iterations):
        for group in optimiser.param_groups:
            group["lr"] = _rate_at(iteration, iterations)
        batch = _drawn(rng, pool)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answer = refiner(batch.plate, batch.alpha, batch.colours, batch.enlarged)
        truth = batch.truth[..., _INNER, _INNER]
        alpha = forgiven(answer.float()[..., _INNER, _INNER], truth, OVERSHOOT)
        optimiser.zero_grad(set_to_none=True)
        _loss(alpha, truth).backward()
        torch.nn.utils.clip_grad_norm_(refiner.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(refiner)
        yield RefinerStep(iteration, float(alpha_l1(alpha.detach(), truth))), averaged


def _clips(folder: Path) -> list[RefinerPatches]:
    """Return all clips to learn from, those left out that have no patch to learn from. Raises DatasetError for none."""
    files = [path for number, path in enumerate(sorted(folder.glob("*.npz"))) if number % HELD_OUT]
    clips = [clip for clip in map(read_patches, files) if len(clip.plate)]
    if not clips:
        raise DatasetError(
            expected=f"at least two clips of patches in {folder}, the first of which is kept for testing",
            came=f"{len(files)} to learn from" + (", all of which the core has lost" if files else ""),
            action="Make some: python examples/mini/refiner.py patches.",
        )
    return clips


def _averaged(before: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
    """Return a running average of weights that forgets its first steps soon."""
    decay = min(AVERAGE, (1 + int(steps)) / (10 + int(steps)))
    return decay * before + (1 - decay) * now


def _rate_at(iteration: int, iterations: int) -> float:
    rise = min(1.0, (iteration + 1) / RATE_RISE)
    fall = 0.5 + 0.5 * math.cos(math.pi * iteration / iterations)
    return RATE * rise * (LAST_RATE + (1 - LAST_RATE) * fall)


def _loss(alpha: Tensor, truth: Tensor) -> Tensor:
    """Compare alphas at several scales, and neighbouring pixels, so that an edge is as steep as the true one."""
    difference = alpha - truth
    steps = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + 0.5 * laplacian(alpha, truth) + steps


def _drawn(rng: Rng, pool: PatchPool) -> _Patches:
    """Draw a batch: each patch mirrored, turned or tinted by chance."""
    chosen = [_varied(rng, *pool.drawn(rng)) for _ in range(BATCH)]
    return _Patches(*(torch.from_numpy(np.stack(each)) for each in zip(*chosen, strict=True)))


def _varied(rng: Rng, clip: RefinerPatches, number: int) -> list[NDArray[np.float32]]:
    """Return one patch as floats 0..1, in the order of _Patches."""
    deepest = ((clip.plate, 255), (clip.alpha, 65535), (clip.colours, 255), (clip.truth, 255))
    maps = [np.float32(1 / most) * each[number] for each, most in deepest]
    if rng.random() < 0.5:
        maps = [each[..., ::-1] for each in maps]
    if rng.random() < 0.3:
        maps = [np.rot90(each, axes=(1, 2)) for each in maps]
    if rng.random() < 0.3:
        tint = rng.uniform(0.6, 1.4, (3, 1, 1)).astype(np.float32)
        maps[0], maps[2] = np.clip(maps[0] * tint, 0, 1), np.clip(maps[2] * np.concatenate([tint, tint]), 0, 1)
    return [*(np.ascontiguousarray(each) for each in maps), np.full((1, 1, 1), clip.enlarged, np.float32)]
