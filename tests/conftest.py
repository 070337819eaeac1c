# SPDX-License-Identifier: Apache-2.0
"""Isolates every test from the machine: no user's settings, no studio's OCIO, one thread."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Toy networks are faster on one thread, and several test processes do not fight over two cores. Before torch loads.
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest
import torch

from matanyone_engine.model.precision import gains_by_half

torch.set_num_threads(1)
# A busy machine is slow, not wrong: hypothesis fails an example that takes 0.2 s unless it is told otherwise.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of fixtures that live longer than a test: what a run left there must not answer for
    this code.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        gains_by_half(torch.device("cpu"))
        yield


@pytest.fixture(autouse=True)
def _fresh_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for the user's data and settings. Whether half precision is faster is measured once for all tests,
    so that what an engine of a module computes is what a test of its own expects.
    """
    home = tmp_path_factory.mktemp("home")
    measured = Path(os.environ["XDG_CACHE_HOME"]) / "matanyone-engine" / "half-speed"
    if measured.is_dir():
        shutil.copytree(measured, home / "xdg_cache_home" / "matanyone-engine" / "half-speed")
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    for variable in ("OCIO", "MATANYONE_ENGINE_WEIGHTS", "MATANYONE_ENGINE_ALLOWED_LICENSES"):
        monkeypatch.delenv(variable, raising=False)
    return home
