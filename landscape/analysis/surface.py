"""Surfaces and lines: metrics at the points of a plane of weight space."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analysis.directions import Plane, random_plane
from landscape.analysis.estimates import estimate
from landscape.analysis.objective import Objective, Precision
from landscape.analysis.provenance import describe
from landscape.analysis.tuning import PrecisionChoice, choose_batch_size, choose_precision
from landscape.errors import LandscapeError
from landscape.results import Floats, Line, Surface, points_table

Points: TypeAlias = NDArray[Any]  # of dtype landscape.results.POINT

IN_FLIGHT = 4  # points queued on a GPU before the first result is waited for


@dataclass(frozen=True)
class Settings:
    """What must be equal for two runs to give the same bits; a resumed run is handed those of the first."""

    precision: Precision
    precision_error: float | None  # largest relative error of the loss at the probe points; None where not measured
    batch_size: int
    images_per_second: float | None = None  # as measured, for an estimate


def axis(points: int, span: float) -> Floats:
    """Return `points` coordinates from −span to span with an exact 0 in the middle.

    Raises:
        LandscapeError: for a count that is not odd and at least 3, or a span that is not positive.
    """
    if points < 3 or points % 2 == 0:
        raise LandscapeError(
            f"got {points} points; expected an odd number of at least 3, so that the centre is a point"
        )
    if not (np.isfinite(span) and span > 0):
        raise LandscapeError(f"got a span of {span}; expected a positive number")
    half = np.linspace(0.0, span, points // 2 + 1)
    return np.concatenate([-half[:0:-1], half])


def between_axis(points: int, beyond: float = 0.0) -> Floats:
    """Return coordinates from −beyond to 1 + beyond that contain 0 and 1 exactly, evenly spaced within [0, 1]."""
    if points < 3:
        raise LandscapeError(f"got {points} points between two checkpoints; expected at least 3")
    inner = np.arange(points) / (points - 1)
    steps = int(np.floor(beyond * (points - 1) + 1e-9))
    outer = np.arange(1, steps + 1) / (points - 1)
    return np.concatenate([-outer[::-1], inner, 1 + outer])


def settle(
    objective: Objective,
    planes: Iterable[Plane],
    corners: Iterable[tuple[float, float]],
    *,
    precision: Precision | Literal["auto"] = "auto",
    precision_tolerance: float = 0.01,
    batch_size: int | None = None,
    splits: tuple[str, ...] | None = None,
) -> Settings:
    """Return the precision and the batch size to use, chosen by measurement where they are "auto" and None."""
    choice = PrecisionChoice(precision, None) if precision != "auto" else PrecisionChoice("float32", None)
    if precision == "auto":
        points = [(plane.at(a, b), plane.buffers_at(a)) for plane in planes for a, b in corners]
        choice = choose_precision(objective, points, tolerance=precision_tolerance, splits=splits or objective.splits)
    size, rate = (batch_size, None) if batch_size else choose_batch_size(objective, choice.precision)
    return Settings(choice.precision, choice.error, size, rate)


def probe_points(alpha: Floats, beta: Floats | None) -> list[tuple[float, float]]:
    """Return a few points of the grid at which precisions are compared: centre, half way, and the rim."""
    x = [alpha[0], alpha[len(alpha) // 4], alpha[len(alpha) // 2], alpha[-1]]
    y = [0.0] * 4 if beta is None else [beta[0], beta[3 * len(beta) // 4], beta[len(beta) // 2], beta[len(beta) // 2]]
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def surface(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 51,
    span: float = 1.0,
    line: bool = False,
    alpha: Floats | None = None,
    beta: Floats | None = None,
    seed: int = 0,
    splits: tuple[str, ...] | None = None,
    precision: Precision | Literal["auto"] = "auto",
    precision_tolerance: float = 0.01,
    settings: Settings | None = None,
    done: Points | None = None,
    on_point: Callable[[Points], None] | None = None,
) -> Surface | Line:
    """Return every metric on a grid of a plane (a `Surface`) or along a line (a `Line`).

    Args:
        objective: what is measured.
        plane: where; by default the plane of two filter-normalized random directions from `seed`.
        points: (x, y) counts, odd; one number for both.
        span: the axes run from −span to span; a line between two models from 0 to 1.
        line: one random direction instead of two, where no plane is given.
        alpha: coordinates along the first direction instead of `points` and `span`; (X,) ascending.
        beta: the same along the second; (Y,).
        seed: of the random directions.
        splits: which splits; all of the objective's by default.
        precision: of the forward passes; "auto" takes bfloat16 where that was measured to be faster and within
            `precision_tolerance` (relative, at probe points of this very grid) of float32.
        settings: what `settle` returned, to make several surfaces alike or to resume one.
        done: points of an earlier run with the same settings, which are not computed again.
        on_point: called with the rows of each point as it is finished.

    Raises:
        LandscapeError: for unusable axes or an unknown split.
    """
    plane = plane or random_plane(objective, seed=seed, dimensions=1 if line else 2)
    counts = (points, points) if isinstance(points, int) else points
    if alpha is None:
        alpha = between_axis(counts[0]) if plane.recipe.get("kind") == "between" else axis(counts[0], span)
    alpha = _ascending(alpha)
    if not plane.is_line:
        beta = axis(counts[1], span) if beta is None else _ascending(beta)
    splits = splits or objective.splits
    unknown = [split for split in splits if split not in objective.splits]
    if unknown:
        raise LandscapeError(f"no split {unknown[0]!r} in the data; it has {', '.join(objective.splits)}")
    started = time.perf_counter()
    if settings is None:
        settings = settle(
            objective,
            [plane],
            probe_points(alpha, beta),
            precision=precision,
            precision_tolerance=precision_tolerance,
            splits=splits,
        )
    todo = list(grid_points(alpha, beta, done))
    tables = [] if done is None else [done]
    for rows in _measure(objective, plane, todo, splits, settings):
        tables.append(rows)
        if on_point is not None:
            on_point(rows)
    attributes = {
        **describe(objective, splits),
        "directions": dict(plane.recipe),
        "precision": settings.precision,
        "precision_error": settings.precision_error,
        "batch_size": settings.batch_size,
        "seconds": time.perf_counter() - started,
    }
    table = np.concatenate(tables) if tables else points_table([])
    if beta is None:
        return Line(alpha, splits, objective.metrics, table, attributes)
    return Surface(alpha, splits, objective.metrics, table, attributes, beta)


def empty(objective: Objective, alpha: Floats, beta: Floats | None, attributes: Mapping[str, Any]) -> Surface | Line:
    """Return the result of a measurement that has not begun: axes and attributes, no points."""
    splits, metrics, nothing = objective.splits, objective.metrics, points_table([])
    if beta is None:
        return Line(alpha, splits, metrics, nothing, attributes)
    return Surface(alpha, splits, metrics, nothing, attributes, beta)


def grid_points(alpha: Floats, beta: Floats | None, done: Points | None = None) -> Iterator[tuple[float, float]]:
    """Yield the grid's coordinates row by row, from the centre row outwards, without those already done."""
    finished = (
        set() if done is None else {(float(row["alpha"]), float(row["beta"])) for row in done if row["level"] == 0}
    )
    rows = [0.0] if beta is None else sorted(beta.tolist(), key=abs)
    for b in rows:
        for a in alpha.tolist():
            if (a, b) not in finished:
                yield a, b


