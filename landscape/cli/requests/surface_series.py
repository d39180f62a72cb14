"""From `surface --snapshots` to the series of surfaces of each run."""

from __future__ import annotations

from landscape.analysis.planes.snapshots import every_nth
from landscape.analysis.surfaces.evaluation import Evaluation
from landscape.cli.options.surface import SurfaceOptions
from landscape.cli.requests.axes import axes_of
from landscape.cli.requests.planes import chosen_planes
from landscape.cli.requests.session import Session
from landscape.cli.terminal import console
from landscape.results import Floats, SurfaceSeriesResult
from landscape.stats import number_format
from landscape.workflow.measurements.snapshots.surface_series import SurfaceSeries
from landscape.workflow.measurements.snapshots.trajectory import snapshots_of


def measure_series(opened: Session, options: SurfaceOptions) -> None:
    """Measure the surfaces around the snapshots of each checkpoint's run, and print their loss at the centre."""
    results: dict[str, SurfaceSeriesResult] = {}
    for model, plane in chosen_planes(opened.runner, opened.models, options, options):
        source = options.snapshots[0] if options.snapshots else None
        measurement = SurfaceSeries(
            every_nth(snapshots_of(model, source), options.every),
            plane=plane.spec,
            axes=axes_of(options, beyond=None),
            evaluation=Evaluation(options.precision, workers=opened.workers),
            batchnorm=plane.batchnorm,
            seed=options.seed,
        )
        key, result = opened.runner.measure(measurement, model, name=plane.name)
        results[key] = result
    if options.json:
        console.print_json({key: {"position": r.position, "loss": r.grids()} for key, r in results.items()})
        return
    for key, result in results.items():
        rows = [
            [number_format.setting(at), *(number_format.number(float(x)) for x in (_centre(g), g.min(), g.max()))]
            for at, g in zip(result.position, result.grids(), strict=True)
        ]
        unit = str(result.attributes.get("position", "epoch"))
        console.print_table(f"{key}: {result.splits[0]} loss", [unit, "at the snapshot", "lowest", "highest"], rows)


def _centre(grid: Floats) -> float:
    return float(grid[grid.shape[0] // 2, grid.shape[1] // 2])
