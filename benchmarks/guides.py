#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a rough guide is worth: three kinds of guide on the held-out set, made from its truth and spoiled.

    python benchmarks/guides.py bands --set /tmp/held_out
    python benchmarks/guides.py score --set /tmp/held_out
    python benchmarks/guides.py score --set /tmp/held_out --clips twin hair --kinds none flow

wide    the true mask on every frame, dilated by 12 pixels and shifted by up to 3 at random
sparse  every 8th frame only, dilated by 4 pixels and shifted by up to 2
swap    as sparse, but on every frame, and for 5 frames in the middle it is somewhere else
flow    not from the truth: what the tracker `flow` makes of the key's mask (docs/track.md)

key     as wide, and the guide makes the key as well

    python benchmarks/guides.py real --plate "clip/#####.jpg" --mask clip.mask.png --frames 20 --sheet look.png

`real` takes footage that nobody has the truth of. The alphas without a guide stand for it, and the guides are made from
them, spoiled in the same ways. It prints how much a guide changes (MAD, core, overlap, dtSSD, and the largest change of
a pixel) and the flicker of the alphas with the guide: what changes on one frame and is reversed on the next, per 1000
pixels of the subject, which needs no truth. --sheet draws the frame that each guide changes most. `bands` needs no
network: how many pixels a band forces to the wrong side, and how many it leaves to the network. `score` compares alphas
with and without: at the end it prints a row of Markdown for each clip (MAD, core, overlap of each kind), their means,
and the kinds that make a clip worse by more than 2 %. The first frame's key is the true mask; for `key` the guide makes
it. "as none" says that the guide changes no pixel of the alphas without it by more than 1/255: they are not computed
again.

    python benchmarks/guides.py seam --set /tmp/held_out --run-ins 0 4 8 12 --warm-ups 10 --first drawn

`seam` cuts a clip in the middle, where the guide (wide) is the key of the second half, and compares that half with the
same frames of the clip that was not cut. A run-in of N starts N frames earlier; these alphas are thrown away. `anew`
takes, in addition, the alpha that the run-in has reached as a key of its own on the frame of the cut, so that the
guide's mask is forgotten. --first guide makes the first frame's key by the guide as well, as where nobody drew one.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np
import torch
from held_out import FIRST, SIZE, shown
from weights_used import kept_for, weights_line

from matanyone_engine.jobs.guides import ObjectGuide, with_guide
from matanyone_engine.jobs.track import FLOW_BAND
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS, MaskLimits
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.media.flicker import flicker
from matanyone_engine.media.flow_tracker import carried
from matanyone_engine.media.guides import best_frame, default_band, small
from matanyone_engine.media.mask_morphology import grow_mask
from matanyone_engine.media.masks import read_alpha, read_mask
from matanyone_engine.media.sequence import find_sequence
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import Alpha, FrameScores, mean_scores, score

KINDS = ("wide", "sparse", "swap")
SWAPPED = range(10, 15)
BANDS = (6, 9, 12, 17, 24, 34)
ONE_STEP = 1 / 255
"""Of an alpha: a guide that changes less than this is as none, and its alphas are not computed again."""
WORSE = 1.02
"""Times the MAD without a guide: above it a guide has done harm."""


