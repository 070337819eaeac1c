#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how good the bundled model is on a held-out set with true alpha, beside what anyone could do without a
network.

    python benchmarks/held_out.py make --backgrounds /data/mini/held_out/backgrounds --out /tmp/held_out
    python benchmarks/held_out.py score --set /tmp/held_out --json scores.json --sheet look.png
    python benchmarks/held_out.py score --set /tmp/held_out --light 0.1
    python benchmarks/held_out.py refine --set /tmp/held_out
    python benchmarks/held_out.py reliability --set /tmp/held_out --out reliability.png
    python benchmarks/held_out.py make --height 540 --portraits held_out/portraits --people held_out/people ...

The set: twelve drawn clips of 24 frames at 480 x 270, each with a difficulty of its own, drawn with numbers that
training never uses before photographs that training never saw; and the Blender-rendered example at the same size.
With --portraits, six clips of cut-out portraits beside them (examples/mini/portraits.py keeps a tenth of its pictures
for testing). With --people, a clip of each person that examples/mini/render_people.py --testing rendered: bodies,
clothes, hair, poses and light that training never saw.

Compared on it: `mini`, the first mask held still, the first mask carried along by OpenCV's DIS optical flow and refined
by a guided filter, with --closed-form its trimap carried along and solved on every frame, and a network of mini's dims
that was never trained. The target: mini's MAD at most half of the flow's, its dtSSD below, no subject lost.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from matanyone_engine.cli.plate_options import stops_or_auto
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.color import NetworkView, decode_srgb, encode_srgb, exposure_or_found
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.plates import open_plate
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.model import MINI, MatAnyone, for_inference
from matanyone_engine.model.registry import load_network
from matanyone_engine.sizes import Size
from matanyone_engine.training import augment
from matanyone_engine.training.augment import Chances, Cutout
from matanyone_engine.training.data import read_cutout
from matanyone_engine.training.metrics import LOST, Alpha, FrameScores, mean_scores, score
from matanyone_engine.training.synthetic import draw_clip, unpremultiplied

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZE = (270, 480)
LENGTH = 24
FIRST = 1001
FIRST_NUMBER = 1_000_000
"""Clips are drawn from this number on; training uses small ones."""

PEOPLE = 6
"""Clips of rendered people."""
PORTRAITS, PORTRAIT_STEP = 6, 14
"""Clips of portraits, and how far apart in the folder their pictures lie."""
UNSURE_REACH = 10
"""Pixels of a trimap's unknown band on either side of the first mask's edge."""
SURE, SURE_REACH = 0.98, 8
"""An alpha above this is sure; the inside of a subject is its solid part less so many pixels at its edge."""

Plates = list[NDArray[np.float32]]
Method = Callable[[Plates, Alpha], Iterator[Alpha]]
"""Makes an alpha for each frame of display-referred plates (H, W, 3) and the first mask (H, W)."""

CALM = Chances(**{**dict.fromkeys(asdict(Chances()), 0.0), "grain": 1.0, "compression": 0.3})


@dataclass(frozen=True)
class Clip:
    """Holds one drawn clip of the set."""

    name: str
    number: int
    kind: str
    chances: Chances


