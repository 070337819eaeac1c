# SPDX-License-Identifier: Apache-2.0
"""Cryptomatte, decoded by cryptomatte-api and by a decoder written here from the specification."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cryptomatte_api
import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matanyone_engine.errors import SettingError
from matanyone_engine.media import cryptomatte
from matanyone_engine.media.cryptomatte import cryptomatte_attributes, cryptomatte_channels, object_id
from matanyone_engine.media.images import PlateHeader
from matanyone_engine.media.layouts import Delivery, FrameContent, compose
from matanyone_engine.media.mattes import write_picture

HEIGHT, WIDTH = 16, 20


def alphas(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Overlapping alphas; some pixels have nobody, some add up to more than 1."""
    random = np.random.default_rng(seed)
    planes = random.random((count, HEIGHT, WIDTH), np.float32) * (random.random((count, HEIGHT, WIDTH)) > 0.5)
    return {f"object {n} ä": plane.astype(np.float32) for n, plane in enumerate(planes)}


def coverage(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    total = np.maximum(np.sum(list(given.values()), axis=0), 1)
    return {name: plane / total for name, plane in given.items()}


def written(tmp_path: Path, given: dict[str, np.ndarray]) -> Path:
    header = PlateHeader.plain(Path("p"), WIDTH, HEIGHT)
    path = tmp_path / "c.exr"
    write_picture(path, compose(Delivery("cryptomatte"), FrameContent(header, given), tuple(given), {}, ".exr"))
    return path


# Published answers of MurmurHash3_x86_32 with seed 0; the empty name hashes to 0, whose exponent is turned.
@pytest.mark.parametrize(("name", "known"), [("hello", 0x248BFA47), ("hello, world", 0x149BBB7F), ("", 0x00800000)])
def test_ids_are_those_of_the_hash(name: str, known: int) -> None:
    assert object_id(name) == known


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_no_id_is_nan_or_denormal_as_a_float(name: str) -> None:
    """NaN, Inf and denormals do not survive arithmetic; 0 means nobody."""
    value = np.array([object_id(name)], np.uint32).view(np.float32)[0]
    assert np.isfinite(value)
    assert abs(value) >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_cryptomatte_api_gives_every_alpha_back(tmp_path: Path, count: int) -> None:
    asked = alphas(count)
    (matte,) = cryptomatte_api.Cryptomatte.load(str(written(tmp_path, asked)))
    masks = matte.masks()
    assert set(masks) == set(asked)
    for name, expected in coverage(asked).items():
        np.testing.assert_allclose(masks[name], expected, atol=1e-7, err_msg=name)


def test_the_manifest_and_the_ranks_follow_the_specification(tmp_path: Path) -> None:
    asked = alphas(3)
    file = OpenEXR.File(str(written(tmp_path, asked)), separate_channels=True)
    channels = {name: channel.pixels for name, channel in file.channels().items()}
    header = file.header()
    key = "cryptomatte/3ae39a5"  # the first seven digits of the hash of 'CryptoObject', as Blender and Arnold write it
    assert header[f"{key}/name"] == "CryptoObject"
    assert header[f"{key}/hash"] == "MurmurHash3_32"
    assert header[f"{key}/conversion"] == "uint32_to_float32"
    ids = {name: int(value, 16) for name, value in json.loads(header[f"{key}/manifest"]).items()}
    pairs = [("00.R", "00.G"), ("00.B", "00.A"), ("01.R", "01.G"), ("01.B", "01.A")]
    ranks = [(channels[f"CryptoObject{i}"].view(np.uint32), channels[f"CryptoObject{c}"]) for i, c in pairs]
    for name, expected in coverage(asked).items():
        decoded = sum(np.where(who == ids[name], much, 0) for who, much in ranks)
        np.testing.assert_allclose(decoded, expected, atol=1e-7)
    for (who, much), (_, next_much) in pairwise(ranks):
        assert (much >= next_much).all()
        assert (who[much == 0] == 0).all()
    assert sum(much for _, much in ranks).max() <= 1 + 1e-6


def test_the_six_objects_that_cover_a_pixel_most_are_kept() -> None:
    asked = alphas(9)
    channels = cryptomatte_channels(asked)
    assert sorted({name.partition(".")[0] for name in channels}) == [f"CryptoObject0{n}" for n in range(3)]
    kept = np.sum([plane for name, plane in channels.items() if name[-1] in "GA"], axis=0)
    largest = np.sort(np.stack(list(coverage(asked).values())), axis=0)[-6:].sum(axis=0)
    np.testing.assert_allclose(kept, largest, atol=1e-6)


def test_two_names_with_one_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cryptomatte, "object_id", lambda _name: 7)
    with pytest.raises(SettingError, match="different Cryptomatte ids"):
        cryptomatte_attributes(("alice", "bob"))
