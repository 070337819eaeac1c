# SPDX-License-Identifier: Apache-2.0
"""Sets how many threads compute, and how they wait for one another.

GNU OpenMP, which torch brings on Linux, lets a thread that waits for the others spin for milliseconds first. Beside
threads that read and write files, or other programs, it then burns the very core that the awaited thread needs
(benchmarks/README.md has figures). A short spin is kept, for those who need not wait long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock, Thread
from typing import TypeVar

T = TypeVar("T")

_TURNS = 1000
"""Of spinning before a thread sleeps: some 20 microseconds, of the default's milliseconds."""
_SPINS, _POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"

_SETTING = Lock()
"""Held while torch's number of threads is not the usual one."""


def sleep_while_waiting() -> bool:
    """Let waiting threads sleep soon, unless the environment says how they shall wait. Changes no result.

    OpenMP reads its environment once: this must come before torch is first imported, in this process. False where the
    environment has its own word.
    """
    if _SPINS in os.environ or _POLICY in os.environ:
        return False
    os.environ[_SPINS] = str(_TURNS)
    return True


def beside(compute: Callable[[], T]) -> T:
    """Compute on a thread that has half of the cores, beside one that has all of them, and return the result.

    Two threads that both divide their work among all cores wait for each other's shares (DR010). How many share a
    convolution may change its last bits: whatever is computed here sometimes is to be computed here always.
    """
    return _with_half_of_the_cores().submit(compute).result()


@cache
def _with_half_of_the_cores() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "beside", take_half_of_the_cores)


def take_half_of_the_cores() -> None:
    """Let torch compute with half of the cores on the calling thread; other threads keep theirs."""
    import torch  # not before sleep_while_waiting()

    with _SETTING:  # or another that begins would take half of the half
        usual = torch.get_num_threads()
        torch.set_num_threads(max(1, usual // 2))
        # torch takes the last number set anywhere as the default of threads to come: give them back the usual one.
        restore = Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
