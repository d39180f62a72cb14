"""Limits of containers, from tables as the kernel writes them."""

import math
from pathlib import Path

import pytest

from landscape.execution import limits

GB = 2**30


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores and 64 GB."""
    monkeypatch.setattr(limits, "ROOT", tmp_path)
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    write(tmp_path / "proc/meminfo", f"MemTotal: {2**27} kB\nMemAvailable:   {64 * 2**20} kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_the_machine_decides(root: Path) -> None:
    assert limits.usable_cores() == 16
    assert limits.available_bytes() == 64 * GB
    assert limits.group_bytes() == math.inf
    assert limits.affordable_workers() == (16, "16 cores")


def test_the_tightest_of_nested_groups_decides(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/pod/container\n")
    group = root / "sys/fs/cgroup"
    write(group / "pod/cpu.max", "350000 100000\n")
    write(group / "pod/container/cpu.max", "max 100000\n")
    write(group / "pod/memory.max", "max\n")
    write(group / "pod/container/memory.max", f"{4 * GB}\n")
    write(group / "pod/container/memory.current", f"{3 * GB}\n")
    write(group / "pod/container/memory.stat", f"anon 5\ninactive_file {GB}\n")
    assert limits.usable_cores() == 4
    assert limits.available_bytes() == 2 * GB
    assert limits.affordable_workers(bytes_each=GB) == (2, "2.1 GB of free memory")


def test_the_older_version(root: Path) -> None:
    write(root / "proc/self/cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n")
    group = root / "sys/fs/cgroup"
    write(group / "cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n")
    write(group / "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    write(group / "cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(group / "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    write(group / "memory/job/memory.limit_in_bytes", f"{GB}\n")
    write(group / "memory/job/memory.usage_in_bytes", f"{2 * GB}\n")
    write(group / "memory/job/memory.stat", "total_inactive_file 0\n")
    assert limits.usable_cores() == 1
    assert limits.available_bytes() == 0.0


def test_damaged_tables_are_ignored(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", "nonsense\n")
    write(root / "sys/fs/cgroup/memory.max", "much\n")
    write(root / "sys/fs/cgroup/memory.stat", "\n")
    assert (limits.usable_cores(), limits.available_bytes()) == (16, 64 * GB)
