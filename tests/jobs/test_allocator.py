# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys, threading
from matanyone_engine.jobs.allocator import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
def work():
    for _ in range(50):
        bytearray(80 << 20)
if "thread" in sys.argv:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def page_faults(*arguments: str) -> int:
    """Of a process that takes and frees 80 MiB fifty times."""
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_freed_blocks_are_used_again() -> None:
    assert page_faults("keep") < page_faults() / 5


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_other_threads_use_them_too() -> None:
    """The engine's device is a thread of its own."""
    assert page_faults("keep", "thread") < page_faults("thread") / 5


IDLE = """
from matanyone_engine.jobs.allocator import give_freed_memory_back, keep_freed_memory

def resident():
    with open("/proc/self/statm") as said:
        return int(said.read().split()[1]) * 4096

assert keep_freed_memory()
frame = [bytearray(b"x" * (64 << 20)) for _ in range(4)]
last = bytearray(100_000)  # lies behind them, so that the heap cannot simply end earlier
del frame
kept = resident()
assert give_freed_memory_back()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_an_idle_process_gives_back_what_it_kept() -> None:
    done = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) > 200 << 20
