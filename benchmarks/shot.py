#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures how much keys, distractors, constraint masks and a shared pass improve mattes, on drawn scenes with true
alphas (scenes.py).

    python benchmarks/shot.py keys --plot keys.png --sheet keys_look.png
    python benchmarks/shot.py ends --people 1 2 3 4 5 7 --drawn 20
    python benchmarks/shot.py distractors --sheet distractors.png
    python benchmarks/shot.py constraints
    python benchmarks/shot.py objects
    python benchmarks/shot.py rerun --length 200

keys: one mask on the first frame, and one more where that is worst. ends: the same, with passes that remember one key,
both or all (DR018); and on clips of confidence.py, keyed on their first and last frames. distractors: a look-alike
that nobody follows, that is taken from what is written, and that is kept off before memory. constraints: a garbage
matte on a third of the frames, before memory and afterwards only. objects: three in one pass, and one after the other,
in processes of their own. rerun: a shot of EXR files, and what the same command does after a mask on 1047 was mended.
Masks are the truth above a half. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from confidence import drawn as varied_clip
from numpy.typing import NDArray
from scenes import FIRST, Scene, crowd, look_alike, occlusion, re_entry

from farm import write
from matanyone_engine.cli.main import main as engine
from matanyone_engine.matting import blend
from matanyone_engine.matting import runner as running
from matanyone_engine.matting.blend import separated
from matanyone_engine.matting.content_keys import Inputs, Names
from matanyone_engine.matting.inside_outside import NO_CONSTRAINTS, Constraints
from matanyone_engine.matting.runner import OTHER_KEYS_FARTHER, AlphaStore, ShotRunner
from matanyone_engine.matting.session import MattingSession
from matanyone_engine.matting.shot import Seed, Shot, Subject
from matanyone_engine.media.sequence import describe_frames
from matanyone_engine.model.matanyone import MatAnyone
from matanyone_engine.model.registry import load_network
from matanyone_engine.training.metrics import FrameScores, dtssd, score
from matanyone_engine.training.score_plot import write_score_plot

Alpha = NDArray[np.float32]
Alphas = list[dict[str, Alpha]]
"""For each frame the alpha of each object."""
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
    constraints: Mapping[int, Constraints] | None = None,
    store: AlphaStore | None = None,
) -> Alphas:
    """Run subjects over a scene, keyed with its truth; constraint masks are the first subject's, by frame."""
    runner = _runner(network, scene, Shot(scene.frames, subjects), {} if store is None else store)
    return _taken(runner, scene, constraints or {})


def _taken(runner: ShotRunner, scene: Scene, constraints: Mapping[int, Constraints]) -> Alphas:
    plates = dict(zip(scene.frames, map(_planes, scene.plates), strict=True))
    first = runner.shot.subjects[0].name
    found: Alphas = [{} for _ in scene.frames]
    for step in runner.plan(scene.frames):
        runner.take(step, plates[step.frame], {first: constraints.get(step.frame, NO_CONSTRAINTS)})
        if step.delivers:
            found[step.frame - FIRST] = {name: alpha.numpy() for name, alpha in runner.alphas(step.frame).items()}
    return found


def _planes(plate: Alpha) -> torch.Tensor:
    return torch.from_numpy(plate).permute(2, 0, 1)


def _runner(network: MatAnyone, scene: Scene, shot: Shot, store: AlphaStore) -> ShotRunner:
    seeds = [Seed(subject.name, key) for subject in shot.subjects for key in subject.keys]
    names = Names(
        shot, Inputs("benchmark", {frame: str(frame) for frame in shot.frames}, dict.fromkeys(seeds, "truth"))
    )

    def mask(seed: Seed) -> Alpha:
        return (scene.truth[seed.subject][seed.frame - FIRST] > 0.5).astype(np.float32)

    return ShotRunner(shot, names, store, lambda _: MattingSession(network), mask)


def scored(alphas: Alphas, scene: Scene) -> list[FrameScores]:
    """Score the hero's alphas."""
    return list(score(zip([each["hero"] for each in alphas], scene.truth["hero"], strict=True)))


