"""One result ⇄ one HDF5 group, with dimension scales and names, so that xarray opens it.

`xarray.open_dataset(file, engine="h5netcdf", group="<checkpoint>/<name>")` gives named axes: ``loss[split, y, x]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.results import POINT, History, Line, Measure, Result, Sampled, Sharpness, Spectrum, Surface

Group: TypeAlias = Any  # h5py.Group; h5py has no types

_TEXT = h5py.string_dtype("utf-8")
_JSON = "json_attributes"  # names the attributes that hold JSON


def write_result(group: Group, result: Result) -> None:
    """Write a result into an empty group."""
    group.attrs["kind"] = result.kind
    _write_attributes(group, result.attributes)
    if isinstance(result, Sampled):
        _write_sampled(group, result)
    elif isinstance(result, Spectrum):
        _scale(group, "pair", np.arange(len(result.eigenvalues)))
        for name in ("eigenvalues", "ends", "residuals", "bounds"):
            _dataset(group, name, getattr(result, name), ["pair"])
        _dataset(group, "converged", result.converged, ["pair"])
        group.attrs["products"] = result.products
    elif isinstance(result, Sharpness):
        _write_measures(group, result.measures)
    else:
        columns = dict(result.columns)
        _scale(group, "epoch", columns.pop("epoch"))
        for name, values in columns.items():
            _dataset(group, name, values, ["epoch"])


def read_result(group: Group) -> Result:
    """Return the result a group holds.

    Raises:
        LandscapeError: for a kind this version does not know.
    """
    kind = group.attrs["kind"]
    attributes = _read_attributes(group)
    if kind in (Surface.kind, Line.kind):
        return _read_sampled(group, kind, attributes)
    if kind == Spectrum.kind:
        arrays = {name: group[name][()] for name in ("eigenvalues", "ends", "residuals", "bounds")}
        converged = group["converged"][()].astype(bool)
        return Spectrum(**arrays, converged=converged, products=int(group.attrs["products"]), attributes=attributes)
    if kind == Sharpness.kind:
        return Sharpness(_read_measures(group), attributes)
    if kind == History.kind:
        names = ["epoch", *(name for name in group if name != "epoch")]
        return History({name: group[name][()].astype(np.float64) for name in names}, attributes)
    raise LandscapeError(f"{group.name} is of kind {kind!r}, which this version of landscape does not know; update it")


def _write_sampled(group: Group, result: Sampled) -> None:
    _scale(group, "split", list(result.splits), "split of the data")
    dimensions = ["split", "x"]
    if isinstance(result, Surface):
        _scale(group, "y", result.beta, "β, coordinate along the second direction")
        dimensions = ["split", "y", "x"]
    _scale(group, "x", result.alpha, "α, coordinate along the first direction")
    for metric in result.metrics:
        _dataset(group, metric, result.grid(metric), dimensions, "mean over the examples")
        _dataset(
            group, f"{metric}_stderr", result.grid(metric, column="stderr"), dimensions, "standard error of the mean"
        )
    counts = np.nan_to_num(result.grid("loss", column="n")).astype(np.int64)
    _dataset(group, "n", counts, dimensions, "number of examples; 0 where not computed")
    _dataset(group, "computed", result.computed(), dimensions[1:], "NaN and inf where this is true are results")
    group.attrs["metrics"] = list(result.metrics)
    rest = result.off_axes()
    if len(rest):
        table = group.create_group("points")
        _scale(table, "point", np.arange(len(rest)))
        for column in POINT.names or ():
            _dataset(table, column, rest[column], ["point"])


def _read_sampled(group: Group, kind: str, attributes: dict[str, Any]) -> Surface | Line:
    alpha, splits = group["x"][()], tuple(group["split"].asstr()[()])
    beta = group["y"][()] if kind == Surface.kind else np.zeros(1)
    metrics = tuple(str(metric) for metric in attributes.pop("metrics"))
    computed = group["computed"][()].astype(bool).reshape(len(beta), len(alpha))
    rows_y, rows_x = np.nonzero(computed)
    shape = (len(splits), len(beta), len(alpha))
    n = group["n"][()].reshape(shape)
    parts = []
    for s in range(len(splits)):
        for m, metric in enumerate(metrics):
            part = np.zeros(len(rows_x), dtype=POINT)
            part["alpha"], part["beta"], part["split"], part["metric"] = alpha[rows_x], beta[rows_y], s, m
            part["value"] = group[metric][()].reshape(shape)[s, rows_y, rows_x]
            part["stderr"] = group[f"{metric}_stderr"][()].reshape(shape)[s, rows_y, rows_x]
            part["n"] = n[s, rows_y, rows_x]
            parts.append(part)
    if "points" in group:
        rest = np.zeros(len(group["points/point"]), dtype=POINT)
        for column in POINT.names or ():
            rest[column] = group["points"][column][()]
        parts.append(rest)
    points = np.concatenate(parts)
    if kind == Line.kind:
        return Line(alpha, splits, metrics, points, attributes)
    return Surface(alpha, splits, metrics, points, attributes, beta)


def _write_measures(group: Group, measures: Sequence[Measure]) -> None:
    _scale(group, "measure", [m.label for m in measures])
    _dataset(group, "name", [m.name for m in measures], ["measure"])
    _dataset(group, "value", np.array([m.value for m in measures]), ["measure"])
    _dataset(group, "stderr", np.array([m.stderr for m in measures]), ["measure"])
    _dataset(group, "meaning", [m.meaning for m in measures], ["measure"])
    _dataset(group, "evaluations", np.array([m.evaluations for m in measures]), ["measure"])
    _dataset(group, "parameters", [to_json(m.parameters) for m in measures], ["measure"])


def _read_measures(group: Group) -> tuple[Measure, ...]:
    text = {name: group[name].asstr()[()] for name in ("measure", "name", "meaning", "parameters")}
    return tuple(
        Measure(
            name=str(text["name"][i]),
            label=str(text["measure"][i]),
            value=float(group["value"][i]),
            stderr=float(group["stderr"][i]),
            meaning=str(text["meaning"][i]),
            evaluations=int(group["evaluations"][i]),
            parameters=json.loads(text["parameters"][i]),
        )
        for i in range(len(text["measure"]))
    )


def _scale(group: Group, name: str, values: Any, description: str = "") -> None:
    _dataset(group, name, values, [], description).make_scale(name)


def _dataset(group: Group, name: str, values: Any, dimensions: Sequence[str], description: str = "") -> Any:
    if isinstance(values, list):
        dataset = group.create_dataset(name, data=[_storable(v) for v in values], dtype=_TEXT, shape=(len(values),))
    elif values.dtype == bool:
        dataset = group.create_dataset(name, data=values.astype(np.int8))
        dataset.attrs["dtype"] = "bool"  # as xarray writes and reads booleans
    else:
        dataset = group.create_dataset(name, data=values)
    for axis, dimension in enumerate(dimensions):
        dataset.dims[axis].attach_scale(group[dimension])
    if description:
        dataset.attrs["long_name"] = description
    return dataset


def _write_attributes(group: Group, attributes: Mapping[str, Any]) -> None:
    encoded = []
    for name, value in attributes.items():
        if isinstance(value, str | bool | int | float | np.number):
            group.attrs[name] = _storable(value) if isinstance(value, str) else value
        else:
            group.attrs[name] = to_json(value)
            encoded.append(name)
    group.attrs[_JSON] = ",".join(encoded)


def _read_attributes(group: Group) -> dict[str, Any]:
    encoded = set(group.attrs[_JSON].split(","))
    attributes: dict[str, Any] = {}
    for name, value in group.attrs.items():
        if name not in (_JSON, "kind", "products"):
            attributes[name] = json.loads(value) if name in encoded else _plain(value)
    return attributes


def to_json(value: Any) -> str:
    """Return JSON of plain values, NumPy's numbers and arrays, and any mappings; NaN and inf as Python reads them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"attributes of results are JSON-able, not {type(value).__name__}")

    return json.dumps(value, default=plain)


def _plain(value: Any) -> Any:
    """Return an attribute as Python's own type."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _storable(text: str) -> str:
    """Return text that HDF5 can hold: valid UTF-8 without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def as_rows(points: NDArray[Any]) -> list[list[Any]]:
    """Return a table of points as JSON-able rows."""
    return [list(row) for row in points.tolist()]
