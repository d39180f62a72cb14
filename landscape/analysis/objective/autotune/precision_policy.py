"""The precision of loss values: bfloat16 if it is measured to be faster and accurate enough, else float32.

The policy in one place: `choose_precision` decides for one checkpoint, `share_precision` for several that are compared.
Differences of losses, gradients and matvecs are float32 or float64 (the objective's own precision), but for the
surrogate operator that warm-starts an eigensolver, which asks `emulates_bfloat16` too. Training chooses its precision
by timing its own steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.precision import DTYPES, full_float32
from landscape.analysis.objective.weights import Weights
from landscape.execution.device import EMULATED_SLOWDOWN, has_bfloat16

PROBE_EXAMPLES = 500  # per split and probe point
GPU_PROBE_EXAMPLES = 10_000  # that keep a GPU busy: a pass over few takes as long as its launches in every precision
FEW_EXAMPLES = 16  # to recognize emulated bfloat16 by
MAX_TIME_RATIO = 0.8  # of bfloat16 to float32; nearer to 1 the choice would depend on the noise of the timing


@dataclass(frozen=True)
class PrecisionChoice:
    """A precision, and its largest relative error of the loss against float32 at the probe points."""

    precision: Precision
    error: float | None  # None if not measured


def choose_precision(
    objective: Objective,
    points: Sequence[tuple[Weights, Weights | None]],
    *,
    tolerance: float,
    splits: tuple[str, ...],
    known: Precision | None = None,
) -> PrecisionChoice:
    """Return bfloat16 if at every probe point its loss is within `tolerance` of float32's, and it is clearly faster.

    An objective in float64 keeps float64.

    Args:
        objective: whose loss is probed, on a random sample of its examples.
        points: weights and buffers (None: the model's) to probe.
        tolerance: largest relative error of the loss to accept.
        splits: of the data.
        known: precision of comparable results. It replaces the comparison of times, which differ from run to run, so
            that checkpoints measured one after the other share a precision.
    """
    if objective.precision != "float32" or not has_bfloat16(objective.device):
        return PrecisionChoice(objective.precision, None)
    if known == "float32":
        return PrecisionChoice("float32", None)
    sample = _random_sample(objective, splits)
    try:
        if emulates_bfloat16(sample, splits[0]):
            return PrecisionChoice("float32", None)
        low, low_seconds = _probe(sample, points, splits, "bfloat16")
    except (RuntimeError, NotImplementedError):  # an operator of this model has no bfloat16 form
        return PrecisionChoice("float32", None)
    high, high_seconds = _probe(sample, points, splits, "float32")
    error = _largest_relative_error(low, high)
    if error <= tolerance and (known == "bfloat16" or low_seconds < MAX_TIME_RATIO * high_seconds):
        return PrecisionChoice("bfloat16", error)
    return PrecisionChoice("float32", None)


def share_precision(choices: Sequence[PrecisionChoice]) -> PrecisionChoice:
    """Return one precision for results that are compared: bfloat16 only if all chose it, with the largest error.

    >>> share_precision([PrecisionChoice("bfloat16", 0.002), PrecisionChoice("float32", None)]).precision
    'float32'
    >>> share_precision([PrecisionChoice("bfloat16", 0.002), PrecisionChoice("bfloat16", 0.004)]).error
    0.004
    """
    for choice in choices:
        if choice.precision != "bfloat16":
            return choice
    errors = [choice.error for choice in choices if choice.error is not None]
    return PrecisionChoice("bfloat16", max(errors, default=None))


def emulates_bfloat16(objective: Objective, split: str) -> bool:
    """Return True if a CPU lacks bfloat16 arithmetic, by timing a few examples: all the probes would take long then."""
    if objective.device.type != "cpu":
        return False

    def seconds(precision: Precision) -> float:
        dtype, best = DTYPES[precision], math.inf
        inputs, _, _ = next(objective.data[split].iterate(FEW_EXAMPLES, dtype))
        with torch.no_grad(), full_float32():
            forward = objective.network.forward(None, None, dtype)  # not timed: it may re-estimate BatchNorm
            for _ in range(3):  # the first one warms up, and any can meet another program's load
                started = time.perf_counter()
                forward(inputs)
                best = min(best, time.perf_counter() - started)
        return best

    return seconds("bfloat16") > EMULATED_SLOWDOWN * seconds("float32")


def _random_sample(objective: Objective, splits: tuple[str, ...]) -> Objective:
    """Return the objective on a random sample: the first examples of data sorted by class would be of one class."""
    data = {}
    for split in splits:
        examples = objective.data[split]
        if objective.batchnorm == "batch":  # the batches stay as they are
            data[split] = examples.sample_batches(probe_examples(objective.device), objective.batch_size)
        else:
            data[split] = examples.sample(probe_examples(objective.device))
    return objective.variant(data=data)


def probe_examples(device: torch.device) -> int:
    """Return the number of examples per split and probe point that tell precisions apart on a device."""
    return GPU_PROBE_EXAMPLES if device.type == "cuda" else PROBE_EXAMPLES


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
        limit = probe_examples(objective.device)
        sums = objective.sums(weights, buffers=buffers, splits=splits, precision=precision, limit=limit)
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
