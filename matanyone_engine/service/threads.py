# SPDX-License-Identifier: Apache-2.0
"""How the threads of a computation wait for one another.

GNU OpenMP, which torch brings on Linux, lets a thread that waits for the others spin for milliseconds first. Beside
threads that read and write files, or other programs, it then burns the very core that the awaited thread needs
(benchmarks/README.md has figures). A short spin is kept, for those who need not wait long.
"""

from __future__ import annotations

import os

_TURNS = 1000
"""Of spinning before a thread sleeps: some 20 microseconds, of the default's milliseconds."""
_SPINS, _POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


def sleep_while_waiting() -> bool:
    """Let waiting threads sleep soon, unless the environment says how they shall wait. Changes no result.

    OpenMP reads its environment once: this must come before torch is first imported, in this process. False where the
    environment has its own word.
    """
    if _SPINS in os.environ or _POLICY in os.environ:
        return False
    os.environ[_SPINS] = str(_TURNS)
    return True
