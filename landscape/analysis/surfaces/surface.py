"""Surfaces and lines: metrics at the points of a plane of weight space."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective, Precision
from landscape.analysis.objective.provenance import describe
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.planes.axes import MARGIN, Spacing, ascending, axis, known_axis
from landscape.analysis.surfaces.levels import Levels
from landscape.analysis.surfaces.measuring import (
    GRADIENT_NORM,
    EvaluationSettings,
    Measurer,
    Points,
    Request,
    choose_settings,
)
from landscape.analysis.surfaces.reliability import flatness_warnings, surface_warnings, warn_of
from landscape.analysis.surfaces.scheme import scheme
from landscape.analysis.surfaces.task import SurfaceTask
from landscape.analysis.surfaces.tolerance import estimate_within
from landscape.errors import LandscapeError
from landscape.execution import Workers, use
from landscape.results import Floats, LineResult, SurfaceResult, points_table


def surface(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 51,
    span: float = 1.0,
    spacing: Spacing = "linear",
    line: bool = False,
    alpha: Floats | None = None,
    beta: Floats | None = None,
    region: tuple[Floats, Floats | None] | None = None,
    seed: int = 0,
    splits: tuple[str, ...] | None = None,
    gradient_norm: bool = False,
    tolerance: float = 0.0,
    precision: Precision | Literal["auto"] = "auto",
    precision_tolerance: float = 0.01,
    workers: int | Workers = 1,
    settings: EvaluationSettings | None = None,
    done: Points | None = None,
    on_point: Callable[[Points], None] | None = None,
) -> SurfaceResult | LineResult:
    """Return every metric on a grid of a plane (a `Surface`) or along a line (a `Line`).

    Args:
        objective: what is measured.
        plane: where; by default the plane of two filter-normalized random directions from `seed`.
        points: (x, y) counts, odd; one number for both.
        span: the axes run from −span to span. Those of planes through known points cover these instead, and a quarter
            more on each side; a line or curve between two models runs from 0 to 1.
        spacing: of the axes that `span` says: "linear", or "log": 0 and, on both sides, equal ratios from span/1000 to
            span.
        line: one random direction instead of two, where no plane is given.
        alpha: coordinates along the first direction instead of `points` and `span`; (X,) ascending.
        beta: the same along the second; (Y,).
        region: coordinates of a grid whose points are measured instead of those of the axes; they join the points in
            `done` in one table.
        seed: of the random directions, and of the subsets and the held-out points of a `tolerance`.
        splits: which splits; all of the objective's by default.
        gradient_norm: whether to measure the norm of the loss's gradient, too.
        tolerance: 0 measures every point on all the examples. Otherwise the relative error of each split's mean loss
            that 95 % of the points are to be within: they are estimated from passes over nested subsets, and over all
            the examples where those tell most; `attributes["tolerance"]` says how well, and what it saved.
        precision: of the forward passes; "auto" takes bfloat16 where that was measured to be faster and within
            `precision_tolerance` (relative, at probe points of this very grid) of float32.
        workers: processes that share the points, on CUDA one per GPU, or what `landscape.execution.open` returned. The
            values are those of a single process with as many threads as each.
        settings: what `choose_settings` returned, to make several surfaces alike or to resume one.
        done: points of an earlier run with the same settings, which are not computed again.
        on_point: called with the rows of each point as it is finished.

    Raises:
        LandscapeError: for unusable axes, an unknown split, or an objective that a tolerance or workers cannot be used
            with.
    """
    if not 0 <= tolerance < 1:
        raise LandscapeError(f"got a tolerance of {tolerance}; expected a relative error such as 0.01, or 0 for exact")
    plane = plane or random_plane(objective, seed=seed, dimensions=1 if line else 2)
    alpha, beta = _axes(plane, points, span, spacing, alpha, beta)
    splits = splits or objective.splits
    unknown = [split for split in splits if split not in objective.splits]
    if unknown:
        raise LandscapeError(f"no split {unknown[0]!r} in the data; it has {', '.join(objective.splits)}")
    started = time.perf_counter()
    cautions = surface_warnings(objective, plane, splits)
    warn_of(cautions)
    if settings is None:
        settings = choose_settings(
            objective,
            [plane],
            probe_points(alpha, beta),
            precision=precision,
            precision_tolerance=precision_tolerance,
            splits=splits,
        )
    measurer = Measurer(objective, plane, splits, settings, gradient_norm)
    done = points_table([]) if done is None else done
    grid = _Grid(*(region or (alpha, beta)), done)
    with use(workers) as pool:
        threads = torch.get_num_threads() if pool.is_inline else settings.threads or pool.threads
        if tolerance:
            rows, report = _estimated(measurer, grid, tolerance, seed, pool, threads, done, on_point)
        else:
            rows, report = _exact(measurer, grid, pool, threads, on_point), {}
    attributes = {
        **describe(objective, splits),
        "threads": threads,
        "directions": dict(plane.provenance),
        **({"marks": [dict(mark) for mark in plane.marks]} if plane.marks else {}),
        "precision": settings.precision,
        "precision_error": settings.precision_error,
        "batch_size": settings.batch_size,
        **report,
        "seconds": time.perf_counter() - started,
    }
    table = _ordered(np.concatenate([done, *rows]), alpha, beta)
    result: LineResult | SurfaceResult = LineResult(alpha, splits, measurer.metrics, table, attributes)
    if beta is not None:
        result = SurfaceResult(alpha, splits, measurer.metrics, table, attributes, beta)
    flat = flatness_warnings(result)
    warn_of(flat)
    if cautions or flat:
        attributes["warnings"] = [*cautions, *flat]
    return result


def empty(
    objective: Objective,
    alpha: Floats,
    beta: Floats | None,
    attributes: Mapping[str, Any],
    *,
    gradient_norm: bool = False,
) -> SurfaceResult | LineResult:
    """Return the result of a measurement that has not begun: axes and attributes, no points."""
    metrics = (*objective.metrics, GRADIENT_NORM) if gradient_norm else objective.metrics
    if beta is None:
        return LineResult(alpha, objective.splits, metrics, points_table([]), attributes)
    return SurfaceResult(alpha, objective.splits, metrics, points_table([]), attributes, beta)


def probe_points(alpha: Floats, beta: Floats | None) -> list[tuple[float, float]]:
    """Return a few points of the grid at which precisions are compared: centre, half way, and the rim."""
    x = [alpha[0], alpha[len(alpha) // 4], alpha[len(alpha) // 2], alpha[-1]]
    y = [0.0] * 4 if beta is None else [beta[0], beta[3 * len(beta) // 4], beta[len(beta) // 2], beta[len(beta) // 2]]
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def grid_points(alpha: Floats, beta: Floats | None, done: Points | None = None) -> Iterator[tuple[float, float]]:
    """Yield the grid's coordinates row by row, from the centre row outwards, without those already done."""
    finished: set[tuple[float, float]] = set()
    if done is not None:
        reported = done[done["level"] == 0]
        finished = set(zip(reported["alpha"].tolist(), reported["beta"].tolist(), strict=True))
    rows = [0.0] if beta is None else sorted(beta.tolist(), key=abs)
    for b in rows:
        for a in alpha.tolist():
            if (a, b) not in finished:
                yield a, b


