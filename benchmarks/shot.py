#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What keys, rivals, holdouts and one pass for all objects are worth, on drawn scenes with true alpha (scenes.py).

    python benchmarks/shot.py keys --plot keys.png --sheet keys_look.png
    python benchmarks/shot.py ends --people 1 2 3 4 5 7
    python benchmarks/shot.py rivals --sheet rivals.png
    python benchmarks/shot.py holdouts
    python benchmarks/shot.py objects

keys: one mask on the first frame, and one more where that is worst. ends: the same, with passes that remember one key,
both or all (DR018). rivals: a look-alike that nobody follows, that is
taken from what is written, and that is kept off before memory. holdouts: a garbage matte on a third of the frames,
before memory and afterwards only. objects: three in one pass, and one after the other, in processes of their own.
Masks are the truth above a half. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scenes import FIRST, Scene, crowd, look_alike, occlusion, re_entry

from matanyone_engine.matting import blend
from matanyone_engine.matting import runner as running
from matanyone_engine.matting.blend import separated
from matanyone_engine.matting.encoder import SharedEncoder
from matanyone_engine.matting.holdout import NO_HOLDOUT, Holdout
from matanyone_engine.matting.names import Inputs, Names
from matanyone_engine.matting.runner import OTHER_KEYS_FARTHER, ShotRunner, Store
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import Seed, Shot, Subject
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import FrameScores, score
from matanyone_engine.training.score_plot import write_score_plot

Alpha = NDArray[np.float32]
Alphas = list[dict[str, Alpha]]
"""A frame each: object -> alpha."""
Row = dict[str, Any]

PEOPLE = (1, 2, 7)
SCENES: dict[str, Callable[[int, int], Scene]] = {
    "occlusion": occlusion,
    "look-alike": look_alike,
    "re-entry": re_entry,
}


def follow(
    network: MatAnyone,
    scene: Scene,
    *subjects: Subject,
    holdouts: Mapping[int, Holdout] | None = None,
    store: Store | None = None,
) -> Alphas:
    """Run subjects over a scene, keyed with its truth; holdouts are the first subject's, by frame."""
    plates = dict(zip(scene.frames, map(_planes, scene.plates), strict=True))
    runner = _runner(network, scene, Shot(scene.frames, subjects), {} if store is None else store)
    found: Alphas = [{} for _ in scene.frames]
    for step in runner.plan(scene.frames):
        runner.take(step, plates[step.frame], {subjects[0].name: (holdouts or {}).get(step.frame, NO_HOLDOUT)})
        if step.delivers:
            found[step.frame - FIRST] = {name: alpha.numpy() for name, alpha in runner.alphas(step.frame).items()}
    return found


def _planes(plate: Alpha) -> torch.Tensor:
    return torch.from_numpy(plate).permute(2, 0, 1)


def _runner(network: MatAnyone, scene: Scene, shot: Shot, store: Store) -> ShotRunner:
    encoder = SharedEncoder(network)
    seeds = [Seed(subject.name, key) for subject in shot.subjects for key in subject.keys]
    names = Names(
        shot, Inputs("benchmark", {frame: str(frame) for frame in shot.frames}, dict.fromkeys(seeds, "truth"))
    )

    def mask(seed: Seed) -> Alpha:
        return (scene.truth[seed.subject][seed.frame - FIRST] > 0.5).astype(np.float32)

    return ShotRunner(shot, names, store, encoder, lambda _: MattingSession(network, encoder=encoder), mask)


def scored(alphas: Alphas, scene: Scene) -> list[FrameScores]:
    """The hero's."""
    return list(score(zip([each["hero"] for each in alphas], scene.truth["hero"], strict=True)))


def error(rows: list[FrameScores]) -> float:
    """MAD x 1000 of all frames but the first key's."""
    return float(np.mean([row.mad for row in rows[1:]]))


# -- one more key -----------------------------------------------------------------------------------------------------


