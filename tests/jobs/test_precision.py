# SPDX-License-Identifier: Apache-2.0
"""No 8-bit step anywhere: what goes in with 16 bits comes out with as many as a half float holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
from shots import make_shot, write_image

from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.media.color import NetworkView
from matanyone_engine.media.images import read_plate
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.model.registry import load_vetted

HEIGHT, WIDTH = 64, 2048
CODES = 1000
"""An 8-bit step anywhere would leave 256."""


def ramp(channels: int) -> np.ndarray:
    """(H, W, C): a ramp from black to white, a value of its own in every column."""
    return np.repeat(np.linspace(0.0, 1.0, WIDTH, dtype=np.float32)[None, :, None], HEIGHT, axis=0).repeat(
        channels, axis=2
    )


@pytest.mark.parametrize(
    ("name", "kind", "space"),
    [
        ("p.png", oiio.UINT16, "sRGB"),
        ("p.tif", oiio.UINT16, "Rec.709"),
        ("p.dpx", oiio.UINT16, "LogC3"),
        ("p.exr", oiio.FLOAT, "ACEScg"),
        ("p.exr", oiio.HALF, "linear"),
    ],
)
def test_a_16_bit_plate_reaches_the_network_with_over_1000_codes(
    tmp_path: Path, name: str, kind: object, space: str
) -> None:
    write_image(tmp_path / name, ramp(3), ("R", "G", "B"), kind)
    seen = NetworkView(space)(read_plate(tmp_path / name).rgb)
    assert len(np.unique(seen[0, :, 1])) > CODES


@pytest.mark.parametrize(("name", "kind"), [("m.png", oiio.UINT16), ("m.tif", oiio.UINT16), ("m.exr", oiio.FLOAT)])
def test_a_soft_mask_keeps_its_softness(tmp_path: Path, name: str, kind: object) -> None:
    write_image(tmp_path / name, ramp(1), ("Y",), kind)
    mask = read_mask(tmp_path / name, (WIDTH, HEIGHT))
    assert len(np.unique(mask)) == WIDTH
    np.testing.assert_allclose(mask[0], ramp(1)[0, :, 0], atol=1 / 65535)


@pytest.mark.parametrize("suffix", ["exr", "png"])
def test_a_ramp_through_the_whole_path_keeps_over_1000_codes_in_the_alpha(tmp_path: Path, suffix: str) -> None:
    """A 16-bit ramp as plate and as mask, files to files, through a real network of toy weights."""
    shot = make_shot(tmp_path, count=1)
    write_image(tmp_path / "ramp.1001.png", ramp(3), ("R", "G", "B"), oiio.UINT16)
    write_image(tmp_path / "soft.png", ramp(1), ("Y",), oiio.UINT16)
    network, weights = load_vetted(shot.weights, "cpu")
    out = tmp_path / f"a.####.{suffix}"
    job = MatteJob(
        plate=str(tmp_path / "ramp.1001.png"),
        mask=str(tmp_path / "soft.png"),
        out=str(out),
        warm_up_passes=1,
        accept_doubt=True,
    )
    for _ in run_matte(plan_matte(job), network, weights):
        pass
    alpha = read_alpha(tmp_path / f"a.1001.{suffix}")
    assert len(np.unique(alpha)) > CODES


def test_the_network_s_own_alpha_is_what_is_written(tmp_path: Path) -> None:
    """Within half a step of the file: nothing between the network and the disk rounds any further."""
    shot = make_shot(tmp_path, count=1)
    network, weights = load_vetted(shot.weights, "cpu")
    out = str(tmp_path / "out" / "a.####.exr")
    done = next(
        iter(
            run_matte(
                plan_matte(MatteJob(shot.plate, str(shot.mask), out, warm_up_passes=1, accept_doubt=True)),
                network,
                weights,
            )
        )
    )
    assert isinstance(done, FrameDone)
    written = read_alpha(tmp_path / "out" / "a.1001.exr")
    np.testing.assert_allclose(written, done.alpha, atol=2.0**-12)
    assert np.array_equal(written, done.alpha.astype(np.float16).astype(np.float32))
