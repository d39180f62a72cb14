"""Surfaces around the snapshots of a run along the same directions, as one measurement resumed snapshot by snapshot."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from landscape.analysis.objective.at_weights import at_weights
from landscape.analysis.objective.model.batchnorm import BatchNormMode
from landscape.analysis.objective.objective import Objective
from landscape.analysis.objective.provenance import describe
from landscape.analysis.planes import Plane
from landscape.analysis.planes.snapshots import Snapshots
from landscape.analysis.surfaces.evaluation import Evaluation, EvaluationSettings, choose_settings
from landscape.analysis.surfaces.grids.axes import Axes
from landscape.analysis.surfaces.grids.grid import probe_points
from landscape.analysis.surfaces.surface import surface
from landscape.errors import LandscapeError
from landscape.results import Floats, SurfaceResult, SurfaceSeriesResult
from landscape.workflow.measurement import Keep, Measurement, Source
from landscape.workflow.measurements.snapshots.trajectory import digest_of
from landscape.workflow.planes import PlaneSpec, RandomPlane
from landscape.workflow.planes.spec import plane_identity


@dataclass(frozen=True)
class SurfaceSeries(Measurement[SurfaceSeriesResult]):
    """Loss and accuracy around each snapshot of a run, along directions and on axes that are the same for all.

    The directions are those of the source's own weights, to which they are normalized; each surface is centred at its
    snapshot, with the snapshot's BatchNorm statistics. Precision and batch size are chosen once, at those weights.

    >>> import tempfile, torch, landscape
    >>> from safetensors.torch import save_file
    >>> model, folder = torch.nn.Linear(2, 1, bias=False), tempfile.TemporaryDirectory()
    >>> for epoch in range(2):
    ...     save_file({"weight": torch.full((1, 2), float(epoch))}, f"{folder.name}/epoch-{epoch}.safetensors")
    >>> objective = landscape.Objective(model, "mse", torch.eye(2), torch.ones(2, 1), device="cpu")
    >>> series = SurfaceSeries(landscape.find_snapshots(folder.name), axes=Axes(3), evaluation=Evaluation("float32"))
    >>> with landscape.AnalysisFile(f"{folder.name}/run.h5") as file:
    ...     file.measure(series, objective, name="run/series").grids()[:, 1, 1].tolist()  # loss at the centres
    [1.0, 0.0]
    >>> folder.cleanup()

    >>> import landscape
    >>> from landscape.analysis.planes.snapshots import Snapshots
    >>> snapshots = Snapshots(["epoch-0.safetensors", "epoch-10.safetensors"])
    >>> landscape.SurfaceSeries(snapshots, axes=landscape.Axes(25)).spec.name
    'plane'

    Args:
        snapshots: weights along the run.
        plane: kind of plane, without known points; two filter-normalized random directions of `seed` by default.
        axes: coordinates.
        evaluation: precision and processes.
        batchnorm: mode of the BatchNorm statistics; the plane's default if None.
        position: unit of the snapshots' positions.
        seed: of random directions.
    """

    snapshots: Snapshots = field(repr=False)
    plane: PlaneSpec | None = None
    axes: Axes = field(default_factory=lambda: Axes(25))
    evaluation: Evaluation = field(default_factory=Evaluation)
    batchnorm: BatchNormMode | None = None
    position: str = "epoch"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.spec.is_line or self.spec.extent is not None:
            raise LandscapeError(f"expected a plane around one checkpoint for the snapshots, got {self.spec.name}")

    @property
    def kind(self) -> type[SurfaceSeriesResult]:
        """`SurfaceSeriesResult`."""
        return SurfaceSeriesResult

    @property
    def name(self) -> str:
        """The plane's name and `-series`."""
        return f"{self.spec.name}-series"

    @property
    def spec(self) -> PlaneSpec:
        """The kind of plane."""
        return self.plane or RandomPlane(seed=self.seed)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the snapshots' files, in order."""
        return digest_of(self.snapshots)

    def settings(self) -> dict[str, Any]:
        """Return snapshots, axes, directions, BatchNorm mode, precision and seed."""
        alpha, beta = self._coordinates()
        return {
            "snapshots": self.digest,
            "batchnorm": self.batchnorm or self.spec.batchnorm,
            **self.axes.identity(alpha, beta),
            "precision": self.evaluation.precision,
            "precision_tolerance": self.evaluation.precision_tolerance,
            "seed": self.seed,
            **plane_identity(self.spec, self.seed),
        }

    def attributes(self, source: Source) -> dict[str, Any]:
        """Return the names of the snapshots' files."""
        return {"snapshots": [path.name for path in self.snapshots.paths]}

    def objective(self, source: Source) -> Objective:
        """Return the loss on all splits."""
        return source.objective(batchnorm=self.batchnorm or self.spec.batchnorm)

    def cost(self, objective: Objective, stored: SurfaceSeriesResult | None) -> str:
        """Return the number of snapshots and points."""
        alpha, beta = self._coordinates()
        return f"{len(self._missing(stored))} snapshots x {len(alpha) * len(beta)} points"

    def total_steps(self, objective: Objective, stored: SurfaceSeriesResult | None) -> int | None:
        """Return the number of snapshots left."""
        return len(self._missing(stored))

    def run(self, objective: Objective, stored: SurfaceSeriesResult | None, keep: Keep) -> SurfaceSeriesResult:
        """Return the surfaces; each is stored as soon as it is measured."""
        alpha, beta = self._coordinates()
        plane = self.spec.make(objective, None if stored is None else stored.attributes["directions"])
        if stored is None:
            settings = choose_settings(objective, plane, probe_points(alpha, beta), self.evaluation)
            result = self._empty(objective, plane, settings)
        else:
            settings, result = EvaluationSettings.recorded(stored.attributes), stored
        evaluation = dataclasses.replace(self.evaluation, settings=settings)
        missing = self._missing(stored)
        for count, index in enumerate(missing, start=1):
            started = time.perf_counter()
            position = self.snapshots.positions[index]
            at = at_weights(objective, self.snapshots[index])
            grid = surface(at, dataclasses.replace(plane, origin=at.origin), axes=self.axes, evaluation=evaluation)
            assert isinstance(grid, SurfaceResult)
            result = _with_surface(result, position, grid, time.perf_counter() - started)
            if count < len(missing):
                keep.put(result)
            keep.advance(1, f"{self.position} {position:g}")
        return result

    def _coordinates(self) -> tuple[Floats, Floats]:
        alpha, beta = self.axes.coordinates(is_line=False, extent=None, margin=0.0)
        assert beta is not None
        return alpha, beta

    def _missing(self, stored: SurfaceSeriesResult | None) -> list[int]:
        """Return the indices of the snapshots that are still to be measured."""
        done = set() if stored is None else set(stored.position.tolist())
        return [index for index, position in enumerate(self.snapshots.positions) if position not in done]

    def _empty(self, objective: Objective, plane: Plane, settings: EvaluationSettings) -> SurfaceSeriesResult:
        alpha, beta = self._coordinates()
        shape = (0, len(objective.splits), len(objective.metrics), len(beta), len(alpha))
        attributes: Mapping[str, Any] = {
            **describe(objective, objective.splits),
            "position": self.position,
            "directions": dict(plane.provenance),
            "precision": settings.precision,
            "precision_error": settings.precision_error,
            "batch_size": settings.batch_size,
            "threads": settings.threads or torch.get_num_threads(),
            "seconds": 0.0,
        }
        none = np.empty(shape)
        return SurfaceSeriesResult(
            np.empty(0), alpha, beta, objective.splits, objective.metrics, none, none, dict(attributes)
        )


def _with_surface(
    result: SurfaceSeriesResult, position: float, grid: SurfaceResult, seconds: float
) -> SurfaceSeriesResult:
    """Return the series with one more surface, in order."""
    positions = np.append(result.position, position)
    order = np.argsort(positions)

    def stacked(earlier: Floats, column: str) -> Floats:
        new = np.stack([grid.grid(metric, column=column) for metric in result.metrics], axis=1)
        table: Floats = np.concatenate([earlier, new[None]])[order]
        return table

    return dataclasses.replace(
        result,
        position=positions[order],
        values=stacked(result.values, "value"),
        stderrs=stacked(result.stderrs, "stderr"),
        attributes={**result.attributes, "seconds": float(result.attributes["seconds"]) + seconds},
    )
