"""Tests run in several processes (`-n 0` for one), which share the processors between them."""

import os

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # before torch is imported, and for what tests start
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
