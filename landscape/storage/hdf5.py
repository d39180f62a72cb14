"""One result ⇄ one HDF5 group, with dimension scales and names, so that xarray opens it.

`xarray.open_dataset(file, engine="h5netcdf", group="<checkpoint>/<name>")` gives named axes: ``loss[split, y, x]``.
The layout of a kind of result is derived from the fields of its dataclass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from landscape.errors import LandscapeError
from landscape.results import (
    BOUNDED_POINT,
    POINT,
    ConvexityResult,
    DensityResult,
    DynamicsResult,
    HistoryResult,
    LayersResult,
    LineResult,
    Result,
    Sampled,
    SharpnessResult,
    SpectrumResult,
    StudyResult,
    SurfaceResult,
    SurfaceSeriesResult,
    TrajectoryResult,
)
from landscape.storage.fields import StoredField, check_sizes, optional_fields, stored_fields
from landscape.storage.hdf5_arrays import Group, read_attributes, scale, write_attributes
from landscape.storage.sampled import SampledLayout

R = TypeVar("R", bound=Result)


class Layout(Protocol):
    """Layout of the results of one class in an HDF5 group."""

    @property
    def result(self) -> type[Any]:
        """The class."""

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the group's attributes that are not among the result's `attributes`."""

    def write(self, group: Group, result: Any) -> None:
        """Write all but the attributes."""

    def read(self, group: Group, attributes: Mapping[str, Any]) -> Any:
        """Return the result in a group."""

    def summary(self, result: Any) -> str:
        """Return the sizes of a result in one phrase, such as "3 measures, 8 checkpoints"."""


@dataclass(frozen=True)
class FieldLayout:
    """Layout derived from the fields of a dataclass: see `landscape.results.Over`."""

    result: type[Any]
    fields: tuple[StoredField, ...]

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of the group's attributes that are not among the result's `attributes`."""
        return tuple(name for field in self.fields for name in field.attribute_names)

    def _sizes(self, values: Mapping[str, Any]) -> dict[str, int]:
        return check_sizes(field.sizes(values[field.name]) for field in self.fields if field.name in values)

    def write(self, group: Group, result: Any) -> None:
        """Write the scales of all dimensions, then the fields."""
        values = {field.name: getattr(result, field.name) for field in self.fields}
        labels: dict[str, Any] = {}
        for field in self.fields:
            labels |= field.labels(values[field.name])
        for dimension, size in self._sizes(values).items():
            scale(group, dimension, labels.get(dimension, np.arange(size)))
        for field in self.fields:
            field.write(group, values[field.name])

    def read(self, group: Group, attributes: Mapping[str, Any]) -> Any:
        """Return the result in a group; a field that is not in it, of an earlier version, has its default."""
        optional = optional_fields(self.result)
        values = {}
        for field in self.fields:
            try:
                values[field.name] = field.read(group)
            except KeyError:
                if field.name not in optional:
                    raise
        self._sizes(values)
        return self.result(**values, attributes=attributes)

    def summary(self, result: Any) -> str:
        """Return the size of each dimension: "3 measures, 8 checkpoints"; the names of scalars if there is none."""
        sizes = self._sizes({field.name: getattr(result, field.name) for field in self.fields})
        if not sizes:
            return ", ".join(field.name for field in self.fields if field.name != "finished")
        return ", ".join(f"{size} {_counted(name, size)}" for name, size in sizes.items() if size) or "empty"


def _counted(name: str, count: int) -> str:
    """Return a dimension's name in the singular or plural."""
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    return name if count == 1 else plural


