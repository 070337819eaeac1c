# SPDX-License-Identifier: Apache-2.0
"""Finds out how much main memory the container (cgroup version 1 or 2) and ulimit leave for this process.

The machine's free memory includes neither limit. An engine that only looked at that would promise memory that its
container does not have, and would be killed in the middle of a shot.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_NO_LIMIT = 1 << 60
"""cgroup v1 reports a number of about this size if there is no limit."""


def left_by_limits(root: Path = Path("/"), process: str = "self") -> list[int]:
    """Return the bytes that each limit leaves for this process; empty if there are no limits.

    root: the folder that holds /proc and /sys. process: the name of the process in /proc.
    """
    return [*_left_by_cgroups(root, process), *_left_by_ulimit()]


def _left_by_ulimit() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError, psutil.Error):
        taken = psutil.Process().memory_info()
        for limit, used in ((resource.RLIMIT_AS, taken.vms), (resource.RLIMIT_DATA, taken.rss)):
            soft = resource.getrlimit(limit)[0]
            if soft != resource.RLIM_INFINITY:
                yield max(0, soft - used)


def _left_by_cgroups(root: Path, process: str) -> Iterator[int]:
    """Yield the bytes that each cgroup of this process leaves, from its own to the topmost one. The smallest counts."""
    try:
        lines = (root / "proc" / process / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _left_in(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left_in(root / "sys/fs/cgroup/memory", path, *v1)


def _left_in(top: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Return the bytes that a group leaves. path: the group as the process sees it. Inside a container that folder may
    not exist; then the topmost group is the process's own.
    """
    folder = top / path.lstrip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(top):
            return
        with suppress(OSError, ValueError):  # "max" means that there is no limit
            most = int((group / limit).read_text())
            if most < _NO_LIMIT:
                taken = int((group / usage).read_text()) - _field(group / "memory.stat", cache)
                yield max(0, most - max(0, taken))


def _field(stat: Path, name: str) -> int:
    """Return a number from memory.stat: the bytes of cached files, which the system can free at once."""
    for line in stat.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
