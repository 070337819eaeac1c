#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replays recorded cases of the reference implementation with this engine's network, and compares the alphas.

    python tests/oracle.py --cases DIR [--kit DIR] [--case NAME ...]

DIR holds *.npz cases of the format described in the parity kit's README: operations (mask, first, step) with recorded
alphas, for weights that `oracle_weights.py` makes from key names alone. The kit (manifest and oracle_weights.py) is
looked for in --kit, in DIR, above DIR, and in ../shared/parity. Exit code 0 only if every case is within tolerance.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
if importlib.util.find_spec("matanyone_engine") is None:  # run from a checkout that is not installed
    sys.path.insert(0, str(ROOT))

from matanyone_engine import LongTermPolicy, MattingSession, MemoryPolicy  # noqa: E402
from matanyone_engine.errors import EngineError  # noqa: E402
from matanyone_engine.matting import step  # noqa: E402
from matanyone_engine.matting.inference import inference  # noqa: E402
from matanyone_engine.matting.schedule import Cursor, FrameKind, FramePlan, plan_frame  # noqa: E402
from matanyone_engine.model import MATANYONE, MatAnyone, for_inference, load_upstream_state  # noqa: E402

MAX_TOLERANCE = 5e-4
"""Largest |difference of alpha| of any pixel (parity kit, README)."""
MEAN_TOLERANCE = 2e-5
"""Mean |difference of alpha| of a case."""
MANIFEST = "manifest_matanyone.json"


def upstream_guide_mask(mask: npt.NDArray[np.generic], dilate: int, erode: int) -> npt.NDArray[np.float32]:
    """Return the reference's guide mask: (H, W) 0..255 in, (H, W) float32 0..255 out.

    dilate > 0: everything that is not 0, dilated; erode > 0: then everything that is 255, eroded; each gives 0 or
    255. With both 0 the values stay as they are. dilate and erode are the *sizes* of the ellipse, not radii: even
    ones are asymmetric and move the mask by a fraction of a pixel, as they do in the reference.
    """
    guide = np.asarray(mask, dtype=np.float32)
    if dilate > 0:
        guide = _binary(guide != 0, cv2.MORPH_DILATE, dilate)
    if erode > 0:
        guide = _binary(guide == 255, cv2.MORPH_ERODE, erode)
    return guide.copy()


def _binary(inside: npt.NDArray[np.bool_], operation: int, size: int) -> npt.NDArray[np.float32]:
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(inside.astype(np.float32) * 255, operation, ellipse), dtype=np.float32)


@dataclass(frozen=True)
class Difference:
    """Says how far one case is from its record."""

    name: str
    frames: int
    max: float
    mean: float
    pooled: float
    """Largest difference of the 4x4 means, over every frame."""

    @property
    def passed(self) -> bool:
        return self.max <= MAX_TOLERANCE and self.mean <= MEAN_TOLERANCE and self.pooled <= MAX_TOLERANCE


