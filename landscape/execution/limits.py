"""Processes that a machine can run side by side, by its cores and its memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

WORKER_BYTES = 5e8  # of a process that has imported torch and measures a small network


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_bytes() -> float:
    """Return the bytes that new processes can take without swapping; infinite where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return float("inf")


def affordable_workers(bytes_each: float = WORKER_BYTES) -> tuple[int, str]:
    """Return the most processes that the machine can run side by side, at least 1, and its cores or memory in words."""
    cores, memory = usable_cores(), available_bytes()
    fitting = memory // bytes_each
    if fitting < cores:
        return max(1, int(fitting)), f"{memory / 1e9:.1f} GB of free memory"
    return cores, f"{cores} core{'s' * (cores > 1)}"
