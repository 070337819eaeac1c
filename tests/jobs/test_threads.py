# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from matanyone_engine.jobs.threads import take_half_of_the_cores

LOOK = "import sys, os; sys.argv = ['m', 'info', 'none.exr']; from matanyone_engine.cli.main import main; "
LOOK += "loaded = 'torch' in sys.modules; main(); print(loaded, os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, "False 1000"), ({"GOMP_SPINCOUNT": "7"}, "False 7"), ({"OMP_WAIT_POLICY": "active"}, "False None")],
)
def test_the_command_lets_threads_sleep_before_torch_is_there_unless_told_otherwise(
    said: dict[str, str], expected: str
) -> None:
    quiet = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env={**quiet, **said}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[-2] == expected


def test_threads_that_begin_together_all_take_half_of_the_usual_number() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        begun = Barrier(8)

        def begin() -> int:
            begun.wait()
            take_half_of_the_cores()
            return torch.get_num_threads()

        with ThreadPoolExecutor(8) as threads:
            assert {each.result() for each in [threads.submit(begin) for _ in range(8)]} == {2}
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 4
    finally:
        torch.set_num_threads(usual)
