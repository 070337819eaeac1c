# SPDX-License-Identifier: Apache-2.0
"""Sets how many threads compute, and how threads wait for each other.

GNU OpenMP, which torch uses on Linux, lets a waiting thread spin for milliseconds before it sleeps. If other threads
read and write files meanwhile, or other programs run, the spinning thread occupies the core that the awaited thread
needs (benchmarks/README.md has figures). A short spin is kept for short waits.
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
"""Number of spins before a thread sleeps: about 20 microseconds instead of the default's milliseconds."""
_SPINS, _POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"

_SETTING = Lock()
"""Held while torch's number of threads is changed."""


def sleep_while_waiting() -> bool:
    """Let waiting threads sleep soon, unless the environment sets how they wait. It changes no result.

    OpenMP reads its environment once, so this must be called before torch is imported. Returns False if the environment
    sets it already.
    """
    if _SPINS in os.environ or _POLICY in os.environ:
        return False
    os.environ[_SPINS] = str(_TURNS)
    return True


def on_half_of_the_cores(compute: Callable[[], T]) -> T:
    """Compute on a thread that has half of the cores, while another thread has all of them, and return the result.

    Two threads that both divide their work among all cores wait for each other (DR010). The number of threads may
    change the last bits of a convolution, so work that is sometimes computed here must always be computed here.
    """
    return _with_half_of_the_cores().submit(compute).result()


@cache
def _with_half_of_the_cores() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "half-cores", take_half_of_the_cores)


def take_half_of_the_cores() -> None:
    """Let torch use half of the cores on the calling thread; other threads are not changed."""
    import torch  # not before sleep_while_waiting()

    with _SETTING:  # otherwise another thread that starts now would take half of the half
        usual = torch.get_num_threads()
        torch.set_num_threads(max(1, usual // 2))
        # torch takes the last number that was set on any thread as the default of new threads: set the usual one again.
        restore = Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
