#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the figures of docs/colour.md: one shot in several deliveries, over- and underexposed, and the time that the
network's view takes.

python benchmarks/colour.py shot      alphas with mini against the true ones (2 minutes)
python benchmarks/colour.py drawn     the mistake of a wrong space on drawn clips with true alpha (4 minutes)
python benchmarks/colour.py speed     the view of a 4096x2160 plate, by tables and by OpenColorIO alone
python benchmarks/colour.py grey      18 % grey of every named space, and the largest difference from OpenColorIO
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import torch
from numpy.typing import NDArray

from matanyone_engine.jobs.job import MatteJob, plan_matte
from matanyone_engine.jobs.run import run_matte
from matanyone_engine.jobs.run_events import FrameDone
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.color import NetworkView, decode_srgb, shoulder
from matanyone_engine.media.color_spaces import config_name, known_space, plain_spaces
from matanyone_engine.media.masks import read_alpha
from matanyone_engine.media.plates import open_plate
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_vetted
from matanyone_engine.training.synthetic import HEIGHT, WIDTH, draw_clip, unpremultiplied

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FRAMES = tuple(range(1001, 1013))
LINEAR, SRGB = known_space("linear"), known_space("sRGB")
Image = NDArray[np.float32]


def ocio(rgb: Image, source: str, target: str) -> Image:
    """Convert (H, W, 3) through OpenColorIO alone."""
    buffer = oiio.ImageBuf(np.ascontiguousarray(rgb, dtype=np.float32))
    done = oiio.ImageBufAlgo.colorconvert(buffer, source, target, unpremult=False, colorconfig=config_name())
    assert not done.has_error, done.geterror()
    return np.asarray(done.get_pixels(oiio.FLOAT), dtype=np.float32)


# -- one shot, many deliveries -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivery:
    """Says how somebody may hand the example plate over, and how it is then matted."""

    title: str
    space: str
    suffix: str = "exr"
    kind: str = "half"
    bits: int = 0
    light: float = 1.0
    """Linear light of the plate, times this."""
    named: str = ""
    """--colorspace; '' is the true one."""
    exposure: float = 0.0
    clipped: bool = False
    """With the hard clip that was there before the shoulder."""


DELIVERIES = (
    Delivery("ACEScg EXR, half", "ACEScg"),
    Delivery("ARRI LogC3 DPX, 10 bit", "LogC3", "dpx", "uint16", 10),
    Delivery("sRGB PNG, 16 bit", "sRGB", "png", "uint16"),
    Delivery("ACEScg EXR, hard clip", "ACEScg", clipped=True),
    Delivery("linear EXR taken for sRGB (the mistake)", "linear", named="sRGB"),
    Delivery("ACEScg EXR taken for sRGB (the mistake)", "ACEScg", named="sRGB"),
    Delivery("LogC3 DPX taken for sRGB (the mistake)", "LogC3", "dpx", "uint16", 10, named="sRGB"),
    Delivery("2 stops over, shoulder", "ACEScg", light=4),
    Delivery("2 stops over, hard clip", "ACEScg", light=4, clipped=True),
    Delivery("2 stops over, --exposure -2", "ACEScg", light=4, exposure=-2),
    Delivery("3 stops over, shoulder", "ACEScg", light=8),
    Delivery("3 stops over, hard clip", "ACEScg", light=8, clipped=True),
    Delivery("3 stops over, --exposure -3", "ACEScg", light=8, exposure=-3),
    Delivery("4 stops under", "ACEScg", light=1 / 16),
    Delivery("4 stops under, --exposure 4", "ACEScg", light=1 / 16, exposure=4),
)


class ClippedView(NetworkView):
    """Converts to the network's view with a hard clip at white."""

    def __call__(self, rgb: Image) -> Image:
        return np.clip(ocio(rgb, self._way.space, self._way.target), 0.0, 1.0)


