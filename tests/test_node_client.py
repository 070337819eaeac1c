# SPDX-License-Identifier: Apache-2.0
"""examples/client.mjs, written from docs/protocol.md, gets the alpha that the command line gets."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engines import running
from shots import HEIGHT, WIDTH, make_shot, read_image

from matanyone_engine.cli.main import main

CLIENT = Path(__file__).resolve().parents[1] / "examples" / "client.mjs"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and the zeromq package."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node.js on this machine")
    folder = tmp_path_factory.mktemp("node")
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "zeromq@6"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        pytest.skip(f"npm has no zeromq here: {done.stderr[-200:]}")
    shutil.copy(CLIENT, folder)
    return folder


def test_a_client_in_another_language_gets_the_same_alpha(node: Path, tmp_path: Path) -> None:
    shot = make_shot(tmp_path, count=1)
    alpha = tmp_path / "node.exr"
    with running(tmp_path) as engine:
        plate = str(tmp_path / "plate.1001.exr")
        done = subprocess.run(
            ["node", "client.mjs", plate, str(shot.mask), "1001", str(alpha), str(WIDTH), str(HEIGHT)],
            cwd=node,
            env={**os.environ, "MATANYONE_CONNECTION": str(engine.file)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert main([*shot.arguments("--settle", "10", "--device", "cpu")]) == 0
    assert np.array_equal(read_image(alpha), read_image(shot.alpha(1001)))