def keys(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """One key, and one more at the worst frame."""
    print("scene       person  key at  one key  two keys  factor | dtSSD: median  at keys  hand-over  (one key: there)")
    rows, plots = [], {}
    for name, make in SCENES.items():
        for person in args.people:
            scene = make(person, args.length)
            one = follow(network, scene, Subject("hero", (FIRST,)))
            worst = worst_frame(scored(one, scene), scene.truth["hero"])
            two = follow(network, scene, Subject("hero", (FIRST, FIRST + worst)))
            rows.append(_compared(name, person, worst, scored(one, scene), scored(two, scene), scene))
            plots[name, person] = scene, one, two, worst
            _say_keys(rows[-1])
    best = max(rows, key=lambda row: row["factor"])
    scene, one, two, worst = plots[best["scene"], best["person"]]
    if args.plot:
        write_score_plot(args.plot, dict(zip(scene.frames, scored(two, scene), strict=True)))
    if args.sheet:
        write_sheet(
            args.sheet, scene, {"one key": one, "two keys": two}, [1, worst // 2, worst, (worst + args.length) // 2]
        )
    return rows


def worst_frame(rows: list[FrameScores], truth: list[Alpha]) -> int:
    """Index of the frame an artist would repair: the largest error where there is enough of the subject to draw."""
    room = 0.4 * max(float(alpha.sum()) for alpha in truth)
    errors = [row.mad if alpha.sum() > room else 0.0 for row, alpha in zip(rows, truth, strict=True)]
    return int(np.argmax(errors))


def _compared(name: str, person: int, worst: int, one: list[FrameScores], two: list[FrameScores], scene: Scene) -> Row:
    seen = [i for i in range(1, len(two)) if scene.truth["hero"][i].max() > 0.5]
    at_keys = [i for i in (1, worst, worst + 1) if i < len(two)]
    # Where the answer changes most from the one-key run's towards the other pass's: the hand-over.
    moved = [abs(a.mad - b.mad) for a, b in zip(one, two, strict=True)]
    over = 1 + int(np.argmax(np.abs(np.diff(moved[: worst + 1])))) if worst > 1 else 1
    return {
        "scene": name,
        "person": person,
        "key": FIRST + worst,
        "one": error(one),
        "two": error(two),
        "factor": error(one) / error(two),
        "median": float(np.median([two[i].dtssd for i in seen])),
        "at_keys": max(two[i].dtssd for i in at_keys),
        "one_there": max(one[i].dtssd for i in at_keys),
        "hand_over": two[over].dtssd,
    }


def _say_keys(row: Row) -> None:
    print(
        f"{row['scene']:11} {row['person']:6} {row['key']:7} {row['one']:8.1f} {row['two']:9.1f} {row['factor']:7.2f} |"
        f" {row['median']:13.1f} {row['at_keys']:8.1f} {row['hand_over']:10.1f} {row['one_there']:10.1f}",
        flush=True,
    )


# -- what a pass remembers --------------------------------------------------------------------------------------------


def ends(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """The second key again, with passes that know their own key, both of their stretch, or all."""
    print(f"scene       person {'  '.join(ENDS)}")
    rows = []
    for name, make in SCENES.items():
        for person in args.people:
            rows.append({"scene": name, "person": person, **_by_ends(network, make(person, args.length))})
            print(f"{name:11} {person:6} {_figures(rows[-1])}", flush=True)
        whole = [row for row in rows if row["scene"] == name]
        mean = {way: float(np.exp(np.mean([np.log(row[way]) for row in whole]))) for way in ENDS}
        print(f"{name:11}   mean {_figures(mean)}")
    return rows


ENDS = ("one key", "own, old blend", "own", "both alike", "both", "all")


def _figures(row: Row) -> str:
    return "  ".join(f"{row[way]:{len(way)}.1f}" for way in ENDS)


def _by_ends(network: MatAnyone, scene: Scene) -> dict[str, float]:
    one = follow(network, scene, Subject("hero", (FIRST,)))
    keyed = (FIRST, FIRST + worst_frame(scored(one, scene), scene.truth["hero"]))
    hero, taught = Subject("hero", keyed), Subject("hero", keyed, pinned=frozenset(keyed))
    alone: Store = {}
    ways = {"one key": one, "own": _remembering(_NEVER_READ, lambda: follow(network, scene, hero, store=alone))}
    ways["own, old blend"] = _handing_over_slowly(lambda: follow(network, scene, hero, store=alone))
    ways["both alike"] = _remembering(1.0, lambda: follow(network, scene, hero))
    ways["both"], ways["all"] = (follow(network, scene, each) for each in (hero, taught))
    return {way: error(scored(found, scene)) for way, found in ways.items()}


_NEVER_READ = 1e6


def _remembering(farther: float, run: Callable[[], Alphas]) -> Alphas:
    """With other keys' memory that much farther away."""
    running.OTHER_KEYS_FARTHER = farther
    try:
        return run()
    finally:
        running.OTHER_KEYS_FARTHER = OTHER_KEYS_FARTHER


def _handing_over_slowly(run: Callable[[], Alphas]) -> Alphas:
    """With the blend of before DR018."""
    prior, blend._prior = blend._prior, lambda t: t * (1 - t)
    try:
        return run()
    finally:
        blend._prior = prior


# -- rivals -----------------------------------------------------------------------------------------------------------


def rivals(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """A look-alike: nobody follows it, it is taken from what is written, it is kept off before memory."""
    print("scene       person | MAD: alone  written  before memory | leak: alone  written  before memory")
    rows = []
    for name in ("look-alike", "re-entry"):
        for person in args.people:
            scene = SCENES[name](person, args.length)
            apart = follow(network, scene, Subject("hero", (FIRST,)), Subject("twin", (FIRST,)))
            ways = {
                "alone": apart,
                "written": [_shared(each) for each in apart],
                "before": follow(network, scene, Subject("hero", (FIRST,)), Subject("twin", (FIRST,), rival=True)),
            }
            row = {way: {"mad": error(scored(found, scene)), "leak": leak(found, scene)} for way, found in ways.items()}
            rows.append({"scene": name, "person": person, **row})
            mads, leaks = ([row[way][what] for way in ways] for what in ("mad", "leak"))
            print(
                f"{name:11} {person:6} | {mads[0]:10.1f} {mads[1]:8.1f} {mads[2]:14.1f} |"
                f" {leaks[0]:11.3f} {leaks[1]:8.3f} {leaks[2]:14.3f}",
                flush=True,
            )
            if args.sheet and (name, person) == ("re-entry", args.people[-1]):
                write_sheet(args.sheet, scene, ways, [1, args.length // 2, args.length - 1])
    return rows


def _shared(alphas: dict[str, Alpha]) -> dict[str, Alpha]:
    planes = {name: torch.from_numpy(alpha) for name, alpha in alphas.items()}
    return {name: alpha.numpy() for name, alpha in separated(planes).items()}


def leak(alphas: Alphas, scene: Scene) -> float:
    """The hero's mean alpha on what is surely the look-alike's."""
    pairs = zip(alphas, scene.truth["twin"], strict=True)
    return float(np.mean([each["hero"][twin > 0.9].mean() for each, twin in pairs if (twin > 0.9).any()]))


# -- holdouts ---------------------------------------------------------------------------------------------------------


def holdouts(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """A garbage matte around the look-alike on every third frame: before memory, and afterwards only."""
    print("scene       person | MAD: none  afterwards  before memory | on frames without one: none  before memory")
    rows = []
    for name in ("look-alike", "re-entry"):
        for person in args.people:
            scene = SCENES[name](person, args.length)
            drawn = {frame: Holdout(outside=_garbage(scene, frame - FIRST)) for frame in scene.frames[2::3]}
            free = follow(network, scene, Subject("hero", (FIRST,)))
            after = [
                {
                    "hero": np.minimum(each["hero"], 1 - np.asarray(drawn[frame].outside))
                    if frame in drawn
                    else each["hero"]
                }
                for frame, each in zip(scene.frames, free, strict=True)
            ]
            before = follow(network, scene, Subject("hero", (FIRST,)), holdouts=drawn)
            mads = [error(scored(each, scene)) for each in (free, after, before)]
            loose = [
                float(
                    np.mean([r.mad for r, f in zip(scored(each, scene), scene.frames, strict=True) if f not in drawn])
                )
                for each in (free, before)
            ]
            rows.append({"scene": name, "person": person, "mad": mads, "without": loose})
            print(
                f"{name:11} {person:6} | {mads[0]:9.1f} {mads[1]:11.1f} {mads[2]:14.1f} |"
                f" {loose[0]:27.1f} {loose[1]:14.1f}",
                flush=True,
            )
    return rows


def _garbage(scene: Scene, number: int) -> Alpha:
    """A generous shape around the look-alike, soft, that spares the hero."""
    twin, hero = scene.truth["twin"][number], scene.truth["hero"][number]
    shape = cv2.dilate((twin > 0.1).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.float32)
    return cv2.GaussianBlur(shape, (0, 0), 1.5) * (1 - hero)


# -- three objects ----------------------------------------------------------------------------------------------------


def objects(network: MatAnyone, args: argparse.Namespace) -> Row:
    """Three objects together, and one after the other."""
    del network
    names = ("hero", "twin", "other")
    context = multiprocessing.get_context("spawn")
    turns: dict[str, list[tuple[float, float]]] = {"one pass": [], "three passes": []}
    for _ in range(args.turns):
        for way, parts in (("one pass", [names]), ("three passes", [(name,) for name in names])):
            with context.Pool(1, maxtasksperchild=1) as pool:
                turns[way].append(pool.apply(_measured, (args.model, args.length, parts)))
    figures = {way: [float(np.median(column)) for column in zip(*each, strict=True)] for way, each in turns.items()}
    for way, (seconds, peak) in figures.items():
        print(f"{way:13} {seconds:7.2f} s  {peak:7.0f} MiB")
    time_part, memory_part = (figures["one pass"][i] / figures["three passes"][i] for i in (0, 1))
    print(f"one pass takes {time_part:.2f} of the time and {memory_part:.2f} of the memory")
    return {"turns": turns, "time": time_part, "memory": memory_part}


def _measured(model: str, length: int, parts: list[tuple[str, ...]]) -> tuple[float, float]:
    """(seconds, peak MiB) of a process that follows these, group by group."""
    network, scene = load_network(model), crowd(PEOPLE[0], length)
    begun = time.perf_counter()
    for names in parts:
        follow(network, scene, *(Subject(name, (FIRST,)) for name in names))
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- pictures ---------------------------------------------------------------------------------------------------------


def write_sheet(path: Path, scene: Scene, ways: Mapping[str, Alphas], columns: list[int]) -> None:
    """Rows: plate, truth, and each way's hero; a frame a column."""
    rows = [[scene.plates[i] for i in columns], [scene.truth["hero"][i] for i in columns]]
    rows += [[alphas[i]["hero"] for i in columns] for alphas in ways.values()]
    words = ["plate", "true alpha", *ways]
    lines = [np.concatenate([_cell(picture) for picture in row], axis=1) for row in rows]
    for line, word in zip(lines, words, strict=True):
        cv2.putText(line, word, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (50, 230, 255), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), np.concatenate(lines))


def _cell(picture: Alpha) -> NDArray[np.uint8]:
    """8-bit BGR, so that OpenCV writes it as it is seen."""
    colours = picture[..., ::-1] if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def main() -> None:
    """Run one of them and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("keys", "ends", "rivals", "holdouts", "objects"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    ways = {"keys": keys, "ends": ends, "rivals": rivals, "holdouts": holdouts, "objects": objects}
    print(json.dumps(ways[args.what](load_network(args.model), args)))


if __name__ == "__main__":
    main()