def layout_of(kind: type[Any]) -> Layout:
    """Return the layout of a class of results.

    Raises:
        TypeError: if it is no dataclass with a `kind` and `attributes`, or a field cannot be stored.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(getattr(kind, "kind", None), str) or "attributes" not in names:
        raise TypeError(f"expected a dataclass with the class variable kind and the field attributes, got {kind}")
    return SampledLayout(kind) if issubclass(kind, Sampled) else FieldLayout(kind, stored_fields(kind))


_BUILT_IN: tuple[type[Any], ...] = (
    SurfaceResult,
    ConvexityResult,
    LineResult,
    TrajectoryResult,
    SpectrumResult,
    DensityResult,
    LayersResult,
    SharpnessResult,
    StudyResult,
    HistoryResult,
    DynamicsResult,
    SurfaceSeriesResult,
)
LAYOUTS: dict[str, Layout] = {kind.kind: layout_of(kind) for kind in _BUILT_IN}


def register_layout(kind: type[Any]) -> None:
    """Let results of a class be stored; a class of the same `kind` is replaced.

    Raises:
        TypeError: if it is no dataclass with a `kind` and `attributes`, or a field cannot be stored.
    """
    LAYOUTS[kind.kind] = layout_of(kind)


def write_result(group: Group, result: Result) -> None:
    """Write a result into an empty group.

    Raises:
        LandscapeError: for a class that is not registered, or arrays whose sizes do not fit together.
    """
    layout = check_registered(type(result))
    group.attrs["kind"] = result.kind
    group.attrs["finished"] = np.int8(getattr(result, "finished", True))
    write_attributes(group, result.attributes, reserved=layout.attribute_names)
    try:
        layout.write(group, result)
    except ValueError as error:
        raise LandscapeError(f"cannot store a result of kind {result.kind}: {error}") from error


def read_result(group: Group) -> Result:
    """Return the result a group holds.

    Raises:
        LandscapeError: for a kind this version does not know.
    """
    check_kind(group)
    layout = LAYOUTS[group.attrs["kind"]]
    attributes = read_attributes(group, reserved=layout.attribute_names)
    result: Result = layout.read(group, attributes)
    if "finished" not in {field.name for field in dataclasses.fields(result)}:
        return result
    return upgraded(dataclasses.replace(result, finished=_is_finished(group, attributes)))


def check_kind(group: Group) -> None:
    """Check that this version can read a group.

    Raises:
        LandscapeError: for a kind that it does not know.
    """
    kind = group.attrs["kind"]
    if kind not in LAYOUTS:
        raise LandscapeError(
            f"{group.name} is of kind {kind!r}, which this version of landscape does not know; update it"
        )


def summary(result: Result) -> str:
    """Return the sizes of a result in one phrase.

    >>> import numpy as np
    >>> from landscape.results import HistoryResult
    >>> summary(HistoryResult({"epoch": np.arange(1.0, 4.0), "train_loss": np.array([2.0, 1.0, 0.5])}))
    '3 epochs'
    """
    return check_registered(type(result)).summary(result)


def check_registered(kind: type[Any]) -> Layout:
    """Return the layout of a class of results.

    Raises:
        LandscapeError: for a class that is not registered, which no file can store.
    """
    layout = LAYOUTS.get(getattr(kind, "kind", ""))
    if layout is None or not issubclass(kind, layout.result):
        known = ", ".join(LAYOUTS)
        raise LandscapeError(f"expected a result ({known}), got {kind.__name__}; register its class first")
    return layout


# Forms of version 0.1.0.


def _is_finished(group: Group, attributes: Mapping[str, Any]) -> bool:
    """Return the stored mark; without one, False for a surface or line that a command left without its seconds."""
    if "finished" in group.attrs:
        return bool(group.attrs["finished"])
    return "computed" not in group or "seconds" in attributes or "settings" not in attributes


def upgraded(result: R) -> R | ConvexityResult:
    """Return a result of version 0.1.0 in its present form; others as they are."""
    if isinstance(result, SurfaceResult) and result.metrics[0] == "convexity":
        return _with_bounds(result)
    return _with_diagnostics(result)


def _with_bounds(surface: SurfaceResult) -> ConvexityResult:
    """Return a convexity map, which once was a surface with bounds in the column of standard errors."""
    fields = {field.name: getattr(surface, field.name) for field in dataclasses.fields(surface)}
    return ConvexityResult(**{**fields, "points": surface.points.astype(POINT).view(BOUNDED_POINT)})


def _with_diagnostics(result: R) -> R:
    """Return sharpness with the diagnostics of each measure, which once were an attribute called evidence."""
    if not isinstance(result, SharpnessResult) or "evidence" not in result.attributes:
        return result
    attributes = dict(result.attributes)
    evidence = attributes.pop("evidence")
    measures = tuple(
        dataclasses.replace(measure, diagnostics=measure.diagnostics or _renamed(evidence.get(measure.label, {})))
        for measure in result.measures
    )
    return dataclasses.replace(result, measures=measures, attributes=attributes)


def _renamed(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {"samples" if name == "units" else name: value for name, value in evidence.items()}
