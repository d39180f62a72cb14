"""The batch size of loss evaluations, chosen by measurement."""

from __future__ import annotations

import time

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.precision import Precision
from landscape.execution.threads import count_parallel_batches

CPU_BATCHES = (64, 125, 250, 500)
GPU_BATCHES = (1000, 2500, 5000, 10000)


def choose_batch_size(objective: Objective, precision: Precision) -> tuple[int, float]:
    """Return the fastest of a few batch sizes and its images per second, each timed once after a warm-up.

    Ready batches keep their sizes, and so does everything where BatchNorm's statistics are those of the batch.
    """
    split = objective.splits[0]
    data = objective.data[split]
    candidates = GPU_BATCHES if objective.device.type == "cuda" else CPU_BATCHES
    free = data.sizes_are_free and objective.batchnorm != "batch"
    sizes = sorted({min(size, data.examples) for size in candidates}) if free else [objective.batch_size]
    rates = {}
    for size in sizes:
        parallel = count_parallel_batches(objective.device, objective.parallel_batches)
        limit = max(sizes[-1], size * parallel)  # every thread has work
        _examples_of_pass(objective, precision, size, limit=size)  # waits for a GPU, too: it would fall into the timing
        started = time.perf_counter()
        rates[size] = _examples_of_pass(objective, precision, size, limit=limit) / (time.perf_counter() - started)
    best = max(rates, key=lambda size: rates[size])
    return best, rates[best]


def _examples_of_pass(objective: Objective, precision: Precision, size: int, *, limit: int) -> float:
    """Evaluate about `limit` examples of the first split, wait for the result, and return their number."""
    sums = objective.sums(splits=objective.splits[:1], precision=precision, batch_size=size, limit=limit)
    return float(sums[0, 0, 2])