def write_delivery(delivery: Delivery, folder: Path) -> str:
    """Write the plate in its space and format, and return its pattern."""
    source = open_plate(EXAMPLES / "plate")
    for frame in FRAMES:
        rgb = ocio(source.read(frame).rgb * np.float32(delivery.light), LINEAR, known_space(delivery.space))
        spec = oiio.ImageSpec(rgb.shape[1], rgb.shape[0], 3, delivery.kind)
        if delivery.bits:
            spec.attribute("oiio:BitsPerSample", delivery.bits)
        image = oiio.ImageBuf(spec)
        image.set_pixels(oiio.ROI.All, np.ascontiguousarray(rgb if delivery.kind == "half" else rgb.clip(0, 1)))
        assert image.write(str(folder / f"p.{frame}.{delivery.suffix}")), image.geterror()
    return str(folder / f"p.####.{delivery.suffix}")


def alphas_of(delivery: Delivery) -> Image:
    """Return the alphas (N, H, W) as they are written, in half, with mini at its defaults."""
    network, weights = load_vetted("mini", "cpu")
    with tempfile.TemporaryDirectory() as place:
        pattern = write_delivery(delivery, Path(place))
        job = MatteJob(
            plate=pattern,
            mask=str(EXAMPLES / "mask.1001.exr"),
            mask_frame=1001,
            frames=FRAMES,
            out=str(Path(place) / "a.####.exr"),
            colorspace=delivery.named or delivery.space,
            exposure=delivery.exposure,
        )
        plan = plan_matte(job)
        if delivery.clipped:
            plan = replace(plan, view=ClippedView(plan.colour.space))
        return np.stack(
            [
                done.alpha.astype(np.float16).astype(np.float32)
                for done in run_matte(plan, network, weights, cache={})
                if isinstance(done, FrameDone)
            ]
        )


def shot() -> None:
    """Print a table of deliveries: error against the true alphas, difference from the first delivery."""
    truth = np.stack([read_alpha(path) for path in (EXAMPLES / "truth" / f"alpha.{n}.exr" for n in FRAMES)])
    print("| delivery | MAD against truth, x 1000 | from the first: mean, x 1000 | pixels that differ by over 0.05 |")
    print("|---|---|---|---|")
    first: Image | None = None
    for delivery in DELIVERIES:
        alphas = alphas_of(delivery)
        first = alphas if first is None else first
        off = np.abs(alphas - first)
        mad = 1000 * np.abs(alphas - truth).mean()
        print(
            f"| {delivery.title} | {mad:.2f} | {1000 * off.mean():.3f} | {100 * (off > 0.05).mean():.3f} % |",
            flush=True,
        )


# -- the mistake, on more than one clip --------------------------------------------------------------------------------

DRAWN = tuple(range(900_000, 900_012))
"""Numbers of drawn clips: far behind those that mini was trained on."""
DRAWN_FRAMES = 8
MISTAKES = ("linear", "ACEScg", "LogC3")


def drawn_plate(number: int) -> tuple[list[Image], list[Image]]:
    """Return plates (H, W, 3) in linear Rec.709 and true alphas: a drawn figure in light before a ground that
    drifts.
    """
    rng = np.random.default_rng([3, number])
    coarse = [rng.random((size, size, 3), dtype=np.float32) for size in (4, 16, 64)]
    wide = [cv2.resize(each, (WIDTH + 64, HEIGHT), interpolation=cv2.INTER_CUBIC) for each in coarse]
    ground = np.maximum(wide[0] + 0.5 * wide[1] + 0.25 * wide[2], 0.0) / 1.75
    ground = decode_srgb(ground) * np.float32(2.0 ** rng.uniform(-2, 2))
    plates, alphas = [], []
    for frame, layer in enumerate(draw_clip(number, DRAWN_FRAMES)):
        alpha = layer.alpha[..., None]
        figure = decode_srgb(np.ascontiguousarray(unpremultiplied(layer).clip(0, 1)))
        behind = ground[:, 4 * frame : 4 * frame + WIDTH]
        grain = rng.normal(0, 0.003, behind.shape).astype(np.float32)
        plates.append(np.maximum(alpha * figure + (1 - alpha) * behind + grain, 0.0).astype(np.float32))
        alphas.append(layer.alpha)
    return plates, alphas


