#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record the golden case (toy weights, a toy shot and its alphas) and the self-test's known answer of `mini`.

    python tests/golden/make_golden.py

Run it only when the network or `mini` is meant to answer differently, and only after tests/oracle.py has passed: the
oracle is what ties these numbers to the specification.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden.shot import GOLDEN_SHOT, GOLDEN_WEIGHTS, MASK_RADIUS, alphas_of  # noqa: E402
from toy import disc, plates, toy_network  # noqa: E402

from matanyone_engine import load_network  # noqa: E402
from matanyone_engine.matting.self_test import KNOWN_ANSWER, answer  # noqa: E402
from matanyone_engine.model import build_network, read_checkpoint, save_checkpoint  # noqa: E402


def main() -> None:
    save_checkpoint(toy_network(), GOLDEN_WEIGHTS)
    network = build_network(read_checkpoint(GOLDEN_WEIGHTS))
    shot = torch.stack(plates(12, 40, 56, seed=5))
    mask = disc(40, 56, MASK_RADIUS)
    alphas = alphas_of(network, shot, mask)
    np.savez_compressed(GOLDEN_SHOT, plates=shot.numpy(), mask=mask.numpy(), **alphas)
    print({name: (array.shape, float(array.std())) for name, array in alphas.items()})
    grid = answer(load_network("mini", "cpu", "exact")).astype(float).round(5)
    licence = {"SPDX-License-Identifier": "Apache-2.0"}
    KNOWN_ANSWER.write_text(json.dumps({**licence, "grid": grid.tolist()}) + "\n")


if __name__ == "__main__":
    main()