def error(rows: list[FrameScores]) -> float:
    """Return MAD x 1000 of all frames but the first key's."""
    return float(np.mean([row.mad for row in rows[1:]]))


# -- one more key -----------------------------------------------------------------------------------------------------


def keys(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """Compare one key with one more at the worst frame, and with one more on an ordinary frame instead."""
    print("scene       person | MAD: one key  two  factor | dtSSD: median  keys (one key: there)  seam  pop |", end="")
    print(" of motion: median  keys | ordinary key at: median  there")
    rows, plots = [], {}
    for name, make in SCENES.items():
        for person in args.people:
            scene = make(person, args.length)
            one = follow(network, scene, Subject("hero", (FIRST,)))
            worst = worst_frame(scored(one, scene), scene.truth["hero"])
            two = _keyed_twice(network, scene, worst)
            usual = ordinary_frame(scene.truth["hero"])
            three = _keyed_twice(network, scene, usual).alphas
            rows.append({"scene": name, "person": person, **_compared(scene, one, two, worst)})
            rows[-1] |= {"usual": FIRST + usual, **_at_usual(scored(three, scene), usual, scene.truth["hero"])}
            plots[name, person] = scene, one, two.alphas, worst
            print(_KEYS_LINE.format(**rows[-1]), flush=True)
    best = max(rows, key=lambda row: row["factor"])
    scene, one, two, worst = plots[best["scene"], best["person"]]
    if args.plot:
        write_score_plot(args.plot, dict(zip(scene.frames, scored(two, scene), strict=True)))
    if args.sheet:
        write_sheet(
            args.sheet, scene, {"one key": one, "two keys": two}, [1, worst // 2, worst, (worst + args.length) // 2]
        )
    return rows


_KEYS_LINE = (
    "{scene:11} {person:6} | {one:12.1f} {two:4.1f} {factor:7.2f} | {median:13.1f} {keys:5.1f} {one_there:16.1f}"
    " {seam:5.1f} {pop:4.1f} | {rate_median:17.2f} {rate_keys:5.2f} | {usual} {usual_median:18.1f} {usual_key:6.1f}"
)

SHOWN = 0.4
"""Of the subject's largest area: less of it is not enough to draw, or to flicker."""


def worst_frame(rows: list[FrameScores], truth: list[Alpha]) -> int:
    """Index of the frame an artist would repair: the largest error where there is enough of the subject to draw."""
    shown = _shown(truth)
    return int(np.argmax([row.mad if there else 0.0 for row, there in zip(rows, shown, strict=True)]))


def ordinary_frame(truth: list[Alpha]) -> int:
    """Index of the frame around which the truth moves most like it does on the median one; not near the ends."""
    shown, moves = _shown(truth), motion(truth)
    usual = float(np.median([moves[i] for i in _pairs(truth)]))
    inner = [i for i in range(8, len(truth) - 4) if shown[i - 1] and shown[i] and shown[i + 1]]
    return min(inner, key=lambda i: abs(np.log(moves[i] / usual)) + abs(np.log(moves[i + 1] / usual)))


def motion(truth: list[Alpha]) -> list[float]:
    """Return for each frame how much the truth changes since the frame before, root mean square x 100, as dtSSD."""
    changes = [float(np.square(b.astype(np.float64) - a).mean()) for a, b in itertools.pairwise(truth)]
    return [0.0, *(100 * change**0.5 for change in changes)]


def _shown(truth: list[Alpha]) -> list[bool]:
    areas = [float(alpha.sum()) for alpha in truth]
    return [area > SHOWN * max(areas) for area in areas]


def _pairs(truth: list[Alpha]) -> list[int]:
    """Return frames that show the subject, as the one before them does."""
    shown = _shown(truth)
    return [i for i in range(1, len(truth)) if shown[i] and shown[i - 1]]


@dataclass(frozen=True)
class KeyedTwice:
    """Holds a run with a second key."""

    alphas: Alphas
    seam: int
    """Index of the first frame that is more the second key's than the first one's."""
    pop: float
    """dtSSD of the blend less the larger one of its passes', where that is most: what blending adds."""


def _keyed_twice(network: MatAnyone, scene: Scene, second: int) -> KeyedTwice:
    runner = _runner(network, scene, Shot(scene.frames, (Subject("hero", (FIRST, FIRST + second)),)), {})
    found, passes = _taken(runner, scene, {}), runner.shot.answer("hero", FIRST + 1).passes
    parts = [{f: runner._alpha(runner._names.alpha(each, f)).numpy() for f in each.frames} for each in passes]

    def flicker(alphas: Mapping[int, Alpha], frame: int) -> float:
        here, before = (scene.truth["hero"][frame - at - FIRST] for at in (0, 1))
        return dtssd(alphas[frame], here, alphas[frame - 1], before)

    whole = {frame: each["hero"] for frame, each in zip(scene.frames, found, strict=True)}
    inner = sorted(parts[0])[1:]
    pop = max(flicker(whole, frame) - max(flicker(part, frame) for part in parts) for frame in inner)
    seam = next((frame for frame in inner if runner._weight(passes, frame) > 0.5), FIRST + second)
    return KeyedTwice(found, seam - FIRST, pop)


def _compared(scene: Scene, one: Alphas, two: KeyedTwice, worst: int) -> Row:
    truth, before, after = scene.truth["hero"], scored(one, scene), scored(two.alphas, scene)
    at_keys = [i for i in (1, worst, worst + 1) if i < len(after)]
    moves, flicker = motion(truth), [row.dtssd for row in after]
    rates = [row / max(move, 1e-6) for row, move in zip(flicker, moves, strict=True)]
    return {
        "key": FIRST + worst,
        "one": error(before),
        "two": error(after),
        "factor": error(before) / error(after),
        "median": float(np.median([flicker[i] for i in _pairs(truth)])),
        "keys": float(np.mean([flicker[i] for i in at_keys])),
        "one_there": float(np.mean([before[i].dtssd for i in at_keys])),
        "seam": flicker[two.seam],
        "pop": two.pop,
        "rate_median": float(np.median([rates[i] for i in _pairs(truth)])),
        "rate_keys": float(np.mean([rates[i] for i in at_keys])),
    }


def _at_usual(rows: list[FrameScores], usual: int, truth: list[Alpha]) -> Row:
    return {
        "usual_median": float(np.median([rows[i].dtssd for i in _pairs(truth)])),
        "usual_key": float(np.mean([rows[i].dtssd for i in (usual, usual + 1)])),
    }


# -- what a pass remembers --------------------------------------------------------------------------------------------


def ends(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """Compare passes that know their own key, both of their stretch, or all, where there is a second key."""
    print(f"scene       number {'  '.join(ENDS)}")
    rows = []
    kinds = {name: (make, args.people) for name, make in SCENES.items()} | {"drawn": (_ordinary, range(args.drawn))}
    for name, (make, numbers) in kinds.items():
        whole = [{"scene": name, "number": n, **_by_ends(network, make(n, args.length))} for n in numbers]
        for row in whole:
            print(f"{name:11} {row['number']:6} {_figures(row)}")
        if whole:
            mean = {way: float(np.exp(np.mean([np.log(row[way]) for row in whole]))) for way in ENDS}
            print(f"{name:11}   mean {_figures(mean)}", flush=True)
        rows += whole
    return rows


def _ordinary(number: int, _: int) -> Scene:
    """Return a clip of many kinds and difficulties, as confidence.py draws them."""
    plates, alphas = varied_clip(number, 24)
    return Scene("drawn", [np.asarray(plate, np.float32) for plate in plates], {"hero": alphas})


ENDS = ("one key", "own, old blend", "own", "both alike", "both", "all")


def _figures(row: Row) -> str:
    return "  ".join(f"{row[way]:{len(way)}.1f}" for way in ENDS)


def _by_ends(network: MatAnyone, scene: Scene) -> dict[str, float]:
    one = follow(network, scene, Subject("hero", (FIRST,)))
    last = len(scene.plates) - 1 if scene.name == "drawn" else worst_frame(scored(one, scene), scene.truth["hero"])
    keyed = (FIRST, FIRST + last)
    hero, taught = Subject("hero", keyed), Subject("hero", keyed, pinned=frozenset(keyed))
    alone: AlphaStore = {}
    ways = {"one key": one, "own": _remembering(_NEVER_READ, lambda: follow(network, scene, hero, store=alone))}
    ways["own, old blend"] = _handing_over_slowly(lambda: follow(network, scene, hero, store=alone))
    ways["both alike"] = _remembering(1.0, lambda: follow(network, scene, hero))
    ways["both"], ways["all"] = (follow(network, scene, each) for each in (hero, taught))
    return {way: error(scored(found, scene)) for way, found in ways.items()}


_NEVER_READ = 1e6


def _remembering(farther: float, run: Callable[[], Alphas]) -> Alphas:
    """Let sessions remember with other keys' memory that much farther away."""
    running.OTHER_KEYS_FARTHER = farther
    try:
        return run()
    finally:
        running.OTHER_KEYS_FARTHER = OTHER_KEYS_FARTHER


def _handing_over_slowly(run: Callable[[], Alphas]) -> Alphas:
    """Blend as before DR018."""
    prior, blend._prior = blend._prior, lambda t: t * (1 - t)
    try:
        return run()
    finally:
        blend._prior = prior


# -- distractors ------------------------------------------------------------------------------------------------------


def distractors(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """Compare a look-alike that nobody follows, that is taken from what is written, and that is kept off before
    memory.
    """
    print("scene       person | MAD: alone  written  before memory | leak: alone  written  before memory")
    rows = []
    for name in ("look-alike", "re-entry"):
        for person in args.people:
            scene = SCENES[name](person, args.length)
            apart = follow(network, scene, Subject("hero", (FIRST,)), Subject("twin", (FIRST,)))
            ways = {
                "alone": apart,
                "written": [_shared(each) for each in apart],
                "before": follow(network, scene, Subject("hero", (FIRST,)), Subject("twin", (FIRST,), distractor=True)),
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
    """Return the hero's mean alpha on what is surely the look-alike's."""
    pairs = zip(alphas, scene.truth["twin"], strict=True)
    return float(np.mean([each["hero"][twin > 0.9].mean() for each, twin in pairs if (twin > 0.9).any()]))


# -- constraint masks -------------------------------------------------------------------------------------------------


def constraints(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """Compare a garbage matte around the look-alike on every third frame: before memory, and afterwards only."""
    print("scene       person | MAD: none  afterwards  before memory | on frames without one: none  before memory")
    rows = []
    for name in ("look-alike", "re-entry"):
        for person in args.people:
            scene = SCENES[name](person, args.length)
            drawn = {frame: Constraints(outside=_garbage(scene, frame - FIRST)) for frame in scene.frames[2::3]}
            free = follow(network, scene, Subject("hero", (FIRST,)))
            after = [
                {
                    "hero": np.minimum(each["hero"], 1 - np.asarray(drawn[frame].outside))
                    if frame in drawn
                    else each["hero"]
                }
                for frame, each in zip(scene.frames, free, strict=True)
            ]
            before = follow(network, scene, Subject("hero", (FIRST,)), constraints=drawn)
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
    """Return a generous shape around the look-alike, soft, that spares the hero."""
    twin, hero = scene.truth["twin"][number], scene.truth["hero"][number]
    shape = cv2.dilate((twin > 0.1).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.float32)
    return cv2.GaussianBlur(shape, (0, 0), 1.5) * (1 - hero)


# -- three objects ----------------------------------------------------------------------------------------------------


def objects(network: MatAnyone, args: argparse.Namespace) -> Row:
    """Compare three objects together with one after the other."""
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
    """Return seconds and peak MiB of a process that follows these, group by group."""
    network, scene = load_network(model), crowd(PEOPLE[0], length)
    begun = time.perf_counter()
    for names in parts:
        follow(network, scene, *(Subject(name, (FIRST,)) for name in names))
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- run again --------------------------------------------------------------------------------------------------------

KEYS = (FIRST, 1047, 1100)


def rerun(network: MatAnyone, args: argparse.Namespace) -> list[Row]:
    """Run one command three times: on nothing, on what it has made, and after the mask of 1047 was changed."""
    del network
    scene, rows = crowd(args.people[0], args.length), []
    print("run               computed  files written  bytes changed  time stamps changed  seconds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MATANYONE_ENGINE_CACHE"] = str(folder / "cache")
        _write_shot(folder, scene)
        mended = cv2.dilate(scene.truth["hero"][KEYS[1] - FIRST], np.ones((5, 5), np.uint8))
        for run, change in (
            ("first", lambda: None),
            ("nothing changed", lambda: None),
            (f"{KEYS[1]} mended", lambda: write(folder / f"roto.{KEYS[1]}.exr", mended[..., None], ("Y",))),
        ):
            change()
            rows.append({"run": run, **_run_again(folder, args.model)})
            print("{run:17} {computed:8}  {written:>13}  {bytes:>13}  {stamps:>19}  {seconds:7.1f}".format(**rows[-1]))
    return rows


def _write_shot(folder: Path, scene: Scene) -> None:
    (folder / "out").mkdir()
    for frame, plate, truth in zip(scene.frames, scene.plates, scene.truth["hero"], strict=True):
        write(folder / f"plate.{frame}.exr", plate, ("R", "G", "B"))
        if frame in KEYS:
            write(folder / f"roto.{frame}.exr", truth[..., None], ("Y",))


def _run_again(folder: Path, model: str) -> Row:
    """Run the command, and return what of its files is not as it was before."""
    before, begun = _files(folder / "out"), time.perf_counter()
    with _counted() as calls:
        words = [f"--mask={folder / f'roto.{key}.exr'}@{key}" for key in KEYS]
        plate, out = str(folder / "plate.####.exr"), str(folder / "out" / "alpha.####.exr")
        if engine(["matte", plate, *words, "--out", out, "--colorspace", "sRGB", "--model", model]):
            raise SystemExit("the command failed")
    seconds, after = time.perf_counter() - begun, _files(folder / "out")
    changed = [
        [frame for frame, now in after.items() if before.get(frame, (None, None))[part] != now[part]] for part in (0, 1)
    ]
    return {
        "computed": len(calls),
        "written": len(changed[1]),
        "bytes": describe_frames(changed[0]) or "-",
        "stamps": describe_frames(changed[1]) or "-",
        "seconds": seconds,
    }


def _files(folder: Path) -> dict[int, tuple[bytes, int]]:
    """Return for each frame the bytes and the time stamp of its alpha."""
    paths = sorted(folder.glob("alpha.*.exr"))
    return {int(path.name.split(".")[1]): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Count every key and frame that goes through the network meanwhile."""
    calls: list[str] = []
    real = {name: getattr(MattingSession, name) for name in ("seed", "advance")}
    for name, method in real.items():
        setattr(MattingSession, name, _noting(method, name, calls))
    try:
        yield calls
    finally:
        for name, method in real.items():
            setattr(MattingSession, name, method)


def _noting(method: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def noting(*args: Any, **named: Any) -> Any:
        calls.append(name)
        return method(*args, **named)

    return noting


# -- pictures ---------------------------------------------------------------------------------------------------------


def write_sheet(path: Path, scene: Scene, ways: Mapping[str, Alphas], columns: list[int]) -> None:
    """Draw plate, truth, and each way's hero as rows; a frame is a column."""
    rows = [[scene.plates[i] for i in columns], [scene.truth["hero"][i] for i in columns]]
    rows += [[alphas[i]["hero"] for i in columns] for alphas in ways.values()]
    words = ["plate", "true alpha", *ways]
    lines = [np.concatenate([_cell(picture) for picture in row], axis=1) for row in rows]
    for line, word in zip(lines, words, strict=True):
        cv2.putText(line, word, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (50, 230, 255), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), np.concatenate(lines))


def _cell(picture: Alpha) -> NDArray[np.uint8]:
    """Return 8-bit BGR, so that OpenCV writes it as it is seen."""
    colours = picture[..., ::-1] if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def main() -> None:
    """Run one of them and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("keys", "ends", "distractors", "constraints", "objects", "rerun"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE)
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    ways = {"keys": keys, "ends": ends, "distractors": distractors}
    ways |= {"constraints": constraints, "objects": objects, "rerun": rerun}
    print(json.dumps(ways[args.what](load_network(args.model), args)))


if __name__ == "__main__":
    main()
