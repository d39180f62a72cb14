"""Loss and accuracy on a line or a plane, as a measurement that resumes point by point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from landscape.analysis.objective.losses import Metric
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings, choose_settings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import Points, grid_points, probe_points
from landscape.analysis.surfaces.levels import check_subsets
from landscape.analysis.surfaces.surface import begin_surface, empty_surface, measure_points
from landscape.errors import LandscapeError
from landscape.execution import count_workers, use
from landscape.results import LineResult, Result, SurfaceResult, with_attributes
from landscape.stats.number_format import duration
from landscape.storage.result_file import ResultFile
from landscape.workflow.measurement import Keep, Run, Source
from landscape.workflow.measurements.evaluation import known_precision, shared_settings
from landscape.workflow.measurements.on_plane import OnPlane
from landscape.workflow.measurements.sampled import (
    SampledResult,
    beta_of,
    check_resumable,
    on_other_axes,
    region_attributes,
    region_ends,
)
from landscape.workflow.names import difference, series
from landscape.workflow.planes import PlaneSpec
from landscape.workflow.planes.spec import plane_identity
from landscape.workflow.reporter import Reporter


@dataclass(frozen=True)
class Surface(OnPlane[SampledResult]):
    """Loss, accuracy and other metrics on a grid of a plane or along a line.

    >>> import landscape
    >>> landscape.Surface(points=51, span=0.5, seed=3).name
    'plane'

    Args:
        plane: kind of plane; two filter-normalized random directions of `seed` by default.
        points: (x, y) counts, odd; one number for both. Ignored if `axes` is given.
        span: axes run from −span to span. Ignored if `axes` is given.
        axes: coordinates in full detail.
        metrics: further functions like the loss, by name.
        gradient_norm: also measure the norm of the loss's gradient.
        tolerance: relative error of the mean loss that 95 % of the points may have; 0 measures every point on all
            examples.
        evaluation: precision and processes.
        batchnorm: mode of the BatchNorm statistics; the plane's default if None.
        seed: of the subsets and the held-out points of a tolerance, and of random directions.
        suffix: of the default name.
    """

    plane: PlaneSpec | None = None
    points: int | tuple[int, int] = 51
    span: float = 1.0
    axes: Axes | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    gradient_norm: bool = False
    tolerance: float = 0.0
    evaluation: Evaluation = field(default_factory=Evaluation)
    batchnorm: BatchNormMode | None = None
    seed: int = 0
    suffix: str = ""

    @property
    def kind(self) -> type[SampledResult]:
        """`LineResult` or `SurfaceResult`."""
        return LineResult if self.spec.is_line else SurfaceResult

    @property
    def grid(self) -> Axes:
        """The axes in full detail."""
        return self.axes or Axes(self.points, self.span)

    @property
    def name(self) -> str:
        """The plane's name and the suffix."""
        return self.spec.name + self.suffix

    def settings(self) -> dict[str, Any]:
        """Return axes, directions, BatchNorm mode, precision, tolerance and seed."""
        return {
            "batchnorm": self.mode,
            **self.grid.identity(*self._coordinates()),
            "precision": self.evaluation.precision,
            "precision_tolerance": self.evaluation.precision_tolerance,
            **({"metrics": list(self.metrics)} if self.metrics else {}),
            **({"gradient_norm": True} if self.gradient_norm else {}),
            **({"tolerance": self.tolerance} if self.tolerance else {}),
            "seed": self.seed,
            **plane_identity(self.spec, self.seed),
        }

    def objective(self, source: Source) -> Objective:
        """Return the objective on all splits, having checked that it can be measured so.

        Raises:
            LandscapeError: for a tolerance or a gradient norm that the objective does not allow.
        """
        objective = source.objective(batchnorm=self.mode, metrics=self.metrics)
        if self.tolerance:
            check_subsets(objective)
        if self.gradient_norm and objective.batchnorm == "batch":
            raise LandscapeError(
                "the gradient norm is that of the loss in evaluation mode; use batchnorm fixed or recalibrated with it"
            )
        return objective

    def resolve(
        self, file: ResultFile, wanted: str, identity: Mapping[str, Any], *, is_given: bool, overwrite: bool
    ) -> tuple[str, SampledResult | None]:
        """Return the name of the result, and what is stored; a region is added to a finished result on any axes.

        Raises:
            LandscapeError: for a region without such a result.
        """
        if self.grid.region is None:
            return super().resolve(file, wanted, identity, is_given=is_given, overwrite=overwrite)
        for key in series(file, wanted):
            stored = file.results[key]
            if (
                isinstance(stored, LineResult | SurfaceResult)
                and stored.computed().all()
                and difference(stored, identity, self.kind, but=("alpha", "beta")) is None
            ):
                return key, stored
        raise LandscapeError(
            f"there is no finished result of {wanted} with these settings in {file.path} to add a region to; "
            "measure it without --region first"
        )

    def is_complete(self, stored: SampledResult) -> bool:
        """Return True if no point is missing and everything derived from them is there."""
        if not stored.complete or self._points_left(stored):
            return False
        if self.grid.region is None or not self.tolerance:
            return True
        region = region_ends(self.grid.region_coordinates(stored.alpha, beta_of(stored)))
        known = stored.attributes.get("regions", ())
        return any(region.items() <= each.items() and "tolerance" in each for each in known)

    def sources(self, source: Source) -> Sequence[Source]:
        """Return all the weights that the plane goes through."""
        return self.spec.sources(source)

    def reuse(self, run: Run[SampledResult], others: Mapping[str, Result], reporter: Reporter) -> SampledResult | None:
        """Return the points of a result on other axes that lie on these: they are the same to the bit."""
        other = on_other_axes(run, others, self.kind, self.spec.make(run.objective, None))
        if other is None:
            return None
        coordinates = self._coordinates()
        level = 1 if self.tolerance else 0  # measured values; above are estimates of that very grid
        rows, wanted = other.points[other.points["level"] >= level], set(grid_points(*coordinates))
        points = zip(rows["alpha"].tolist(), rows["beta"].tolist(), strict=True)
        rows = rows[[point in wanted for point in points]]
        if not len(rows):
            return None
        reporter.say(
            f"{run.key}: {len(np.unique(rows[['alpha', 'beta']]))} points are taken from a result on other axes"
        )
        keys = ("directions", "path", "device", "precision", "precision_error", "batch_size", "threads")
        attributes = {key: other.attributes[key] for key in keys}
        begun = empty_surface(run.objective, coordinates, attributes, gradient_norm=self.gradient_norm)
        return dataclasses.replace(begun, points=rows)

    def share(
        self, runs: Sequence[Run[SampledResult]], file: ResultFile, reporter: Reporter
    ) -> list[Run[SampledResult]]:
        """Give all surfaces of one command the same precision and batch size, see `shared_settings`."""
        unfinished = [run for run in runs if not run.finished]
        if not unfinished or self.evaluation.settings is not None:
            return list(runs)

        def choose(run: Run[SampledResult]) -> EvaluationSettings:
            measurement = run.measurement
            assert isinstance(measurement, Surface)
            plane = measurement.spec.make(run.objective, None)
            points, known = probe_points(*measurement._coordinates()), known_precision(run, file)
            return choose_settings(run.objective, plane, points, measurement.evaluation, known=known)

        for run, settings in zip(unfinished, shared_settings(unfinished, choose, reporter), strict=True):
            measurement = run.measurement
            assert isinstance(measurement, Surface)
            evaluation = dataclasses.replace(measurement.evaluation, settings=settings)
            run.measurement = dataclasses.replace(measurement, evaluation=evaluation)
        return list(runs)

    def cost(self, objective: Objective, stored: SampledResult | None) -> str:
        """Return the number of points and examples, the precision and the time."""
        settings = self.evaluation.settings
        points = self._points_left(stored)
        if not points:
            return "all points are measured; deriving the rest"
        examples = sum(batches.examples for batches in objective.data.values())
        resumed = "" if stored is None else f"resuming with {points} points left, "
        if self.grid.region is not None:
            resumed = f"adding a region: {points} points left, "
        text = f"{resumed}{points} points x {examples} examples"
        if settings is None:
            return text
        error = "" if settings.precision_error is None else f", off by at most {settings.precision_error:.2%}"
        rate = settings.images_per_second and settings.images_per_second * count_workers(self.evaluation.workers)
        exactly = "exactly it would take " if self.tolerance else ""
        time = f": {exactly}about {duration(points * examples / rate)}" if rate else ""
        return f"{text} in {settings.precision}{error}{time}"

    def total_steps(self, objective: Objective, stored: SampledResult | None) -> int | None:
        """Return the number of points left; unknown under a tolerance."""
        return None if self.tolerance else self._points_left(stored)

    def run(self, objective: Objective, stored: SampledResult | None, keep: Keep) -> SampledResult:
        """Return the surface, its missing points measured and kept one by one."""
        if not objective.is_folded:
            keep.reporter.say(f"BatchNorm is not folded: {objective.not_folded_because}")
        plane = self.spec.make(objective, None if stored is None else stored.attributes["directions"])
        if stored is not None:
            check_resumable(stored, objective, plane)
        alpha, beta = self._coordinates() if stored is None else (stored.alpha, beta_of(stored))
        settings = self.evaluation.settings
        if settings is None:
            settings = choose_settings(objective, plane, probe_points(alpha, beta), self.evaluation)
        if self.mode == "batch":  # there the batch size is part of what is measured
            settings = dataclasses.replace(settings, batch_size=objective.batch_size)
        with use(self.evaluation.workers) as workers:
            settings = dataclasses.replace(settings, threads=settings.threads or workers.threads)
            begun = begin_surface(objective, plane, (alpha, beta), settings, gradient_norm=self.gradient_norm)
            attributes = {**begun.attributes, **({} if stored is None else stored.attributes)}
            region = None if self.grid.region is None else self.grid.region_coordinates(alpha, beta)
            points = begun.points if stored is None else stored.points
            regions = region_attributes(attributes, region)
            begun = dataclasses.replace(begun, points=points, attributes={**attributes, **regions})
            torch.set_num_threads(int(begun.attributes["threads"]))
            keep.begin(begun)

            def on_point(rows: Points) -> None:
                keep.append(rows)
                keep.advance()

            measured = measure_points(
                objective,
                plane,
                begun,
                region=region,
                tolerance=self.tolerance,
                seed=self.seed,
                workers=workers,
                on_point=on_point,
            )
        report = {}
        if region is not None:  # the error within a tolerance is that of the region, beside that of the whole grid
            errors = {"tolerance": measured.attributes["tolerance"]} if self.tolerance else {}
            report = region_attributes(attributes, region, **errors)
            report |= {name: attributes[name] for name in errors if name in attributes}
        read_off = self.spec.read_off(objective, plane, measured) if isinstance(measured, LineResult) else {}
        return with_attributes(measured, **report, **read_off)

    def _points_left(self, stored: SampledResult | None) -> int:
        alpha, beta = self._coordinates() if stored is None else (stored.alpha, beta_of(stored))
        grid = (alpha, beta) if self.grid.region is None else self.grid.region_coordinates(alpha, beta)
        return sum(1 for _ in grid_points(*grid, None if stored is None else stored.points))
