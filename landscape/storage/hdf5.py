"""One result ⇄ one HDF5 group, with dimension scales and names, so that xarray opens it.

`xarray.open_dataset(file, engine="h5netcdf", group="<checkpoint>/<name>")` gives named axes: ``loss[split, y, x]``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.results import (
    POINT,
    DensityResult,
    HistoryResult,
    LayersResult,
    LineResult,
    MeasureResult,
    Result,
    Sampled,
    SharpnessResult,
    SpectrumResult,
    StudyResult,
    SurfaceResult,
    TrajectoryResult,
)
from landscape.storage.hdf5_arrays import Group, array, dataset, read_attributes, scale, to_json, write_attributes
from landscape.storage.schema import check_diagnostics


@dataclass(frozen=True)
class _Arrays:
    """How a result that is a few arrays lies in a group: its dimensions, its arrays over them, its numbers."""

    kind: type[SpectrumResult | TrajectoryResult | DensityResult | LayersResult | StudyResult]
    scales: Mapping[str, str]  # dimension → the field that labels it; "" where it is only counted
    arrays: Mapping[str, tuple[str, ...]]  # field → its dimensions
    numbers: tuple[str, ...] = ()  # fields that are attributes of the group


_PAIR, _STEP, _LAYER, _MEASURE = ("pair",), ("position",), ("layer",), ("measure",)
_ARRAYS = {
    layout.kind.kind: layout
    for layout in (
        _Arrays(
            SpectrumResult,
            {"pair": ""},
            dict.fromkeys(("eigenvalues", "ends", "residuals", "bounds", "converged"), _PAIR),
            ("products",),
        ),
        _Arrays(
            TrajectoryResult,
            {"position": "position", "component": ""},
            dict.fromkeys(("alpha", "beta", "residuals", "distances"), _STEP) | {"explained": ("component",)},
        ),
        _Arrays(
            DensityResult,
            {"eigenvalue": "eigenvalue", "vector": "", "node": ""},
            dict.fromkeys(("density", "stderr"), ("eigenvalue",))
            | dict.fromkeys(("nodes", "weights"), ("vector", "node")),
            ("sigma", "products"),
        ),
        _Arrays(
            LayersResult,
            {"layer": "names"},
            dict.fromkeys(("parameters", "top", "bounds", "converged", "trace", "trace_stderr"), _LAYER),
            ("products",),
        ),
        _Arrays(
            StudyResult,
            {"measure": "measures", "checkpoint": "checkpoints"},
            dict.fromkeys(("values", "stderrs"), ("measure", "checkpoint"))
            | {"gap": ("checkpoint",)}
            | dict.fromkeys(("tau", "tau_low", "tau_high"), _MEASURE),
        ),
    )
}


def write_result(group: Group, result: Result) -> None:
    """Write a result into an empty group."""
    group.attrs["kind"] = result.kind
    group.attrs["finished"] = np.int8(getattr(result, "finished", True))
    write_attributes(group, result.attributes)
    if isinstance(result, Sampled):
        _write_sampled(group, result)
    elif isinstance(result, SharpnessResult):
        _write_measures(group, result.measures)
    elif isinstance(result, HistoryResult):
        columns = dict(result.columns)
        scale(group, "epoch", columns.pop("epoch"))
        for name, values in columns.items():
            dataset(group, name, values, ["epoch"])
    else:
        _write_arrays(group, result, _ARRAYS[result.kind])


def check_kind(group: Group) -> None:
    """Check that this version can read a group.

    Raises:
        LandscapeError: for a kind that it does not know.
    """
    kind = group.attrs["kind"]
    if kind not in (SurfaceResult.kind, LineResult.kind, SharpnessResult.kind, HistoryResult.kind, *_ARRAYS):
        raise LandscapeError(
            f"{group.name} is of kind {kind!r}, which this version of landscape does not know; update it"
        )


def read_result(group: Group) -> Result:
    """Return the result a group holds.

    Raises:
        LandscapeError: for a kind this version does not know.
    """
    check_kind(group)
    attributes = read_attributes(group)
    return dataclasses.replace(_read_kind(group, attributes), finished=_is_finished(group, attributes))


def _is_finished(group: Group, attributes: Mapping[str, Any]) -> bool:
    """Return the stored mark; of files that have none, True unless a command left its points without their seconds."""
    if "finished" in group.attrs:
        return bool(group.attrs["finished"])
    sampled = group.attrs["kind"] in (SurfaceResult.kind, LineResult.kind)
    return not sampled or "seconds" in attributes or "settings" not in attributes


def _read_kind(group: Group, attributes: dict[str, Any]) -> Result:
    kind = group.attrs["kind"]
    if kind in (SurfaceResult.kind, LineResult.kind):
        return _read_sampled(group, kind, attributes)
    if kind in _ARRAYS:
        return _read_arrays(group, _ARRAYS[kind], attributes)
    if kind == SharpnessResult.kind:
        evidence = attributes.pop("evidence", {})  # of files of before measures had diagnostics
        return SharpnessResult(_read_measures(group, evidence), attributes)
    names = ["epoch", *(name for name in group if name != "epoch")]
    columns = {name: group[name][()].astype(np.float64) for name in names}
    _check_sizes({"epoch": {column.shape for column in columns.values()}})
    return HistoryResult(columns, attributes)


def _check_sizes(sizes: Mapping[str, set[Any]]) -> None:
    """Check that all arrays over a dimension have its size.

    Raises:
        ValueError: naming the dimension if they differ.
    """
    for dimension, found in sizes.items():
        if len(found) > 1:
            raise ValueError(f"expected all its arrays over {dimension} in one size, got {sorted(found)}")


def _write_arrays(group: Group, result: Result, layout: _Arrays) -> None:
    sizes = {
        dimension: size
        for field, dimensions in layout.arrays.items()
        for dimension, size in zip(dimensions, getattr(result, field).shape, strict=True)
    }
    for dimension, field in layout.scales.items():
        values = getattr(result, field) if field else np.arange(sizes[dimension])
        scale(group, dimension, list(values) if isinstance(values, tuple) else values)
    for field, dimensions in layout.arrays.items():
        dataset(group, field, getattr(result, field), dimensions)
    for field in layout.numbers:
        group.attrs[field] = getattr(result, field)


def _read_arrays(group: Group, layout: _Arrays, attributes: dict[str, Any]) -> Result:
    fields: dict[str, Any] = {field: array(group[field]) for field in layout.arrays}
    for dimension, field in layout.scales.items():
        if field:
            text = h5py.check_string_dtype(group[dimension].dtype) is not None
            fields[field] = tuple(map(str, group[dimension].asstr()[()])) if text else group[dimension][()]
    fields |= {field: group.attrs[field].item() for field in layout.numbers}
    sizes = {dimension: {len(fields[field])} for dimension, field in layout.scales.items() if field}
    for field, dimensions in layout.arrays.items():
        if fields[field].ndim != len(dimensions):
            raise ValueError(f"expected {field} over {', '.join(dimensions)}, got the shape {fields[field].shape}")
        for dimension, size in zip(dimensions, fields[field].shape, strict=True):
            sizes.setdefault(dimension, set()).add(size)
    _check_sizes(sizes)
    result: Result = layout.kind(**fields, attributes=attributes)
    return result


def _write_sampled(group: Group, result: Sampled) -> None:
    _check_names(result.metrics)
    scale(group, "split", list(result.splits), "split of the data")
    dimensions = ["split", "x"]
    if isinstance(result, SurfaceResult):
        scale(group, "y", result.beta, "β, coordinate along the second direction")
        dimensions = ["split", "y", "x"]
    scale(group, "x", result.alpha, "α, coordinate along the first direction")
    for metric in result.metrics:
        dataset(group, metric, result.grid(metric), dimensions, "mean over the examples")
        dataset(
            group, f"{metric}_stderr", result.grid(metric, column="stderr"), dimensions, "standard error of the mean"
        )
    counts = {metric: np.nan_to_num(result.grid(metric, column="n")).astype(np.int64) for metric in result.metrics}
    common = counts[result.metrics[0]]
    dataset(group, "n", common, dimensions, "number of examples; 0 where not computed")
    for metric, own in counts.items():
        if not np.array_equal(own, common):
            dataset(group, f"{metric}_n", own, dimensions, f"number of examples of {metric}")
    dataset(group, "computed", result.computed(), dimensions[1:], "NaN and inf where this is true are results")
    group.attrs["metrics"] = list(result.metrics)
    rest = _rest(result)
    if len(rest):
        table = group.create_group("points")
        scale(table, "point", np.arange(len(rest)))
        for column in POINT.names or ():
            dataset(table, column, rest[column], ["point"])


def _read_sampled(group: Group, kind: str, attributes: dict[str, Any]) -> SurfaceResult | LineResult:
    alpha, splits = group["x"][()], tuple(group["split"].asstr()[()])
    beta = group["y"][()] if kind == SurfaceResult.kind else np.zeros(1)
    metrics = tuple(str(metric) for metric in group.attrs["metrics"])
    computed = group["computed"][()].astype(bool).reshape(len(beta), len(alpha))
    rows_y, rows_x = np.nonzero(computed)
    shape = (len(splits), len(beta), len(alpha))
    parts = []
    for s in range(len(splits)):
        for m, metric in enumerate(metrics):
            part = np.zeros(len(rows_x), dtype=POINT)
            part["alpha"], part["beta"], part["split"], part["metric"] = alpha[rows_x], beta[rows_y], s, m
            part["value"] = group[metric][()].reshape(shape)[s, rows_y, rows_x]
            part["stderr"] = group[f"{metric}_stderr"][()].reshape(shape)[s, rows_y, rows_x]
            n = group[f"{metric}_n" if f"{metric}_n" in group else "n"]
            part["n"] = n[()].reshape(shape)[s, rows_y, rows_x]
            parts.append(part)
    if "points" in group:
        rest = np.zeros(len(group["points/point"]), dtype=POINT)
        for column in POINT.names or ():
            rest[column] = group["points"][column][()]
        parts.append(rest)
    points = np.concatenate(parts)
    if kind == LineResult.kind:
        return LineResult(alpha, splits, metrics, points, attributes)
    return SurfaceResult(alpha, splits, metrics, points, attributes, beta)


def _rest(result: Sampled) -> NDArray[Any]:
    """Return the points that the arrays do not give back: off the axes, of other levels, of cells not yet complete."""
    beta = result.beta if isinstance(result, SurfaceResult) else np.zeros(1)
    points, cells = result.points, result.computed().reshape(len(beta), -1)
    x = np.minimum(np.searchsorted(result.alpha, points["alpha"]), len(result.alpha) - 1)
    y = np.minimum(np.searchsorted(beta, points["beta"]), len(beta) - 1)
    on_axes = (result.alpha[x] == points["alpha"]) & (beta[y] == points["beta"])
    rest: NDArray[Any] = points[~(on_axes & cells[y, x] & (points["level"] == 0))]
    return rest


def _check_names(metrics: Sequence[str]) -> None:
    """Refuse metrics whose arrays would have the names of others.

    Raises:
        LandscapeError: where two are the same.
    """
    names = [f"{metric}{end}" for metric in metrics for end in ("", "_stderr", "_n")]
    taken = {"x", "y", "split", "n", "computed", "points", ".", ""}
    clash = next((name for i, name in enumerate(names) if name in taken or name in names[:i] or "/" in name), None)
    if clash is not None:
        raise LandscapeError(f"a metric cannot be stored under the name {clash!r}; give it another name")


def _write_measures(group: Group, measures: Sequence[MeasureResult]) -> None:
    scale(group, "measure", [m.label for m in measures])
    dataset(group, "name", [m.name for m in measures], ["measure"])
    dataset(group, "value", np.array([m.value for m in measures]), ["measure"])
    dataset(group, "stderr", np.array([m.stderr for m in measures]), ["measure"])
    dataset(group, "meaning", [m.meaning for m in measures], ["measure"])
    dataset(group, "evaluations", np.array([m.evaluations for m in measures]), ["measure"])
    dataset(group, "parameters", [to_json(m.parameters) for m in measures], ["measure"])
    dataset(group, "diagnostics", [to_json(m.diagnostics) for m in measures], ["measure"])


def _read_measures(group: Group, evidence: Mapping[str, Mapping[str, Any]]) -> tuple[MeasureResult, ...]:
    texts = ("measure", "name", "meaning", "parameters", *(["diagnostics"] if "diagnostics" in group else []))
    text = {name: group[name].asstr()[()] for name in texts}
    numbers = ("value", "stderr", "evaluations")
    _check_sizes({"measure": {*(len(values) for values in text.values()), *(len(group[name]) for name in numbers)}})
    if "diagnostics" in text:
        diagnostics = [json.loads(entry) for entry in text["diagnostics"]]
    else:
        diagnostics = [_diagnostics_of(evidence.get(str(label), {})) for label in text["measure"]]
    for entry in diagnostics:
        check_diagnostics(entry)
    return tuple(
        MeasureResult(
            name=str(text["name"][i]),
            label=str(text["measure"][i]),
            value=float(group["value"][i]),
            stderr=float(group["stderr"][i]),
            meaning=str(text["meaning"][i]),
            evaluations=int(group["evaluations"][i]),
            parameters=json.loads(text["parameters"][i]),
            diagnostics=diagnostics[i],
        )
        for i in range(len(text["measure"]))
    )


def _diagnostics_of(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the diagnostics that earlier versions stored as evidence; samples were called units."""
    return {"samples" if name == "units" else name: value for name, value in evidence.items()}


def as_rows(points: NDArray[Any]) -> list[list[Any]]:
    """Return a table of points as JSON-able rows."""
    return [list(row) for row in points.tolist()]