CLIPS = tuple(
    Clip(name, FIRST_NUMBER + number, kind, replace(CALM, **dict.fromkeys(what, 1.0)))
    for name, number, kind, what in (
        ("hair", 3, "figure", ()),
        ("hair-camera", 4, "figure", ("camera",)),
        ("motion-blur", 8, "figure", ("travel",)),
        ("distractor", 12, "figure", ("distractor",)),
        ("twin", 16, "figure", ("distractor", "twin")),
        ("occlusion", 20, "figure", ("occluder",)),
        ("camera", 24, "figure", ("camera", "travel")),
        ("light", 28, "figure", ("light", "shadow")),
        ("camouflage", 32, "figure", ("camouflage",)),
        ("fur", 36, "beast", ("camera",)),
        ("thing", 41, "thing", ("camera", "bokeh")),
        ("everything", 44, "figure", ("distractor", "camera", "light", "shadow", "compression")),
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description="The held-out set of the bundled model.")
    commands = parser.add_subparsers(required=True)
    make = commands.add_parser("make", help="write the set")
    make.add_argument("--backgrounds", type=Path, required=True)
    make.add_argument("--out", type=Path, required=True)
    make.add_argument("--height", type=int, default=SIZE[0], help="of the plates, in pixels; they are 16:9")
    make.add_argument("--clips", nargs="*", help="only these of the thirteen")
    make.add_argument("--portraits", type=Path, help="folder with fgr/ and pha/: six clips of portraits as well")
    make.add_argument("--people", type=Path, help="folder with fgr/ and pha/: clips of rendered people as well")
    make.set_defaults(
        run=lambda args: make_set(args.out, args.backgrounds, args.height, args.portraits, args.people, args.clips)
    )
    table = commands.add_parser("score", help="compare on the set")
    table.add_argument("--set", type=Path, required=True)
    table.add_argument("--model", default="mini", help="a model's name or a weights file")
    table.add_argument("--json", type=Path)
    table.add_argument("--sheet", type=Path, help="a picture of every clip's last third")
    table.add_argument(
        "--light", type=float, default=1.0, help="part of the light that the plates keep, with its noise"
    )
    table.add_argument("--exposure", type=stops_or_auto, help="stops by which dark plates are shown brighter; or auto")
    table.add_argument(
        "--closed-form", action="store_true", help="solve a trimap carried along by flow as well, which takes long"
    )
    table.set_defaults(
        run=lambda args: score_set(
            args.set, args.model, args.json, args.sheet, args.light, args.exposure, solves=args.closed_form
        )
    )
    ways = commands.add_parser("refine", help="compare ways back to the plate's size")
    ways.add_argument("--set", type=Path, required=True)
    ways.add_argument("--model", default="mini", help="a model with a refiner, or its weights file")
    ways.add_argument("--smaller", type=float, nargs="+", default=[1.0, 2.0], help="plate pixels to a computed one")
    ways.set_defaults(run=lambda args: compare_refining(args.set, args.model, args.smaller))
    trust = commands.add_parser("reliability", help="how far an alpha of 0.3 is 0.3: a picture")
    trust.add_argument("--set", type=Path, required=True)
    trust.add_argument("--models", nargs="+", default=["mini"])
    trust.add_argument("--out", type=Path, required=True)
    trust.set_defaults(run=lambda args: reliability(args.set, args.models, args.out))
    arguments = parser.parse_args()
    arguments.run(arguments)


# -- the set ----------------------------------------------------------------------------------------------------------


def make_set(
    out: Path,
    backgrounds: Path,
    height: int = SIZE[0],
    portraits: Path | None = None,
    people: Path | None = None,
    only: list[str] | None = None,
) -> None:
    """Write every clip as OUT/<name>/{plate.####.png, alpha.####.png, mask.1001.png}; only: some of the thirteen."""
    pictures, size = sorted(backgrounds.glob("*.jpg")), (height, height * 16 // 9)
    for clip in CLIPS:
        if not only or clip.name in only:
            write_shot(out / clip.name, *drawn(clip, pictures, size))
            print(clip.name, flush=True)
    if not only or "rendered" in only:
        write_shot(out / "rendered", *rendered(size))
        print("rendered")
    if portraits is not None:
        for number, picture in enumerate(sorted((portraits / "fgr").iterdir())[::PORTRAIT_STEP][:PORTRAITS]):
            write_shot(out / f"portrait-{number + 1}", *portrait(number, picture, pictures, size))
            print(f"portrait-{number + 1}", flush=True)
    if people is not None:
        for number, folder in enumerate(sorted((people / "fgr").iterdir())[:PEOPLE]):
            write_shot(out / f"person-{number + 1}", *person(number, folder, pictures, size))
            print(f"person-{number + 1}", flush=True)


def portrait(number: int, picture: Path, backgrounds: list[Path], size: tuple[int, int]) -> tuple[Plates, list[Alpha]]:
    """Return a portrait's cut-out that sways, before a photograph; picture: its colours, beside pha/ with its alpha."""
    rng = np.random.default_rng(FIRST_NUMBER + 1000 + number)
    still = read_cutout(with_alphas([picture]))
    background = cv2.imread(str(backgrounds[(7 * number + 3) % len(backgrounds)]))[..., ::-1]
    calm = replace(CALM, framed=1.0, camera=float(number % 2), light=float(number % 3 == 2))
    shot = augment.compose(rng, augment.animated(rng, still, LENGTH), [], [background], Size(*size), calm)
    return list(shot.plates), list(shot.alphas)


def person(number: int, folder: Path, backgrounds: list[Path], size: tuple[int, int]) -> tuple[Plates, list[Alpha]]:
    """Return a rendered person before a photograph; folder: the clip's colours, beside pha/ with its alphas."""
    rng = np.random.default_rng(FIRST_NUMBER + 2000 + number)
    background = cv2.imread(str(backgrounds[(5 * number + 2) % len(backgrounds)]))[..., ::-1]
    calm = replace(CALM, framed=1.0, camera=float(number % 2), light=float(number % 3 == 1))
    moving = read_cutout(with_alphas(sorted(folder.iterdir())[:LENGTH]))
    shot = augment.compose(rng, moving, [], [background], Size(*size), calm)
    return list(shot.plates), list(shot.alphas)


def with_alphas(pictures: list[Path]) -> list[tuple[Path, Path]]:
    """Pair files of colours with those of their alphas, which lie in pha/ in place of fgr/."""
    return [(each, Path(*("pha" if part == "fgr" else part for part in each.parts))) for each in pictures]


def drawn(clip: Clip, backgrounds: list[Path], size: tuple[int, int] = SIZE) -> tuple[Plates, list[Alpha]]:
    """Return plates and true alphas of one drawn clip, (height, width)."""
    rng = np.random.default_rng(clip.number)
    picture = cv2.imread(str(backgrounds[clip.number % len(backgrounds)]))[..., ::-1]
    others = [cutout(clip.number + k, clip.kind if k == 1 else "thing", backgrounds) for k in (1, 2)]
    shot = augment.compose(rng, cutout(clip.number, clip.kind, backgrounds), others, [picture], size, clip.chances)
    return list(shot.plates), list(shot.alphas)


def cutout(number: int, kind: str, textures: list[Path], length: int = LENGTH) -> Cutout:
    """Return a drawn foreground as 8-bit straight colours and alphas."""
    layers = list(draw_clip(number, length, textures, kind))
    return Cutout(
        [np.round(255 * np.clip(unpremultiplied(layer), 0, 1)).astype(np.uint8) for layer in layers],
        [np.round(255 * np.clip(layer.alpha, 0, 1)).astype(np.uint8) for layer in layers],
    )


def rendered(size: tuple[int, int] = SIZE) -> tuple[Plates, list[Alpha]]:
    """Return the committed example, rendered in Blender's Cycles, at this (height, width)."""
    truth = find_sequence(EXAMPLES / "truth/alpha.####.exr")
    plates = [_at(size, plate) for plate in shown(EXAMPLES / "plate", "lin_rec709_scene")]
    return plates, [_at(size, read_alpha(truth.path(number))) for number in truth.frames]


def _at(size: tuple[int, int], picture: Alpha) -> Alpha:
    smaller = size[0] < picture.shape[0]
    resized = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def write_shot(folder: Path, plates: Plates, alphas: list[Alpha]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (plate, alpha) in enumerate(zip(plates, alphas, strict=True), FIRST):
        cv2.imwrite(str(folder / f"plate.{number}.png"), np.round(255 * plate[..., ::-1]).astype(np.uint8))
        cv2.imwrite(str(folder / f"alpha.{number}.png"), np.round(65535 * alpha).astype(np.uint16))
    cv2.imwrite(str(folder / f"mask.{FIRST}.png"), 255 * (alphas[0] > 0.5).astype(np.uint8))


def shown(plate: Path, space: str) -> Plates:
    """Return a plate as the network sees it."""
    source = open_plate(plate)
    view = NetworkView(space)
    return [view(source.read(frame).rgb) for frame in source.frames]


# -- ways to matte ----------------------------------------------------------------------------------------------------


def held(plates: Plates, mask: Alpha) -> Iterator[Alpha]:
    """Return the first mask, unchanged."""
    return (mask for _ in plates)


def flowed(plates: Plates, mask: Alpha) -> Iterator[Alpha]:
    """Return the first mask carried along by DIS optical flow, each frame refined by a guided filter."""
    # Made steeper on each frame, or repeated sampling would blur the mask away.
    masks = carried(plates, mask, lambda alpha: np.clip((alpha - 0.5) * 4 + 0.5, 0, 1))
    return (guided(grey_of(plate), alpha) for plate, alpha in zip(plates, masks, strict=True))


def closed_form(plates: Plates, mask: Alpha) -> Iterator[Alpha]:
    """Yield each frame's alpha by closed-form matting of the first mask's trimap, carried along by DIS optical flow."""
    try:
        from pymatting import estimate_alpha_cf
    except ImportError as error:
        raise SystemExit("--closed-form needs pymatting: pip install pymatting==1.1.16") from error
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * UNSURE_REACH + 1,) * 2)
    inside, outside = cv2.erode(mask, kernel) > 0.95, cv2.dilate(mask, kernel) < 0.05
    trimap = np.where(inside, 1, np.where(outside, 0, 0.5)).astype(np.float32)
    for plate, known in zip(plates, carried(plates, trimap, three_valued), strict=True):
        if not ((known == 0).any() and (known == 1).any()):
            yield known
            continue
        yield estimate_alpha_cf(plate.astype(np.float64), known.astype(np.float64)).astype(np.float32)


def three_valued(trimap: Alpha) -> Alpha:
    """Give a trimap that was sampled anew its three values 0, 0.5 and 1 again."""
    return np.where(trimap > 0.9, 1, np.where(trimap < 0.1, 0, 0.5)).astype(np.float32)


def carried(plates: Plates, mask: Alpha, mend: Callable[[Alpha], Alpha]) -> Iterator[Alpha]:
    """Yield the first mask on each frame, carried along by DIS optical flow and mended after each step."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    yield mask
    for before, now in itertools.pairwise(map(grey_of, plates)):
        back = flow.calc(now, before, None)
        mask = mend(
            cv2.remap(mask, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
        yield mask


def grey_of(plate: NDArray[np.float32]) -> NDArray[np.uint8]:
    return cv2.cvtColor(np.round(255 * plate).astype(np.uint8), cv2.COLOR_RGB2GRAY)


def guided(grey: NDArray[np.uint8], mask: Alpha, radius: int = 6, epsilon: float = 1e-4) -> Alpha:
    """Apply He's guided filter: the mask as a locally linear function of the picture."""
    picture, size = grey.astype(np.float32) / 255, (2 * radius + 1, 2 * radius + 1)
    mean_i, mean_m = cv2.blur(picture, size), cv2.blur(mask, size)
    variance = cv2.blur(picture * picture, size) - mean_i**2
    slope = (cv2.blur(picture * mask, size) - mean_i * mean_m) / (variance + epsilon)
    offset = mean_m - slope * mean_i
    return np.clip(cv2.blur(slope, size) * picture + cv2.blur(offset, size), 0, 1)


def matted(network: MatAnyone) -> Method:
    """Run our engine's session with its default settings."""
    return sized(network, None, refine=True)


def sized(network: MatAnyone, working_size: int | None, *, refine: bool) -> Method:
    """Run our engine's session at a working size; with `refine` alphas come back along the plate."""

    def run(plates: Plates, mask: Alpha) -> Iterator[Alpha]:
        session = MattingSession(network, working_size=working_size, refine=refine)
        for number, plate in enumerate(plates):
            planes = torch.from_numpy(np.ascontiguousarray(plate)).permute(2, 0, 1)
            alpha = session.seed(planes, torch.from_numpy(mask)) if number == 0 else session.advance(planes)
            yield alpha.numpy()

    return run


def untrained() -> MatAnyone:
    torch.manual_seed(0)
    return for_inference(MatAnyone(MINI))


# -- the table --------------------------------------------------------------------------------------------------------


def clips_in(
    folder: Path, light: float = 1.0, exposure: float | None = None
) -> Iterator[tuple[str, Plates, list[Alpha], Alpha]]:
    """Yield name, plates, true alphas and first mask of every clip. light: the part of it that plates keep; exposure:
    the stops by which such plates are shown brighter, None as a job finds them.
    """
    for clip in sorted(path for path in folder.iterdir() if path.is_dir()):
        truth = find_sequence(clip / "alpha.####.png")
        alphas = [read_alpha(truth.path(frame)) for frame in truth.frames]
        plates = shown(clip / "plate.####.png", "sRGB")
        mask = read_mask(clip / f"mask.{FIRST}.png", alphas[0].shape[::-1])
        yield clip.name, plates if light == 1 else exposed(darkened(plates, light), exposure), alphas, mask


def darkened(plates: Plates, light: float) -> Plates:
    """Return the plates in a part of the light, with the noise of a camera's sensor that this brings out."""
    rng, dark = np.random.default_rng(5), []
    for plate in plates:
        linear = light * decode_srgb(plate)
        noise = np.sqrt(2e-5 * linear + 1e-8) * rng.standard_normal(plate.shape, np.float32)
        dark.append(encode_srgb(np.clip(linear + noise, 0, 1)).astype(np.float32))
    return dark


def exposed(plates: Plates, stops: float | None) -> Plates:
    """Return the plates as the network is shown them at an exposure; None is the one of the first plate."""
    view = NetworkView("sRGB", exposure_or_found(stops, "sRGB", lambda: plates[0]))
    return [view(plate) for plate in plates]


def sure_inside(answers: list[Alpha], truth: list[Alpha]) -> float:
    """Return the part of the pixels inside the subject, SURE_REACH from its edge, whose alpha is sure; NaN where there
    are none.
    """
    kernel = np.ones((2 * SURE_REACH + 1,) * 2, np.uint8)
    inside = [
        answer[cv2.erode((alpha > SURE).astype(np.uint8), kernel, borderValue=1) > 0] > SURE
        for answer, alpha in zip(answers, truth, strict=True)
    ]
    together = np.concatenate(inside)
    return float(together.mean()) if len(together) else float("nan")


def score_set(
    folder: Path,
    model: str,
    report: Path | None,
    sheet: Path | None,
    light: float = 1.0,
    exposure: float | None = None,
    *,
    solves: bool = False,
) -> None:
    """Print a table over all clips, and each clip's MAD. light, exposure: as in clips_in(). solves: closed-form matting
    is compared, too.
    """
    methods: dict[str, Method] = {"first mask held": held, "DIS flow + guided": flowed}
    methods |= {"DIS flow + closed form": closed_form} if solves else {}
    methods |= {"untrained": matted(untrained()), model: matted(load_network(model))}
    scores: dict[str, dict[str, list[FrameScores]]] = {name: {} for name in methods}
    rows = []
    for clip, plates, alphas, mask in clips_in(folder, light, exposure):
        row = [plates[-1], alphas[-1]]
        for name, method in methods.items():
            answers = list(method(plates, mask))
            scores[name][clip] = list(score(zip(answers, alphas, strict=True)))
            row.append(answers[-1])
        rows.append(row)
        means = (f"{name} {mean_scores(each[clip]).mad:7.2f}" for name, each in scores.items())
        print(clip.ljust(14), *means, f"sure inside {sure_inside(answers, alphas):.4f}", flush=True)
    summary = {name: mean_scores(mean_scores(rows) for rows in each.values()) for name, each in scores.items()}
    missing = {name: lost(each) for name, each in scores.items()}
    print_table(summary, missing)
    print(verdict(summary, missing, model))
    if report:
        means = {
            name: {clip: asdict(mean_scores(rows)) for clip, rows in each.items()} for name, each in scores.items()
        }
        report.write_text(
            json.dumps({"mean": {k: asdict(v) for k, v in summary.items()}, "clips": means}, indent=1) + "\n"
        )
    if sheet:
        write_sheet(sheet, rows)


def compare_refining(folder: Path, model: str, smaller: list[float]) -> None:
    """Print a table of ways to bring an alpha back to the plate's size. smaller: by how much the working size is
    smaller than the plate.
    """
    network = load_network(model)
    refiner = network.refiner
    # A working size below the network's core_size makes a draft, whose alpha is refined at half of the plate's size
    # only. With this one, no working size here makes a draft.
    network.core_size = 16
    print("smaller  way                       MAD    Grad   dtSSD    core    edge")
    for part in smaller:
        ways = {"bilinear": (None, False, 1.0), "bilinear, alpha stretched": (None, False, 1.15)}
        ways |= {"guided filter": (None, True, 1.0)} if part != 1 else {}
        ways |= {"refiner": (refiner, True, 1.0)} if refiner is not None else {}
        for name, (behind, refines, stretch) in ways.items():
            network.refiner = behind
            rows = []
            for _, plates, alphas, mask in clips_in(folder):
                working = round(min(alphas[0].shape) / part)
                answers = sized(network, working, refine=refines)(plates, mask)
                steep = (np.clip((answer - 0.5) * stretch + 0.5, 0, 1) for answer in answers)
                rows.append(mean_scores(score(zip(steep, alphas, strict=True))))
            mean = mean_scores(rows)
            values = (mean.mad, mean.grad, mean.dtssd, mean.core, mean.edge)
            print(f"{part:7.2f}  {name:25}" + "".join(f"{value:7.2f} " for value in values), flush=True)


def reliability(folder: Path, models: list[str], out: Path) -> None:
    """Draw the mean true alpha of all pixels to which a model gave an alpha, against that alpha."""
    side, cells = 440, 20
    plot = np.full((side + 60, side + 60, 3), 255, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return 45 + round(x * side), 15 + round((1 - y) * side)

    cv2.rectangle(plot, at(0, 0), at(1, 1), (160, 160, 160))
    cv2.line(plot, at(0, 0), at(1, 1), (190, 190, 190), 1, cv2.LINE_AA)
    for row, (model, colour) in enumerate(zip(models, ((200, 60, 20), (30, 120, 230), (60, 160, 60)), strict=False)):
        found, total = np.zeros(cells), np.zeros(cells)
        run = matted(load_network(model))
        for _, plates, alphas, mask in clips_in(folder):
            for answer, alpha in zip(run(plates, mask), alphas, strict=True):
                cell = np.clip((answer * cells).astype(int), 0, cells - 1).ravel()
                found += np.bincount(cell, minlength=cells)
                total += np.bincount(cell, alpha.ravel(), minlength=cells)
        means = total / np.maximum(found, 1)
        points = np.array([at((cell + 0.5) / cells, mean) for cell, mean in enumerate(means)], np.int32)
        cv2.polylines(plot, [points], False, colour, 2, cv2.LINE_AA)
        cv2.putText(plot, Path(model).name, (60, 40 + 22 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        print(Path(model).name, " ".join(f"{mean:.2f}" for mean in means), flush=True)
    words = "across: alpha that the model gave, 0 to 1    up: mean true alpha"
    cv2.putText(plot, words, (45, side + 40), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    cv2.imwrite(str(out), plot)


def verdict(summary: dict[str, FrameScores], missing: dict[str, list[str]], model: str) -> str:
    """Return whether the model meets the target."""
    ours, flow = summary[model], summary["DIS flow + guided"]
    met = (2 * ours.mad <= flow.mad, ours.dtssd < flow.dtssd, not missing[model])
    words = [
        f"{name} {'met' if ok else 'MISSED'}" for name, ok in zip(("MAD", "dtSSD", "no subject lost"), met, strict=True)
    ]
    return f"target: MAD at most {flow.mad / 2:.2f}, dtSSD below {flow.dtssd:.2f}: {', '.join(words)}"


def lost(each: dict[str, list[FrameScores]]) -> list[str]:
    """Return the clips in whose last third the subject is lost."""
    return [clip for clip, rows in each.items() if max(row.overlap for row in rows[-len(rows) // 3 :]) < LOST]


def print_table(summary: dict[str, FrameScores], missing: dict[str, list[str]]) -> None:
    print("\nmean over clips     MAD     MSE    Grad    Conn   dtSSD    core    edge  overlap  subject lost")
    for name, row in summary.items():
        values = (row.mad, row.mse, row.grad, row.conn, row.dtssd, row.core, row.edge, row.overlap)
        print(
            f"{name[-18:]:18}" + "".join(f"{value:8.2f}" for value in values), " ", ", ".join(missing[name]) or "none"
        )


def write_sheet(path: Path, rows: list[list[NDArray[np.float32]]]) -> None:
    """Draw a row for each clip, the last frame: plate, truth, held, flow, untrained, model."""

    def cell(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        small = cv2.resize(picture, (240, 135), interpolation=cv2.INTER_AREA)
        return small if small.ndim == 3 else np.repeat(small[..., None], 3, axis=2)

    sheet = np.concatenate([np.concatenate([cell(picture) for picture in row], axis=1) for row in rows])
    cv2.imwrite(str(path), np.round(255 * np.clip(sheet, 0, 1)).astype(np.uint8)[..., ::-1])


if __name__ == "__main__":
    main()