def guide(kind: str, truth: list[Alpha], name: str) -> dict[int, Alpha]:
    """Return the spoiled mask of each frame number. The clip's name alone decides how masks are shifted."""
    rng = np.random.default_rng(list(name.encode()))
    dilate, jitter = (12, 3) if kind == "wide" else (4, 2)
    made = {}
    for number, alpha in enumerate(truth):
        shift = rng.integers(-jitter, jitter + 1, 2)
        mask = shifted(grow_mask((alpha > 0.5).astype(np.float32), dilate), *shift)
        if kind == "swap" and number in SWAPPED:
            mask = np.roll(mask, mask.shape[1] // 2, 1)
        if kind != "sparse" or number % 8 == 0:
            made[number] = mask
    return made


def shifted(mask: Alpha, down: int, right: int) -> Alpha:
    """Return a mask that is moved by so many pixels. What lies at the border of the picture goes on beyond it."""
    way = np.array([[1, 0, right], [0, 1, down]], np.float32)
    moved = cv2.warpAffine(mask, way, mask.shape[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def object_guide(masks: dict[int, Alpha], band: int) -> ObjectGuide:
    return ObjectGuide.of(dict.fromkeys(masks, ""), {number: small(mask) for number, mask in masks.items()}, band)


def truths(folder: Path) -> list[Alpha]:
    found = find_sequence(folder / "alpha.####.png")
    return [read_alpha(found.path(frame)) for frame in found.frames]


def print_bands(clips: list[Path]) -> None:
    print("kind    band  in 1000 pixels of the picture: forced wrongly, left to the network; frames outvoted")
    for kind in KINDS:
        for band in BANDS:
            wrong, left, out = [], [], 0
            for clip in clips:
                truth = truths(clip)
                masks = guide(kind, truth, clip.name)
                worth = object_guide(masks, band)
                out += len(worth.outvoted)
                for frame in masks:
                    limits = worth.limits(frame, masks.__getitem__)
                    if limits is None:
                        continue
                    bad = np.minimum(limits.inside, 1 - truth[frame]) + np.minimum(limits.outside, truth[frame])
                    wrong.append(bad.mean())
                    left.append((1 - limits.inside - limits.outside).mean())
            print(f"{kind:7} {band:4} {1000 * np.mean(wrong):9.3f} {1000 * np.mean(left):8.1f} {out:6}", flush=True)


def matted(
    network: object,
    plates: list[Alpha],
    mask: Alpha,
    masks: dict[int, Alpha],
    key: int = 0,
    band: int | None = None,
    warm_ups: int | None = None,
) -> list[Alpha]:
    """Return the alphas of a clip from one key, forwards and backwards, with a guide."""
    worth = object_guide(masks, band or default_band(mask.shape[::-1]))
    found: dict[int, Alpha] = {}
    for numbers in (range(key, len(plates)), range(key, -1, -1)):
        session = MattingSession(network, warm_up_passes=warm_ups)  # type: ignore[arg-type]
        for number in numbers if len(numbers) > 1 or key == 0 else ():
            planes = torch.from_numpy(np.ascontiguousarray(plates[number])).permute(2, 0, 1)
            limits = worth.limits(number, masks.__getitem__) if number != key or mask is masks.get(key) else None
            held = NO_CONSTRAINTS if limits is None else with_guide(NO_CONSTRAINTS, limits)
            if number == key:
                found[number] = session.seed(planes, torch.from_numpy(mask), constraints=held).numpy()
            else:
                found[number] = session.advance(planes, constraints=held).numpy()
        if key == 0:
            break
    return [found[number] for number in range(len(plates))]


def spoiled(kind: str, truth: list[Alpha], name: str, plates: list[Alpha], drawn: Alpha) -> dict[int, Alpha]:
    """Return the guide of one kind for each frame number."""
    if kind != "flow":
        return guide("wide" if kind == "key" else kind, truth, name)
    masks = {0: drawn}
    for number, (before, seen) in enumerate(itertools.pairwise(plates), start=1):
        masks[number] = carried(before, masks[number - 1], seen)
    return masks


def _overlap(guide: Alpha, truth: Alpha) -> float:
    """Return the intersection over the union of what a guide and a true alpha show."""
    ours, theirs = guide >= 0.5, truth > 0.5
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


def unguided(network: object, plates: list[Alpha], mask: Alpha, kept: Path | None) -> list[Alpha]:
    """Return the alphas without a guide: those that are kept, or else computed here and kept."""
    if kept and kept.is_file():
        return list(np.load(kept))
    alphas = matted(network, plates, mask, {})
    if kept:
        np.save(kept, np.stack(alphas))
    return alphas


def band_of(kind: str, size: tuple[int, int]) -> int:
    """Return the band that a job takes by itself for guides of one kind, in pixels of a plate of (width, height)."""
    return round(FLOW_BAND * min(size)) if kind == "flow" else default_band(size)


def guided(
    network: object,
    kind: str,
    masks: dict[int, Alpha],
    plates: list[Alpha],
    drawn: Alpha,
    without: list[Alpha],
    band: int | None,
    kept: Path | None = None,
) -> tuple[list[Alpha], list[int]]:
    """Return the alphas with the guide of one kind, and the frames on which it was left out.

    drawn: the mask of the first frame. without: the alphas without a guide. A guide that would change no pixel of
    them by more than ONE_STEP changes nothing, and they are returned.
    """
    band = band or band_of(kind, (plates[0].shape[1], plates[0].shape[0]))
    worth = object_guide(masks, band)
    key, mask = 0, drawn
    if kind == "key":
        key = best_frame({frame: small(each) for frame, each in masks.items()}, range(len(plates))) or 0
        mask = masks[key]
    elif largest_change(worth, masks, without) <= ONE_STEP:
        return without, sorted(worth.outvoted)
    if kept and kept.is_file():
        return list(np.load(kept)), sorted(worth.outvoted)
    alphas = matted(network, plates, mask, masks, key, band)
    if kept:
        np.save(kept, np.stack(alphas))
    return alphas, sorted(worth.outvoted)


def largest_change(worth: ObjectGuide, masks: dict[int, Alpha], alphas: list[Alpha]) -> float:
    """Return by how much a guide would change a pixel of alphas that were made without it; a key frame has none."""
    most = 0.0
    for frame in (each for each in masks if each > 0):
        limits = worth.limits(frame, masks.__getitem__)
        if limits is not None:
            held = {"guide": torch.from_numpy(limits.inside), "outside": torch.from_numpy(limits.outside)}
            alpha = torch.from_numpy(alphas[frame])[None, None]
            most = max(most, float((MaskLimits.of(held, alpha.device).applied(alpha) - alpha).abs().max()))
    return most


def print_scores(clips: list[Path], kept: Path | None, kinds: list[str], model: str, band: int | None) -> None:
    network = load_network(model)
    table: dict[str, dict[str, FrameScores]] = {}
    print(weights_line(model), flush=True)
    for clip in clips:
        truth, plates = truths(clip), shown(clip / "plate.####.png", "sRGB")
        drawn = read_mask(clip / f"mask.{FIRST}.png", SIZE[::-1])
        rows = table[clip.name] = {}
        without = unguided(network, plates, drawn, kept / f"{clip.name}.npy" if kept else None)
        for kind in kinds:
            fits, doubted, alphas = 0.0, list[int](), without
            if kind != "none":
                masks = spoiled(kind, truth, clip.name, plates, drawn)
                fits = float(np.mean([_overlap(masks[frame], truth[frame]) for frame in masks]))
                file = kept / f"{clip.name}.{kind}.npy" if kept and band is None else None
                alphas, doubted = guided(network, kind, masks, plates, drawn, without, band, file)
            row = rows[kind] = mean_scores(list(score(zip(alphas, truth, strict=True))))
            print(
                f"{clip.name:13} {kind:7} mad {row.mad:6.2f} core {row.core:6.2f} edge {row.edge:6.1f} "
                f"dtssd {row.dtssd:5.2f} overlap {row.overlap:.3f} guide {fits:.3f} outvoted {doubted}"
                f"{' as none' if kind != 'none' and alphas is without else ''}",
                flush=True,
            )
    print_table(table, kinds)


def print_table(table: dict[str, dict[str, FrameScores]], kinds: list[str]) -> None:
    """Print a row of Markdown for each clip, the means, and what a guide has made worse."""
    print(f"| clip | {' | '.join(kinds)} |\n|---{'|---' * len(kinds)}|")
    means = {kind: mean_scores([rows[kind] for rows in table.values()]) for kind in kinds}
    for name, rows in [*table.items(), (f"mean of {len(table)}", means)]:
        cells = [f"{row.mad:.2f}, {row.core:.2f}, {row.overlap:.3f}" for row in (rows[kind] for kind in kinds)]
        print(f"| {name} | {' | '.join(cells)} |")
    if "none" not in kinds:
        return
    for name, rows in table.items():
        for kind, row in rows.items():
            if row.mad > WORSE * rows["none"].mad:
                print(f"worse: {name} with {kind}, {row.mad / rows['none'].mad:.3f} of the MAD without")


def print_seams(clips: list[Path], model: str, run_ins: list[int], warm_ups: list[int], first: str) -> None:
    network = load_network(model)
    for clip in clips:
        truth, plates = truths(clip), shown(clip / "plate.####.png", "sRGB")
        masks = guide("wide", truth, clip.name)
        drawn = masks[0] if first == "guide" else read_mask(clip / f"mask.{FIRST}.png", SIZE[::-1])
        cut = len(plates) // 2
        whole, truly = matted(network, plates, drawn, masks)[cut:], truth[cut:]
        print_seam(f"{clip.name:13} whole              ", whole, whole, truly)
        for warm_up, run_in in itertools.product(warm_ups, run_ins):
            begin = cut - run_in
            later = {frame - begin: mask for frame, mask in masks.items() if frame >= begin}
            half = matted(network, plates[begin:], later[0], later, warm_ups=warm_up)[run_in:]
            name = f"{clip.name:13} run-in {run_in:2} warm-up {warm_up or 'own'}"
            print_seam(name, half, whole, truly)
            if run_in:
                after = {frame - cut: mask for frame, mask in masks.items() if frame >= cut}
                anew = matted(network, plates[cut:], half[0], after, warm_ups=warm_up)
                print_seam(f"{name} anew", anew, whole, truly)


def print_seam(name: str, half: list[Alpha], whole: list[Alpha], truth: list[Alpha]) -> None:
    """Print how far the frame of the cut is from that of the whole clip, and the errors there and after it."""
    seam = 1000 * float(np.abs(half[0] - whole[0]).mean())
    ours, theirs = ([row.mad for row in score(zip(each, truth, strict=True))] for each in (half, whole))
    at_cut = np.mean(ours[:3]) / np.mean(theirs[:3])
    print(
        f"{name} seam {seam:6.2f} mad at the cut {np.mean(ours[:3]):6.2f}, of whole {at_cut:5.2f}; "
        f"of all that follows {np.mean(ours):6.2f}, of whole {np.mean(ours) / np.mean(theirs):5.2f}",
        flush=True,
    )


def print_real(plate: str, mask: Path, frames: int, kinds: list[str], model: str, sheet: Path | None) -> None:
    network, plates = load_network(model), shown(plate, "sRGB")[:frames]
    drawn = read_mask(mask, plates[0].shape[1::-1])
    alphas = matted(network, plates, drawn, {})
    print(f"{weights_line(model)}\nnone    flicker {flickered(alphas):.3f}", flush=True)
    strips = []
    for kind in (each for each in kinds if each != "none"):
        masks = spoiled(kind, alphas, mask.stem, plates, drawn)
        answer, doubted = guided(network, kind, masks, plates, drawn, alphas, None)
        row = mean_scores(list(score(zip(answer, alphas, strict=True))))
        changed = [float(np.abs(one - other).mean()) for one, other in zip(answer, alphas, strict=True)]
        most = max(float(np.abs(one - other).max()) for one, other in zip(answer, alphas, strict=True))
        print(
            f"{kind:7} mad {row.mad:6.3f} core {row.core:6.3f} dtssd {row.dtssd:5.2f} overlap {row.overlap:.4f} "
            f"largest {most:.3f} flicker {flickered(answer):.3f} "
            f"guide {np.mean([_overlap(masks[frame], alphas[frame]) for frame in masks]):.3f} outvoted {doubted}",
            flush=True,
        )
        at = int(np.argmax(changed))
        strips.append(_strip(f"{kind}, frame {at}", plates[at], masks.get(at), alphas[at], answer[at]))
    if sheet:
        cv2.imwrite(str(sheet), np.concatenate(strips))


def flickered(alphas: list[Alpha]) -> float:
    """Return the mean flicker of a clip, per 1000 pixels of the subject."""
    threes = zip(alphas, alphas[1:], alphas[2:], strict=False)
    return 1000 * float(np.mean([flicker(before, now, after) for before, now, after in threes]))


def _strip(title: str, plate: Alpha, guide: Alpha | None, without: Alpha, answer: Alpha) -> np.ndarray:
    """Return plate with the guide in red, alpha without, alpha with, and their difference (8 bits, BGR), made small."""
    tinted = plate.copy()
    if guide is not None:
        tinted[..., 0] = np.maximum(tinted[..., 0], 0.7 * guide)
    grey = (np.repeat(each[..., None], 3, axis=2) for each in (without, answer, np.abs(answer - without).clip(0, 1)))
    wide = np.concatenate([tinted, *grey], axis=1)
    made = cv2.resize(
        np.round(255 * wide[..., ::-1]).astype(np.uint8), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA
    )
    cv2.putText(made, title, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(made)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rough guides on the held-out set.")
    parser.add_argument("what", choices=("bands", "score", "seam", "real"))
    parser.add_argument("--set", type=Path, help="the held-out set, for bands and score")
    parser.add_argument("--plate", help="for real")
    parser.add_argument("--mask", type=Path, help="for real: of the first frame")
    parser.add_argument("--frames", type=int, default=20, help="for real: how many")
    parser.add_argument("--alphas", type=Path, help="where alphas are kept, those without a guide as by edges.py")
    parser.add_argument("--band", type=int, help="for score: pixels; the default is a job's, for flow a track's")
    parser.add_argument("--sheet", type=Path, help="for real: a picture of what each guide changes most")
    parser.add_argument("--run-ins", nargs="*", type=int, default=[0, 4, 8], help="for seam: frames")
    parser.add_argument("--warm-ups", nargs="*", type=int, default=[None], help="for seam: passes")
    parser.add_argument("--first", choices=("drawn", "guide"), default="drawn", help="for seam: what makes the key")
    parser.add_argument("--clips", nargs="*")
    parser.add_argument("--kinds", nargs="*", default=["none", *KINDS, "key"])
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    if args.what == "real":
        print_real(args.plate, args.mask, args.frames, args.kinds, args.model, args.sheet)
        return
    every = sorted(folder for folder in args.set.iterdir() if folder.is_dir())
    clips = [folder for folder in every if not args.clips or folder.name in args.clips]
    if args.what == "bands":
        print_bands(clips)
    elif args.what == "seam":
        print_seams(clips, args.model, args.run_ins, args.warm_ups, args.first)
    else:
        kept = kept_for(args.alphas, args.model) if args.alphas else None
        print_scores(clips, kept, args.kinds, args.model, args.band)


if __name__ == "__main__":
    main()