class Kit:
    """Holds the manifest and the weights that follow from it."""

    def __init__(self, folder: Path) -> None:
        self.entries = json.loads((folder / MANIFEST).read_text())
        spec = importlib.util.spec_from_file_location("oracle_weights", folder / "oracle_weights.py")
        if spec is None or spec.loader is None:
            raise SystemExit(f"oracle: {folder} holds no oracle_weights.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.state = {name: torch.from_numpy(array) for name, array in module.oracle_state(self.entries).items()}

    def network(self, override: dict[str, float]) -> MatAnyone:
        """Return our network with the oracle's weights; `override` fills whole tensors with a constant."""
        filled = {name: torch.full_like(self.state[name], value) for name, value in override.items()}
        network = MatAnyone(MATANYONE)
        load_upstream_state(network, {**self.state, **filled})
        return for_inference(network)


def find_kit(cases: Path, given: Path | None) -> Path:
    """Return the folder with the manifest."""
    places = [given] if given else [cases, *cases.resolve().parents, ROOT.parent / "shared" / "parity"]
    for place in places:
        if place is not None and (place / MANIFEST).is_file():
            return place
    raise SystemExit(f"oracle: no {MANIFEST} in {', '.join(map(str, places))}; name its folder with --kit")


def memory_policy(params: dict[str, Any]) -> MemoryPolicy:
    """Return a recorded case's memory settings in our words."""
    recorded = params.get("long_term") or {}
    long_term = None
    if params["use_long_term"]:
        if not recorded.get("count_usage", True):
            raise SystemExit("oracle: long-term memory without use counts is not part of this engine")
        long_term = LongTermPolicy(
            max_frames=recorded["max_mem_frames"],
            min_frames=recorded["min_mem_frames"],
            prototypes=recorded["num_prototypes"],
            max_tokens=recorded["max_num_tokens"],
            buffer_tokens=recorded["buffer_tokens"],
        )
    return MemoryPolicy(
        memory_every=params["mem_every"],
        bank_frames=params["max_mem_frames"],
        top_k=params["top_k"],
        long_term=long_term,
        sensory_updates=params["stagger_updates"],
    )


def limited(rgb: np.ndarray, max_size: int | None) -> torch.Tensor:
    """Return uint8 frames (T, H, W, 3) as floats (T, 3, H, W) 0..1, whose shortest side is at most max_size pixels."""
    frames = torch.from_numpy(rgb).permute(0, 3, 1, 2).float()
    shortest = min(frames.shape[-2:])
    if max_size is not None and 0 < max_size < shortest:
        size = [int(side / shortest * max_size) for side in frames.shape[-2:]]
        frames = F.interpolate(frames, size=size, mode="area")
    return frames / 255


def guide_masks(case: Any, params: dict[str, Any], size: torch.Size) -> np.ndarray:
    """Prepare raw masks (M, H, W) as the reference does, nearest-resized to the frames: float 0..255."""
    prepared = [upstream_guide_mask(mask, params["r_dilate"], params["r_erode"]) for mask in case["masks"]]
    stacked = torch.from_numpy(np.stack(prepared))[:, None].float()
    return F.interpolate(stacked, size=tuple(size), mode="nearest")[:, 0].numpy()


class Replay:
    """Runs recorded operations: those that an artist's shot has in a MattingSession, the reference's others below it.

    The reference can take a mask without predicting its frame, and can predict a last frame without remembering it.
    Sessions have no such moves, so both are made here of the parts that a session is made of.
    """

    def __init__(self, network: MatAnyone, policy: MemoryPolicy, working_size: int | None = None) -> None:
        self._network, self._policy = network, policy
        self.session = MattingSession(network, policy, working_size=working_size, refine=False, hold_tolerance=None)

    def operate(self, op: dict[str, Any], plate: torch.Tensor, masks: np.ndarray) -> torch.Tensor:
        """Run one operation and return its alpha (H, W)."""
        if op["op"] == "mask":
            return self._assigned(plate, torch.from_numpy(masks[op["mask"]] / 255), last=bool(op.get("end")))
        if op["op"] == "step":
            return self._last(plate) if op.get("end") else self.session.advance(plate)
        if op["op"] == "first":
            return self.session.warm_up(plate)
        raise SystemExit(f"oracle: unknown operation {op['op']!r}")

    def _assigned(self, plate: torch.Tensor, mask: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Take the mask (H, W) 0..1 as the alpha of this frame, without a prediction."""
        ready = self.session.ready(plate)
        geometry = ready.geometry
        before = replace(self.session.state, frame=geometry.frame, window=geometry.whole)
        plan = plan_frame(FrameKind.SEED, before.cursor, self._policy)
        with inference():
            prepared = geometry.prepare(mask.float()[None, None])
            features = ready.features(geometry.whole)
            plan = unremembered(plan, before.cursor) if last else plan
            stepped = step.assign(self._network, plan, before, features, prepared)
            self.session.rewind(stepped.state)
            return geometry.restore(stepped.alpha)[0, 0]

    def _last(self, plate: torch.Tensor) -> torch.Tensor:
        """Predict a frame that is not remembered."""
        ready, before = self.session.ready(plate), self.session.state
        plan = unremembered(plan_frame(FrameKind.ADVANCE, before.cursor, self._policy), before.cursor)
        with inference():
            features = ready.features(ready.geometry.whole)
            stepped = step.predict(self._network, plan, before, features, self._policy.top_k)
            self.session.rewind(stepped.state)
            return ready.geometry.restore(stepped.alpha)[0, 0]


def unremembered(plan: FramePlan, before: Cursor) -> FramePlan:
    """Return the plan of a frame that is computed as planned, but goes neither to memory nor to the sensory map."""
    cursor = replace(plan.cursor, memorised=before.memorised)
    return replace(plan, cursor=cursor, memorises=False, updates_sensory=False)


def replay(case: Any, network: MatAnyone) -> dict[int, np.ndarray]:
    """Run every operation of a case and return the last alpha (H, W) of each frame."""
    params = json.loads(str(case["params"]))
    frames = limited(case["rgb"], params.get("max_size"))
    masks = case["masks_in"]
    if "masks" in case and not np.array_equal(guide_masks(case, params, frames.shape[-2:]), masks):
        print("  note: our preparation of the raw masks differs from the recorded masks_in; replaying masks_in")
    internal = params.get("max_internal_size") or -1
    replayed = Replay(network, memory_policy(params), internal if internal > 0 else None)
    answers: dict[int, np.ndarray] = {}
    for op in json.loads(str(case["ops"])):
        answers[op["frame"]] = replayed.operate(op, frames[op["frame"]], masks).numpy()
    return answers


def pooled(alpha: np.ndarray) -> np.ndarray:
    """Return 4x4 means; excess rows and columns are cut off."""
    height, width = alpha.shape[0] // 4, alpha.shape[1] // 4
    return alpha[: height * 4, : width * 4].reshape(height, 4, width, 4).mean(axis=(1, 3))


def compare(path: Path, kit: Kit) -> Difference:
    """Replay one case file and return how far it is from its record."""
    with np.load(path) as file:
        case = {name: file[name] for name in file.files}
    network = kit.network(json.loads(str(case["params"])).get("weight_override") or {})
    answers = replay(case, network)
    differences = [np.abs(answers[int(t)] - alpha) for t, alpha in zip(case["keep"], case["alpha"], strict=True)]
    pools = [np.abs(pooled(answers[t]) - case["pool"][t]).max() for t in answers] if "pool" in case else [0.0]
    return Difference(
        name=path.stem,
        frames=len(differences),
        max=float(max(d.max() for d in differences)),
        mean=float(np.mean([d.mean() for d in differences])),
        pooled=float(max(pools)),
    )


def case_files(folder: Path, names: list[str]) -> list[Path]:
    """Return the files of the case format, without the intermediates of single operations."""
    files = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            if "ops" in file.files and (not names or path.stem in names):
                files.append(path)
    if not files:
        raise SystemExit(f"oracle: no case files in {folder}")
    return files


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--cases", type=Path, required=True, help="folder of *.npz cases")
    parser.add_argument("--kit", type=Path, help=f"folder with {MANIFEST} and oracle_weights.py")
    parser.add_argument("--case", action="append", default=[], help="only this case (may be repeated)")
    args = parser.parse_args(argv)
    kit = Kit(find_kit(args.cases, args.kit))
    passed = True
    print(f"{'case':<28}{'frames':>7}{'max':>11}{'mean':>11}{'4x4 max':>11}")
    for path in case_files(args.cases, args.case):
        try:
            result = compare(path, kit)
        except EngineError as error:
            print(f"{path.stem:<28}  FAILED: {error}", flush=True)
            passed = False
            continue
        passed &= result.passed
        figures = f"{result.max:>11.2e}{result.mean:>11.2e}{result.pooled:>11.2e}"
        print(f"{result.name:<28}{result.frames:>7}{figures}  {'ok' if result.passed else 'DIFFERS'}", flush=True)
    print(f"tolerance: max {MAX_TOLERANCE:g}, mean {MEAN_TOLERANCE:g}: {'all within' if passed else 'EXCEEDED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
