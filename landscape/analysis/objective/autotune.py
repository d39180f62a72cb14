"""Choices made by measurement: the precision of a surface's values, and the batch size."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.precision import DTYPES, EMULATED, full_float32
from landscape.analysis.objective.weights import Weights
from landscape.execution.threads import count_parallel_batches

PROBE_EXAMPLES = 500  # per split and probe point
FEW_EXAMPLES = 16
WORTH_IT = 0.8  # share of float32's time that bfloat16 may take: what is near it, a stopwatch would decide by chance
CPU_BATCHES = (64, 125, 250, 500)
GPU_BATCHES = (1000, 2500, 5000, 10000)


@dataclass(frozen=True)
class PrecisionChoice:
    """A precision, and the largest relative error of the loss it showed against float32 (None if not measured)."""

    precision: Precision
    error: float | None


def choose_precision(
    objective: Objective,
    points: Sequence[tuple[Weights, Weights | None]],
    *,
    tolerance: float,
    splits: tuple[str, ...],
    known: Precision | None = None,
) -> PrecisionChoice:
    """Return bfloat16 if at every probe point its loss is within `tolerance` of float32's, and it is clearly faster.

    `known` is the precision that comparable results were measured in: it replaces the comparison of times, which differ
    from run to run, so that checkpoints measured one after the other share a precision.
    """
    if objective.precision != "float32" or not _has_bfloat16(objective.device):
        return PrecisionChoice(objective.precision, None)
    if known == "float32":
        return PrecisionChoice("float32", None)
    few = _spread(objective, splits)
    try:
        if is_emulated(few, splits):
            return PrecisionChoice("float32", None)
        low, low_seconds = _probe(few, points, splits, "bfloat16")
    except (RuntimeError, NotImplementedError):  # an operator of this model has no bfloat16 form
        return PrecisionChoice("float32", None)
    high, high_seconds = _probe(few, points, splits, "float32")
    error = _largest_relative_error(low, high)
    if error <= tolerance and (known == "bfloat16" or low_seconds < WORTH_IT * high_seconds):
        return PrecisionChoice("bfloat16", error)
    return PrecisionChoice("float32", None)


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
        objective.sums(splits=(split,), precision=precision, batch_size=size, limit=size)
        started = time.perf_counter()
        count = objective.sums(splits=(split,), precision=precision, batch_size=size, limit=limit)[0, 0, 2].item()
        rates[size] = count / (time.perf_counter() - started)
    best = max(rates, key=lambda size: rates[size])
    return best, rates[best]


def _spread(objective: Objective, splits: tuple[str, ...]) -> Objective:
    """Return the objective on a random sample: the first examples of data sorted by class would be of one class."""
    data = {}
    for split in splits:
        examples = objective.data[split]
        if objective.batchnorm == "batch":  # the batches stay as they are
            data[split] = examples.sample_batches(PROBE_EXAMPLES, objective.batch_size)
        else:
            data[split] = examples.sample(PROBE_EXAMPLES)
    return objective.variant(data=data)


def _probe(
    objective: Objective,
    points: Sequence[tuple[Weights, Weights | None]],
    splits: tuple[str, ...],
    precision: Precision,
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], float]:
    """Return the losses (points, splits) at the probe points, and the seconds of the fastest one."""
    losses, seconds = [], []
    for weights, buffers in points:
        started = time.perf_counter()
        sums = objective.sums(weights, buffers=buffers, splits=splits, precision=precision, limit=PROBE_EXAMPLES)
        losses.append((sums[:, 0, 0] / sums[:, 0, 2]).cpu().double().numpy())
        seconds.append(time.perf_counter() - started)
    return np.array(losses), min(seconds)


def _largest_relative_error(
    low: np.ndarray[tuple[int, ...], np.dtype[np.float64]], high: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> float:
    both_diverge = ~np.isfinite(low) & ~np.isfinite(high)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(both_diverge, 0.0, np.abs(low - high) / np.abs(high))
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device knows bfloat16 at all; the timing decides in the end."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu"


def is_emulated(objective: Objective, splits: tuple[str, ...]) -> bool:
    """Whether a CPU has no bfloat16 of its own: told by a few examples, since all the probes would take long then."""
    if objective.device.type != "cpu":
        return False

    def seconds(precision: Precision) -> float:
        dtype, best = DTYPES[precision], math.inf
        inputs, _, _ = next(objective.data[splits[0]].iterate(FEW_EXAMPLES, dtype))
        with torch.no_grad(), full_float32():
            forward = objective.network.forward(None, None, dtype)  # not timed: it may re-estimate BatchNorm
            for _ in range(3):  # the first one makes ready, and any can meet another program's load
                started = time.perf_counter()
                forward(inputs)
                best = min(best, time.perf_counter() - started)
        return best

    return seconds("bfloat16") > EMULATED * seconds("float32")
