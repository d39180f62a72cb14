"""Number of processes that can run concurrently, by the cores and the memory of the machine or its container."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

WORKER_BYTES = 5e8  # of a process that has imported torch and measures a small network
ROOT = Path("/")  # of the file system that the kernel's tables are read from


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    The least of its affinity (`taskset`, Slurm) and the CPU quota of its control groups (Docker, Kubernetes).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(min(_cpu_quotas(), default=cores))))


def available_bytes() -> float:
    """Return the bytes that new processes can allocate without swapping; infinite if the system does not tell.

    The least of the machine's and of what the control groups of this process leave.
    """
    free = math.inf
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (ROOT / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = 1024.0 * int(line.split()[1])
    return min(free, group_bytes())


def group_bytes() -> float:
    """Return the bytes that the control groups of this process leave; infinite without a limit."""
    return max(0.0, min(_free_of_groups(), default=math.inf))


def affordable_workers(bytes_each: float = WORKER_BYTES) -> tuple[int, str]:
    """Return the maximum number of concurrent processes, at least 1, and the limit in words, such as "2 cores".

    >>> affordable_workers(bytes_each=1e18)[0]
    1
    """
    cores, memory = usable_cores(), available_bytes()
    fitting = memory // bytes_each
    if fitting < cores:
        return max(1, int(fitting)), f"{memory / 1e9:.1f} GB of free memory"
    return cores, f"{cores} core{'s' * (cores > 1)}"


def _cpu_quotas() -> Iterator[float]:
    """Yield the cores that each control group of this process allows."""
    for folder in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):
            if (folder / "cpu.max").is_file():  # version 2
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)


def _free_of_groups() -> Iterator[float]:
    """Yield the bytes that each control group of this process leaves; its file cache can be dropped."""
    for folder in _groups("memory"):
        with contextlib.suppress(OSError, ValueError):
            limit, usage = "memory.max", "memory.current"
            if not (folder / limit).is_file():  # version 1
                limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
            most = (folder / limit).read_text().strip()
            if most != "max":
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                cache = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
                yield float(int(most) - int((folder / usage).read_text()) + cache)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups that hold a controller, from the innermost to the root."""
    mount = ROOT / "sys/fs/cgroup"
    with contextlib.suppress(OSError):
        for line in (ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = mount / controllers if controllers else mount
            inner = top / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder == top or top in folder.parents)
