"""Tests run in several processes (`-n 0` for one), which share the processors between them."""

import os

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # before torch is imported, and for what tests start
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, own // int(workers))))
