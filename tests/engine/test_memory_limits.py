# SPDX-License-Identifier: Apache-2.0
"""What a container or ulimit leaves is found out, and no more is promised."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from matanyone_engine.engine import admission
from matanyone_engine.engine.memory_limits import left_by_limits

GB = 1 << 30


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group_v2(folder: Path, most: str, used: int, cache: int) -> None:
    write(folder / "memory.max", f"{most}\n")
    write(folder / "memory.current", f"{used}\n")
    write(folder / "memory.stat", f"anon 1\nactive_file 2\ninactive_file {cache}\n")


def cgroups_of(root: Path) -> list[int]:
    return left_by_limits(root)[: len(left_by_limits(root)) - len(left_by_limits(root / "nowhere"))]


def test_the_narrowest_group_of_version_2_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/farm/task\n")
    group_v2(tmp_path / "sys/fs/cgroup/farm/task", "max", 1, 0)
    group_v2(tmp_path / "sys/fs/cgroup/farm", str(4 * GB), 3 * GB, GB)
    assert cgroups_of(tmp_path) == [2 * GB], "pages of files can go at once"


def test_in_a_container_the_topmost_group_is_its_own(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/../../docker/abc\n".replace("../../", ""))
    group_v2(tmp_path / "sys/fs/cgroup", str(3 * GB), GB, 0)
    assert cgroups_of(tmp_path) == [2 * GB]


def test_version_1_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/farm\n0::/\n")
    top = tmp_path / "sys/fs/cgroup/memory"
    for folder, most in ((top, 9223372036854771712), (top / "farm", 3 * GB)):
        write(folder / "memory.limit_in_bytes", str(most))
        write(folder / "memory.usage_in_bytes", str(GB))
        write(folder / "memory.stat", f"total_inactive_file {GB // 2}\n")
    assert cgroups_of(tmp_path) == [2 * GB + GB // 2]


def test_ulimit_counts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))\n"
        "from matanyone_engine.engine.memory_limits import left_by_limits\n"
        "print(min(left_by_limits()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 4 << 30 < int(done.stdout) < 8 << 30
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_no_more_than_four_fifths_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "left_by_limits", lambda: [10 * GB, GB])
    cpu = torch.device("cpu")
    assert admission.promised_bytes(cpu, None) == GB * 4 // 5
    assert admission.promised_bytes(cpu, 2 * GB) == GB * 4 // 5
    assert admission.promised_bytes(cpu, 1000) == 1000
