"""Quantities along a training run, added position by position."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from landscape.results import DynamicsResult


def appended(result: DynamicsResult, position: float, readings: Mapping[str, tuple[float, float]]) -> DynamicsResult:
    """Return the result with a value and an error per quantity at one more position, in order.

    A position that it has is replaced. Quantities that are missing there, or were before, are NaN.

    >>> run = DynamicsResult(np.array([1.0]), ("loss",), np.array([[0.5]]), np.array([[0.1]]))
    >>> appended(run, 0.0, {"loss": (0.9, 0.1)}).series("loss").tolist()
    [0.9, 0.5]
    """
    names = tuple(dict.fromkeys([*result.quantities, *readings]))
    kept = result.position != position
    positions = np.append(result.position[kept], position)
    order = np.argsort(positions)
    rows = [readings.get(name, (math.nan, math.nan)) for name in names]
    return dataclasses.replace(
        result,
        position=positions[order],
        quantities=names,
        values=np.array([np.append(result.series(n)[kept], v)[order] for n, (v, _) in zip(names, rows, strict=True)]),
        errors=np.array([np.append(result.error(n)[kept], e)[order] for n, (_, e) in zip(names, rows, strict=True)]),
    )


def before(result: DynamicsResult, position: float) -> DynamicsResult:
    """Return the part of a result before a position."""
    kept = result.position < position
    return dataclasses.replace(
        result, position=result.position[kept], values=result.values[:, kept], errors=result.errors[:, kept]
    )


def empty_dynamics() -> DynamicsResult:
    """Return a result without positions and quantities.

    >>> appended(empty_dynamics(), 0.0, {"loss": (0.9, math.nan)}).values.tolist()
    [[0.9]]
    """
    return DynamicsResult(np.empty(0), (), np.empty((0, 0)), np.empty((0, 0)))
