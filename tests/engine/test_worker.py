# SPDX-License-Identifier: Apache-2.0
"""What happens on the device when it has no room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import FIRST, SIZE, expected, mask, plate, toy_weights

from matanyone_engine.engine.pixels import PlateFormat, decode
from matanyone_engine.engine.store import SessionStore
from matanyone_engine.engine.worker import Worker
from matanyone_engine.errors import OutOfMemory
from matanyone_engine.matting import step
from matanyone_engine.memory.read import DEFAULT_BLOCK_BYTES
from matanyone_engine.wire import messages as say

OPENING = say.Open("0" * 32, SIZE, model="toy", options=say.Options(warm_up_passes=1))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    made = Worker({"toy": str(toy_weights(tmp_path))}, "cpu")
    made.load("s", OPENING, SessionStore(tmp_path / "state").create("s", OPENING, 1))
    made.decoded[1] = decode(PlateFormat(SIZE, "sRGB", 0), plate(FIRST), mask())
    made.step("s", 1, FIRST, key=True)
    made.decoded[2] = decode(PlateFormat(SIZE, "sRGB", 0), plate(FIRST + 1), None)
    return made


def run_out(monkeypatch: pytest.MonkeyPatch, above: int) -> None:
    """Memory that has no room for blocks above so many bytes."""
    predict = step.predict

    def cramped(*arguments: Any) -> Any:
        if arguments[5] > above:
            raise MemoryError("no room")
        return predict(*arguments)

    monkeypatch.setattr(step, "predict", cramped)


def test_smaller_blocks_are_tried_before_giving_up(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.frombuffer(expected()[FIRST + 1], np.float32)
    run_out(monkeypatch, DEFAULT_BLOCK_BYTES - 1)
    worker.step("s", 2, FIRST + 1, key=False)
    alpha = worker.done[2].alpha
    assert np.allclose(alpha.ravel(), right, atol=1e-5)


def test_running_out_for_good_changes_nothing(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    before = worker.snapshot("s")
    with monkeypatch.context() as short:
        run_out(short, 0)
        with pytest.raises(OutOfMemory):
            worker.step("s", 2, FIRST + 1, key=False)
    assert worker.snapshot("s") == before
    assert 2 not in worker.done
