"""Number of processes that a machine can run concurrently, by its cores and its memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

WORKER_BYTES = 5e8  # of a process that has imported torch and measures a small network


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> float:
    """Return the bytes that new processes can allocate without swapping; infinite if the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return float("inf")


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
