"""Surfaces and lines: loss and other metrics at points of a plane of weight space."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.planes import Plane, random_plane
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings, choose_settings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Coordinates, Grid, Points, Request, in_grid_order, probe_points
from landscape.analysis.surfaces.levels import Levels
from landscape.analysis.surfaces.measuring import GRADIENT_NORM, Measurer
from landscape.analysis.surfaces.multilevel.scheme import choose_scheme
from landscape.analysis.surfaces.multilevel.tolerance import estimate_within
from landscape.analysis.surfaces.reliability import flatness_warnings, issue_warnings, surface_warnings
from landscape.analysis.surfaces.task import SurfaceTask
from landscape.errors import LandscapeError
from landscape.execution import Workers, use
from landscape.results import LineResult, SurfaceResult, points_table


def surface(
    objective: Objective,
    plane: Plane | None = None,
    *,
    points: int | tuple[int, int] = 51,
    axes: Axes | None = None,
    gradient_norm: bool = False,
    tolerance: float = 0.0,
    seed: int = 0,
    evaluation: Evaluation | None = None,
) -> SurfaceResult | LineResult:
    """Return loss, accuracy and other metrics on a grid of a plane, or along a line.

    >>> import torch, landscape
    >>> objective = landscape.Objective(torch.nn.Linear(2, 1), "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> landscape.surface(objective, points=3).grid("loss").shape  # (splits, y, x)
    (1, 3, 3)
    >>> line = landscape.random_plane(objective, dimensions=1)
    >>> landscape.surface(objective, line, axes=landscape.Axes(5, span=2.0)).alpha.tolist()
    [-2.0, -1.0, 0.0, 1.0, 2.0]

    Args:
        objective: loss, metrics, weights and data.
        plane: line, plane or curve; by default the plane along two filter-normalized random directions of `seed`.
        points: (x, y) counts, odd; one number for both. Ignored if `axes` is given.
        axes: coordinates in full detail. By default axes run from −1 to 1, on planes through known points they cover
            these and a quarter more on each side, and on lines and curves between two models they run from 0 to 1.
        gradient_norm: also measure the norm of the loss's gradient.
        tolerance: relative error of each split's mean loss that 95 % of the points may have. They are estimated from
            nested subsets of the examples; `attributes["tolerance"]` reports the measured error and the saving. 0
            measures every point on all examples.
        seed: of random directions, and of the subsets and the held-out points of a tolerance.
        evaluation: precision and processes.

    Raises:
        LandscapeError: for unusable axes, or an objective that a tolerance or workers cannot be used with.
    """
    plane = plane or random_plane(objective, seed=seed)
    axes, evaluation = axes or Axes(points), evaluation or Evaluation()
    coordinates = axes.on(plane)
    region = None if axes.region is None else axes.region_coordinates(*coordinates)
    started = time.perf_counter()
    settings = evaluation.settings or choose_settings(objective, plane, probe_points(*coordinates), evaluation)
    with use(evaluation.workers) as workers:
        threads = torch.get_num_threads() if workers.is_inline else settings.threads or workers.threads
        settings = replace(settings, threads=threads)
        begun = begin_surface(objective, plane, coordinates, settings, gradient_norm=gradient_norm)
        result = measure_points(objective, plane, begun, region=region, tolerance=tolerance, seed=seed, workers=workers)
    return replace(result, attributes={**result.attributes, "seconds": time.perf_counter() - started})


def begin_surface(
    objective: Objective,
    plane: Plane,
    coordinates: Coordinates,
    settings: EvaluationSettings,
    *,
    gradient_norm: bool = False,
) -> SurfaceResult | LineResult:
    """Return a result without points: axes, metrics and provenance of a measurement that has not begun.

    Args:
        objective: loss, metrics, weights and data.
        plane: line, plane or curve of the points.
        coordinates: of the axes.
        settings: precision, batch size and threads.
        gradient_norm: the norm of the loss's gradient is among the metrics.
    """
    attributes = {
        **describe(objective, objective.splits),
        "directions": dict(plane.provenance),
        **({"marks": [dict(mark) for mark in plane.marks]} if plane.marks else {}),
        "precision": settings.precision,
        "precision_error": settings.precision_error,
        "batch_size": settings.batch_size,
        "threads": settings.threads or torch.get_num_threads(),
    }
    warnings = surface_warnings(objective, plane, objective.splits)
    if warnings:
        attributes["warnings"] = list(warnings)
    return empty_surface(objective, coordinates, attributes, gradient_norm=gradient_norm)


def empty_surface(
    objective: Objective, coordinates: Coordinates, attributes: Mapping[str, Any], *, gradient_norm: bool = False
) -> SurfaceResult | LineResult:
    """Return a result with axes and attributes, but without points."""
    alpha, beta = coordinates
    metrics = (*objective.metrics, GRADIENT_NORM) if gradient_norm else objective.metrics
    if beta is None:
        return LineResult(alpha, objective.splits, metrics, points_table([]), attributes)
    return SurfaceResult(alpha, objective.splits, metrics, points_table([]), attributes, beta)


def measure_points(
    objective: Objective,
    plane: Plane,
    begun: SurfaceResult | LineResult,
    *,
    region: Coordinates | None = None,
    tolerance: float = 0.0,
    seed: int = 0,
    workers: int | Workers = 1,
    on_point: Callable[[Points], None] | None = None,
) -> SurfaceResult | LineResult:
    """Measure the points that a result lacks, with the settings in its attributes.

    Args:
        objective: loss, metrics, weights and data.
        plane: line, plane or curve of the points.
        begun: result of `begin_surface`, perhaps with points of an earlier run.
        region: coordinates of a grid to measure in place of the result's axes.
        tolerance: as for `surface`.
        seed: of the subsets and the held-out points of a tolerance.
        workers: processes that share the points, or the result of `landscape.execution.open`.
        on_point: called with the rows of each point as it is finished.

    Raises:
        LandscapeError: for an objective that a tolerance or workers cannot be used with.
    """
    if not 0 <= tolerance < 1:
        raise LandscapeError(f"got a tolerance of {tolerance}; expected a relative error such as 0.01, or 0 for exact")
    started = time.perf_counter()
    before = surface_warnings(objective, plane, begun.splits)
    issue_warnings(before)
    settings = EvaluationSettings.recorded(begun.attributes)
    measurer = Measurer(objective, plane, begun.splits, settings, GRADIENT_NORM in begun.metrics)
    beta = begun.beta if isinstance(begun, SurfaceResult) else None
    grid = Grid.of(region or (begun.alpha, beta), begun.points)
    rows: list[Points] = []
    report: dict[str, Any] = {}

    def keep(row: Points) -> None:
        rows.append(row)
        if on_point is not None:
            on_point(row)

    levels = _levels(objective, begun.splits, seed) if tolerance else None
    task = SurfaceTask(replace(measurer, levels=levels), settings.threads or torch.get_num_threads())
    with use(workers) as pool:
        if levels is None:
            for row in pool.map(task, [Request(0, a, b) for a, b in grid.points]):
                keep(row)
        else:
            outcome = estimate_within(
                tolerance,
                grid,
                levels.scheme,
                measurer.metrics,
                measure=lambda requests: pool.map(task, requests),
                done=begun.points,
                keep=keep,
                seed=seed,
            )
            rows.append(outcome.rows)
            report["tolerance"] = outcome.report
    table = in_grid_order(np.concatenate([begun.points, *rows]), begun.alpha, beta)
    seconds = float(begun.attributes.get("seconds", 0.0)) + time.perf_counter() - started
    attributes = {**begun.attributes, **report, "seconds": seconds}
    result = replace(begun, points=table, attributes=attributes, finished=True)
    after = flatness_warnings(result)
    issue_warnings(after)
    if before or after:
        attributes["warnings"] = [*before, *after]
    return result


def _levels(objective: Objective, splits: tuple[str, ...], seed: int) -> Levels:
    """Return the subsets of the examples for estimates within a tolerance."""
    examples = {split: objective.data[split].examples for split in splits}
    overhead = objective.calibration_examples if objective.batchnorm == "recalibrated" else 0
    return Levels(objective, choose_scheme(examples, overhead=overhead), seed=seed)