def _ascending(coordinates: Floats) -> Floats:
    values = np.asarray(coordinates, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise LandscapeError("the coordinates of an axis are not an ascending list of finite numbers; sort them first")
    return values


def _measure(
    objective: Objective, plane: Plane, todo: list[tuple[float, float]], splits: tuple[str, ...], settings: Settings
) -> Iterator[Points]:
    """Yield each point's rows in order; on a GPU a few points are queued before the first is waited for."""
    in_flight = IN_FLIGHT if objective.device.type == "cuda" else 0
    pending: deque[tuple[float, float, Tensor]] = deque()
    with torch.no_grad():
        for a, b in todo:
            sums = objective.sums(
                plane.at(a, b),
                buffers=plane.buffers_at(a),
                splits=splits,
                precision=settings.precision,
                batch_size=settings.batch_size,
            )
            pending.append((a, b, sums))
            if len(pending) > in_flight:
                yield _rows(*pending.popleft())
        while pending:
            yield _rows(*pending.popleft())


def _rows(alpha: float, beta: float, sums: Tensor) -> Points:
    rows = []
    for split, metrics in enumerate(sums.cpu().double().numpy()):
        for metric, (total, squares, count) in enumerate(metrics):
            mean = estimate(total, squares, count)
            rows.append((alpha, beta, split, metric, mean.value, mean.stderr, mean.n, 0))
    return points_table(rows)
