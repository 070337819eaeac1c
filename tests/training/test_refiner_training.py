# SPDX-License-Identifier: Apache-2.0
"""A refiner learns: patches come from a real session on composed clips, and training lowers their error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import toy_network

from matanyone_engine.errors import DatasetError
from matanyone_engine.model.refiner import MARGIN, MOST_ENLARGED
from matanyone_engine.training.data import MattingSamples
from matanyone_engine.training.recipe import MattingData
from matanyone_engine.training.refiner_pairs import PATCH, RefinerPatches, patches_of_clip
from matanyone_engine.training.refiner_training import (
    STRANDS_SHARE,
    PatchPool,
    read_patches,
    train_refiner,
    write_patches,
)

INNER = slice(MARGIN, -MARGIN)


def soft_discs(count: int = 6) -> RefinerPatches:
    """Red discs on blue, whose alpha the core knows only three times blurred."""
    rng, down = np.random.default_rng(1), np.mgrid[:PATCH, :PATCH]
    plates, alphas, truths = [], [], []
    for _ in range(count):
        centre = rng.uniform(0.3, 0.7, 2) * PATCH
        distance = np.hypot(*(down - centre[:, None, None])) - rng.uniform(15, 40)
        truth, alpha = (np.clip(0.5 - distance / width, 0, 1) for width in (2, 14))
        red, blue = np.array([200.0, 30, 30]), np.array([30.0, 60, 200])
        plates.append(truth * red[:, None, None] + (1 - truth) * blue[:, None, None])
        alphas.append(alpha[None])
        truths.append(truth[None])
    colours = np.broadcast_to(np.array([200, 30, 30, 30, 60, 200])[None, :, None, None], (count, 6, PATCH, PATCH))
    return RefinerPatches(
        np.round(np.stack(plates)).astype(np.uint8),
        np.round(65535 * np.stack(alphas)).astype(np.uint16),
        colours.astype(np.uint8),
        np.round(255 * np.stack(truths)).astype(np.uint8),
        2.0,
    )


def error_of(clip: RefinerPatches, alpha: np.ndarray) -> float:
    return float(np.abs(alpha - clip.truth / 255)[..., INNER, INNER].mean())


def test_a_refiner_learns_to_sharpen(tmp_path: Path) -> None:
    clip = soft_discs()
    for number in range(2):
        write_patches(tmp_path / f"{number:06d}.npz", clip)
    *_, (_, refiner) = train_refiner(tmp_path, width=8, iterations=50)
    with torch.no_grad():
        shown = [
            torch.from_numpy(each / np.float32(most)) for each, most in zip(clip[:3], (255, 65535, 255), strict=True)
        ]
        answer = refiner(*shown, 2.0).clamp(0, 1).numpy()
    assert error_of(clip, answer) < 0.75 * error_of(clip, clip.alpha / 65535)


def test_patches_come_from_a_session(every_layout: Path) -> None:
    """Those of plates that are enlarged: what the core saw is smaller, and the truth is not."""
    samples = MattingSamples(every_layout, MattingData.VIDEO)
    found = patches_of_clip(toy_network(), samples, np.random.default_rng(3))
    count = len(found.plate)
    assert 8 <= count <= 40
    assert found.plate.shape == (count, 3, PATCH, PATCH)
    assert found.colours.shape == (count, 6, PATCH, PATCH)
    assert found.alpha.shape == found.truth.shape == (count, 1, PATCH, PATCH)
    assert 1 <= found.enlarged <= MOST_ENLARGED + 0.05
    again = patches_of_clip(toy_network(), samples, np.random.default_rng(3))
    assert all(np.array_equal(one, other) for one, other in zip(found, again, strict=True))
    soft = (found.truth[..., INNER, INNER] > 5) & (found.truth[..., INNER, INNER] < 250)
    wrong = np.abs(found.truth / 255 - found.alpha / 65535)[..., INNER, INNER] > 0.05
    assert (soft | wrong).any(axis=(1, 2, 3)).mean() > 0.9


def test_patches_where_the_core_is_lost_are_left_out(tmp_path: Path) -> None:
    clip = soft_discs()
    lost = clip.alpha.copy()
    lost[2] = 65535 - lost[2]
    write_patches(tmp_path / "000001.npz", clip._replace(alpha=lost))
    found = read_patches(tmp_path / "000001.npz")
    assert len(found.plate) == len(found.truth) == len(clip.plate) - 1
    assert found.enlarged == 2.0


def test_a_damaged_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"at least two clips.*got 0 to learn from"):
        next(train_refiner(tmp_path, width=8, iterations=1))
    clip = soft_discs(2)
    for number in range(2):
        write_patches(tmp_path / f"{number:06d}.npz", clip._replace(alpha=65535 - clip.alpha))
    with pytest.raises(DatasetError, match="1 to learn from, all of which the core has lost"):
        next(train_refiner(tmp_path, width=8, iterations=1))
    (tmp_path / "000001.npz").write_bytes(b"PK not a zip")
    with pytest.raises(DatasetError, match="000001"):
        read_patches(tmp_path / "000001.npz")


def test_a_soft_mass_for_strands_teaches_and_a_lost_core_does_not(tmp_path: Path) -> None:
    """Both cores answer a fifth everywhere; strands are there in one of the two patches only."""
    strands = np.zeros((1, 1, PATCH, PATCH), np.uint8)
    strands[..., ::16] = strands[..., 1::16] = 255  # two of sixteen columns
    alpha = np.full((1, 1, PATCH, PATCH), 65535 // 5, np.uint16)
    plate, colours = np.zeros((1, 3, PATCH, PATCH), np.uint8), np.zeros((1, 6, PATCH, PATCH), np.uint8)
    write_patches(tmp_path / "000000.npz", RefinerPatches(plate, alpha, colours, strands, 2.0))
    write_patches(tmp_path / "000001.npz", RefinerPatches(plate, alpha, colours, np.zeros_like(strands), 2.0))
    assert len(read_patches(tmp_path / "000000.npz").plate) == 1
    assert len(read_patches(tmp_path / "000001.npz").plate) == 0


def test_patches_with_strands_are_drawn_more_often() -> None:
    """One clip has ten flat patches, the other nine flat ones and one with strands: 1 of 20 when drawn evenly."""
    truth = np.zeros((10, 1, PATCH, PATCH), np.uint8)
    flat = RefinerPatches(*(np.zeros((10, channels, PATCH, PATCH), np.uint8) for channels in (3, 1, 6)), truth, 1.0)
    with_strands = flat._replace(truth=truth.copy())
    with_strands.truth[7, ..., ::2] = 255
    pool, rng = PatchPool([flat, with_strands]), np.random.default_rng(0)
    drawn = [pool.drawn(rng) for _ in range(2000)]
    share = np.mean([clip is with_strands and number == 7 for clip, number in drawn])
    assert share == pytest.approx(STRANDS_SHARE + (1 - STRANDS_SHARE) / 20, abs=0.03)


def test_training_goes_on_from_a_refiner_that_is_there(tmp_path: Path) -> None:
    clip = soft_discs()
    for number in range(2):
        write_patches(tmp_path / f"{number:06d}.npz", clip)
    *_, (_, first) = train_refiner(tmp_path, width=8, iterations=3)
    first.head.bias.data.fill_(0.5)
    (_, second), *_ = train_refiner(tmp_path, width=8, iterations=1, start=first)
    assert torch.allclose(second.head.bias, first.head.bias, atol=1e-3)
