# SPDX-License-Identifier: Apache-2.0
"""The same shot, delivered in three ways, gives the same alpha; taken for something else, it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.media.color_spaces import config_name, known_space
from matanyone_engine.media.plates import open_plate
from matanyone_engine.model.registry import load_vetted

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FRAMES = (1001, 1002, 1003)


def alphas(folder: Path, space: str, suffix: str, named: str | None = None) -> np.ndarray:
    """The example's first frames, encoded into real files by OpenColorIO, matted with mini."""
    folder.mkdir()
    for frame in FRAMES:
        plate = oiio.ImageBuf(np.ascontiguousarray(open_plate(EXAMPLES / "plate").read(frame).rgb))
        target = known_space(space)
        coded = oiio.ImageBufAlgo.colorconvert(
            plate, known_space("linear"), target, unpremult=False, colorconfig=config_name()
        )
        coded.set_write_format(oiio.HALF if suffix == "exr" else oiio.UINT16)
        coded.specmod().attribute("oiio:BitsPerSample", 10 if suffix == "dpx" else 16)
        assert coded.write(str(folder / f"p.{frame}.{suffix}")), coded.geterror()
    mask, out = str(EXAMPLES / "mask.1001.exr"), str(folder / "a.####.exr")
    job = MatteJob(
        str(folder / f"p.####.{suffix}"), mask, out, colorspace=named or space, warm_up_passes=2, accept_doubt=True
    )
    network, weights = load_vetted("mini", "cpu")
    return np.stack([done.alpha for done in run_matte(plan_matte(job), network, weights, cache={})])


def test_one_shot_in_three_deliveries_gives_one_alpha(tmp_path: Path) -> None:
    """ACEScg EXR, ARRI LogC3 DPX of 10 bits, sRGB PNG of 16; and the figure is one that the mistake fails."""
    first = alphas(tmp_path / "acescg", "ACEScg", "exr")
    for space, suffix in (("LogC3", "dpx"), ("sRGB", "png")):
        # The PNG cuts off the sky, parts of which are brighter than 1.
        assert np.abs(alphas(tmp_path / space, space, suffix) - first).mean() < 1.5e-3
    assert np.abs(alphas(tmp_path / "mistake", "ACEScg", "exr", named="sRGB") - first).mean() > 3e-3