def mad_of(plates: list[Image], alphas: list[Image], space: str, named: str, network: MatAnyone) -> float:
    """Return MAD x 1000 of mini, over all frames, where the plate is in `space` and taken for `named`."""
    view, session = NetworkView(named), MattingSession(network, warm_up_passes=3)
    off = []
    for number, (plate, truth) in enumerate(zip(plates, alphas, strict=True)):
        shown = torch.from_numpy(view(ocio(plate, LINEAR, known_space(space)))).permute(2, 0, 1)
        answer = session.seed(shown, truth) if number == 0 else session.advance(shown)
        off.append(float(np.abs(answer.numpy() - truth).mean()))
    return 1000 * float(np.mean(off))


def drawn() -> None:
    """Print a line for each clip: the right space, and each taken for sRGB."""
    network, _ = load_vetted("mini", "cpu")
    print("| clip | right | " + " | ".join(f"{name} taken for sRGB" for name in MISTAKES) + " |\n|---|---|---|---|---|")
    rows = []
    for number in DRAWN:
        plates, alphas = drawn_plate(number)
        right = mad_of(plates, alphas, "linear", "linear", network)
        rows.append([right, *(mad_of(plates, alphas, name, "sRGB", network) for name in MISTAKES)])
        print(f"| {number} | " + " | ".join(f"{value:.2f}" for value in rows[-1]) + " |", flush=True)
    table = np.array(rows)
    print("| mean | " + " | ".join(f"{value:.2f}" for value in table.mean(axis=0)) + " |")
    worse = (table[:, 1:] > table[:, :1]).sum(axis=0)
    print("| worse than right | | " + " | ".join(f"{count} of {len(table)}" for count in worse) + " |")


# -- cost --------------------------------------------------------------------------------------------------------------


def best_of(turns: int, work: Callable[[], object]) -> float:
    """Return the CPU milliseconds of the fastest turn."""
    taken = []
    for _ in range(turns):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return 1000 * min(taken)


def speed() -> None:
    """Print the CPU time of the view of a 4K plate, beside what it took by OpenColorIO and a clip."""
    light = np.random.default_rng(0).random((2160, 4096, 3), dtype=np.float32) * np.float32(1.5)
    print("| plate, 4096x2160 | OpenColorIO frame by frame | tables | ratio |\n|---|---|---|---|")
    for name in ("ACEScg", "linear", "LogC3", "sRGB"):
        space = known_space(name)
        plate = light if name in ("ACEScg", "linear") else np.minimum(light, 1.0)
        view = NetworkView(space)
        view(plate)

        def before(plate: Image = plate, space: str = space) -> Image:
            return np.clip(ocio(plate, space, SRGB), 0.0, 1.0)

        old, new = best_of(4, before), best_of(4, lambda view=view, plate=plate: view(plate))
        print(f"| {name} | {old:.0f} ms | {new:.0f} ms | {old / new:.1f} |")


def grey() -> None:
    """Send 18 % grey and a random set of natural colours through every plain name."""
    rng = np.random.default_rng(0)
    light = (0.18 * 2.0 ** rng.normal(0, 2.5, (64, 64, 1)) * 2.0 ** rng.normal(0, 0.5, (64, 64, 3))).astype(np.float32)
    grey18 = np.full((1, 1, 3), 0.18, np.float32)
    print(
        "| name | space | code of 18 % grey | shown as | differs from OpenColorIO by at most |\n|---|---|---|---|---|"
    )
    for plain, space in plain_spaces():
        view, code = NetworkView(space), ocio(grey18, LINEAR, space)
        plate = ocio(light, LINEAR, space)
        direct = np.maximum(ocio(plate, space, SRGB), 0)
        expected = shoulder(direct) if "shoulder" in view.name else np.minimum(direct, 1)
        off = np.abs(view(plate) - expected).max()
        print(f"| {plain.name} | {space} | {code[0, 0, 1]:.4f} | {view(code)[0, 0, 1]:.4f} | {off:.5f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", choices=("shot", "drawn", "speed", "grey"))
    {"shot": shot, "drawn": drawn, "speed": speed, "grey": grey}[parser.parse_args().figures]()
