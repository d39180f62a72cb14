"""Results as tidy tables: one row per observation, one column per variable, all digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from landscape.results import (
    DensityResult,
    HistoryResult,
    LayersResult,
    Result,
    Sampled,
    SharpnessResult,
    SpectrumResult,
    StudyResult,
    TrajectoryResult,
)
from landscape.storage.hdf5_arrays import to_json

Columns = Mapping[str, Any]  # name → values, all of one length


def csv_bytes(result: Result) -> bytes:
    """Return a result as CSV in UTF-8; floats are written such that reading gives back the same number."""
    columns = table(result)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return text.getvalue().encode("utf-8")


def table(result: Result) -> Columns:
    """Return the columns of a result's table.

    Surfaces and lines have a row for each measured number, of every level; a point that was not computed has none.
    """
    match result:
        case Sampled():
            return _sampled(result)
        case TrajectoryResult():
            position = str(result.attributes.get("position") or "position")
            names = ("alpha", "beta", "residuals", "distances")
            return {position: result.position} | {name: getattr(result, name) for name in names}
        case SpectrumResult():
            return {
                "end": np.where(result.ends == 1, "top", "bottom"),
                "eigenvalue": result.eigenvalues,
                "residual": result.residuals,
                "bound": result.bounds,
                "converged": result.converged,
            }
        case DensityResult():
            size = len(result.eigenvalue)
            curve = {"eigenvalue": result.eigenvalue, "density": result.density, "stderr": result.stderr}
            return curve | {"sigma": np.full(size, result.sigma)}
        case LayersResult():
            numbers = ("parameters", "top", "bounds", "converged", "trace", "trace_stderr")
            return {"layer": list(result.names)} | {name: getattr(result, name) for name in numbers}
        case SharpnessResult():
            fields = ("name", "label", "value", "stderr", "meaning", "evaluations")
            found = {name: [getattr(measure, name) for measure in result.measures] for name in fields}
            return found | {"parameters": [to_json(measure.parameters) for measure in result.measures]}
        case StudyResult():
            return _study(result)
        case HistoryResult():
            return dict(result.columns)


def _sampled(result: Sampled) -> Columns:
    points = np.sort(result.points, order=["level", "metric", "split", "beta", "alpha"])
    return {
        "alpha": points["alpha"],
        "beta": points["beta"],
        "split": [result.splits[index] for index in points["split"]],
        "metric": [result.metrics[index] for index in points["metric"]],
        **{name: points[name] for name in ("value", "stderr", "n", "level")},
    }


def _study(result: StudyResult) -> Columns:
    measures, checkpoints = len(result.measures), len(result.checkpoints)
    once = {name: np.repeat(getattr(result, name), checkpoints) for name in ("tau", "tau_low", "tau_high")}
    return {
        "measure": [name for name in result.measures for _ in range(checkpoints)],
        "checkpoint": list(result.checkpoints) * measures,
        "gap": np.tile(result.gap, measures),
        "value": result.values.ravel(),
        "stderr": result.stderrs.ravel(),
        **once,
    }


def _cells(values: Any) -> Iterator[Any]:
    """Yield values as Python's own, whose text is the shortest that gives the same number back."""
    yield from (values.tolist() if isinstance(values, np.ndarray) else values)