class _Grid:
    """The points of a grid that are still to be reported, and where they lie in units of its axes."""

    def __init__(self, alpha: Floats, beta: Floats | None, done: Points) -> None:
        self.points = list(grid_points(alpha, beta, done))
        x = np.searchsorted(alpha, [a for a, _ in self.points]) / max(len(alpha) - 1, 1)
        self.places = x[:, None]  # (P, 1 or 2)
        if beta is not None:
            y = np.searchsorted(beta, [b for _, b in self.points]) / max(len(beta) - 1, 1)
            self.places = np.stack([x, y], axis=1)


def _exact(
    measurer: Measurer, grid: _Grid, workers: Workers, threads: int, on_point: Callable[[Points], None] | None
) -> list[Points]:
    """Return the rows of every point, measured on all the examples."""
    found = []
    for rows in workers.map(SurfaceTask(measurer, threads), [Request(0, a, b) for a, b in grid.points]):
        found.append(rows)
        if on_point is not None:
            on_point(rows)
    return found


def _estimated(
    measurer: Measurer,
    grid: _Grid,
    tolerance: float,
    seed: int,
    workers: Workers,
    threads: int,
    done: Points,
    on_point: Callable[[Points], None] | None,
) -> tuple[list[Points], dict[str, Any]]:
    """Return the rows of every point, estimated, after those they were estimated from; and how good they are."""
    objective = measurer.objective
    found: list[Points] = []

    def keep(rows: Points) -> None:
        found.append(rows)
        if on_point is not None:
            on_point(rows)

    examples = {split: objective.data[split].examples for split in measurer.splits}
    overhead = objective.calibration_examples if objective.batchnorm == "recalibrated" else 0
    levels = Levels(objective, scheme(examples, overhead=overhead), seed=seed)
    task = SurfaceTask(replace(measurer, levels=levels), threads)
    outcome = estimate_within(
        tolerance,
        grid.points,
        grid.places,
        levels.scheme,
        measurer.metrics,
        measure=lambda requests: workers.map(task, requests),
        done=done,
        keep=keep,
        seed=seed,
    )
    return [*found, outcome.rows], {"tolerance": outcome.report}


def _ordered(table: Points, alpha: Floats, beta: Floats | None) -> Points:
    """Return the rows in one order, however they came: by level, then point by point as the grid is measured."""
    rank = {point: number for number, point in enumerate(grid_points(alpha, beta))}
    points = zip(table["alpha"].tolist(), table["beta"].tolist(), strict=True)
    ranks = np.array([rank.get(point, len(rank)) for point in points], dtype=np.int64)  # those off the axes last
    keys = [table["metric"], table["split"], table["alpha"], table["beta"], ranks, table["level"]]
    ordered: Points = table[np.lexsort(keys)]
    return ordered


def _axes(
    plane: Plane,
    points: int | tuple[int, int],
    span: float,
    spacing: Spacing,
    alpha: Floats | None,
    beta: Floats | None,
) -> tuple[Floats, Floats | None]:
    """Return the coordinates along both directions; None for the second of a line."""
    counts = (points, points) if isinstance(points, int) else points

    def usual(direction: int) -> Floats:
        if plane.extent is not None:
            margin = 0.0 if plane.is_line else MARGIN
            return known_axis(counts[direction], *plane.extent[direction], is_line=plane.is_line, margin=margin)
        return axis(counts[direction], span, spacing=spacing)

    x = usual(0) if alpha is None else ascending(alpha)
    if plane.is_line:
        return x, beta
    return x, usual(1) if beta is None else ascending(beta)
