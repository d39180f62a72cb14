"""Fields of a result ⇄ members of an HDF5 group, by the types that the result's dataclass states."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from landscape.results import Labels, Over
from landscape.storage.hdf5_arrays import Group, array, dataset, plain
from landscape.storage.json_values import to_json
from landscape.storage.schema import check_mapping


@dataclass(frozen=True)
class StoredField:
    """One field of a dataclass in a group."""

    name: str

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the arrays that are always in the group."""
        return ()

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names of attributes of the group."""
        return ()

    def sizes(self, value: Any) -> Mapping[str, int]:
        """Return the size of each dimension that a value extends over.

        Raises:
            ValueError: if the value does not have the field's dimensions.
        """
        return {}

    def labels(self, value: Any) -> Mapping[str, Any]:
        """Return the labels of the dimensions that a value labels; a list is text."""
        return {}

    def write(self, group: Group, value: Any) -> None:
        """Write a value; the scales of its dimensions are there."""
        raise NotImplementedError

    def read(self, group: Group) -> Any:
        """Return the value in a group."""
        raise NotImplementedError


@dataclass(frozen=True)
class _ArrayField(StoredField):
    """An array, or a tuple of texts; the labels of a dimension are stored under the dimension's name."""

    dimensions: tuple[str, ...] | None  # None: one of its own for each axis
    is_labels: bool
    is_text: bool

    @property
    def members(self) -> tuple[str, ...]:
        return (self._stored_name,)

    @property
    def _stored_name(self) -> str:
        return self.dimensions[0] if self.is_labels and self.dimensions else self.name

    def _dimensions(self, value: Any) -> tuple[str, ...]:
        return self.dimensions or tuple(f"{self.name}_{axis}" for axis in range(np.ndim(value)))

    def sizes(self, value: Any) -> Mapping[str, int]:
        dimensions, shape = self._dimensions(value), np.shape(value)
        if len(shape) != len(dimensions):
            raise ValueError(f"expected {self.name} over {', '.join(dimensions)}, got the shape {shape}")
        return dict(zip(dimensions, shape, strict=True))

    def labels(self, value: Any) -> Mapping[str, Any]:
        return {self._stored_name: list(value) if self.is_text else value} if self.is_labels else {}

    def write(self, group: Group, value: Any) -> None:
        if not self.is_labels:
            dataset(group, self.name, list(value) if self.is_text else np.asarray(value), self._dimensions(value))

    def read(self, group: Group) -> Any:
        stored = group[self._stored_name]
        if (h5py.check_string_dtype(stored.dtype) is not None) != self.is_text:
            raise ValueError(f"expected {self._stored_name} as {'texts' if self.is_text else 'numbers'}, got the other")
        return tuple(map(str, stored.asstr()[()])) if self.is_text else array(stored)


@dataclass(frozen=True)
class _ScalarField(StoredField):
    """A number or text, stored as an attribute of the group; a mapping as JSON."""

    is_json: bool

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return (self.name,)

    def write(self, group: Group, value: Any) -> None:
        group.attrs[self.name] = to_json(value) if self.is_json else value

    def read(self, group: Group) -> Any:
        stored = group.attrs[self.name]
        return json.loads(stored) if self.is_json else plain(stored)


@dataclass(frozen=True)
class _ColumnsField(StoredField):
    """A mapping of arrays over one dimension, each stored under its key; the one named like the dimension labels it.

    An attribute of the group lists the keys in their order.
    """

    dimension: str

    @property
    def members(self) -> tuple[str, ...]:
        return (self.dimension,)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        return (self.name,)

    def sizes(self, value: Mapping[str, Any]) -> Mapping[str, int]:
        if self.dimension not in value:
            raise ValueError(f"expected {self.name} with {self.dimension}, got {', '.join(value) or 'none'}")
        shapes = {np.shape(column) for column in value.values()}
        if len(shapes) > 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"expected {self.name} over {self.dimension} in one size, got the shapes {sorted(shapes)}")
        return {self.dimension: len(value[self.dimension])}

    def labels(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {self.dimension: value[self.dimension]}

    def write(self, group: Group, value: Mapping[str, Any]) -> None:
        group.attrs[self.name] = list(value)
        for key, column in value.items():
            if key != self.dimension:
                dataset(group, key, column, [self.dimension])

    def read(self, group: Group) -> dict[str, Any]:
        if self.name in group.attrs:
            keys = [str(key) for key in group.attrs[self.name]]
        else:  # written by version 0.1.0
            keys = [self.dimension, *(key for key in group if key != self.dimension)]
        return {key: group[key][()].astype(np.float64) for key in keys}


@dataclass(frozen=True)
class _RecordsField(StoredField):
    """A tuple of flat dataclasses: an array over the records for each of their fields; mappings as JSON."""

    dimension: str
    record: type[Any]

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(self._columns().values())

    def _columns(self) -> dict[str, str]:
        """Return the name of the array of each field: the dimension's for the field that labels the records."""
        hints = typing.get_type_hints(self.record, include_extras=True)
        return {
            field.name: self.dimension if isinstance(_annotation(hints[field.name]), Labels) else field.name
            for field in dataclasses.fields(self.record)
        }

    def sizes(self, value: tuple[Any, ...]) -> Mapping[str, int]:
        return {self.dimension: len(value)}

    def labels(self, value: tuple[Any, ...]) -> Mapping[str, Any]:
        labelling = next((field for field, stored in self._columns().items() if stored == self.dimension), None)
        return {self.dimension: [getattr(record, labelling) for record in value]} if labelling else {}

    def write(self, group: Group, value: tuple[Any, ...]) -> None:
        hints = typing.get_type_hints(self.record)
        for field, stored in self._columns().items():
            if stored != self.dimension:
                column = [getattr(record, field) for record in value]
                if hints[field] in (int, float, bool):
                    dataset(group, stored, np.array(column, dtype=hints[field]), [self.dimension])
                else:
                    texts = column if hints[field] is str else [to_json(entry) for entry in column]
                    dataset(group, stored, texts, [self.dimension])

    def read(self, group: Group) -> tuple[Any, ...]:
        hints, columns = typing.get_type_hints(self.record), {}
        optional = optional_fields(self.record)
        for field, stored in self._columns().items():
            kind = hints[field]
            if stored not in group and field in optional:
                continue
            if kind in (int, float, bool):
                columns[field] = [kind(entry) for entry in group[stored][()]]
            elif kind is str:
                columns[field] = list(map(str, group[stored].asstr()[()]))
            else:
                columns[field] = [json.loads(text) for text in group[stored].asstr()[()]]
                for entry in columns[field]:
                    check_mapping(field, entry)
        check_sizes([{self.dimension: len(column)} for column in columns.values()])
        return tuple(self.record(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def optional_fields(kind: type[Any]) -> set[str]:
    """Return the fields of a dataclass that have defaults: files of earlier versions may lack them."""
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    return {field.name for field in fields if field.default is not missing or field.default_factory is not missing}


def stored_fields(kind: type[Any]) -> tuple[StoredField, ...]:
    """Return the stored form of each field of a dataclass, but for `attributes` and `finished`.

    Raises:
        TypeError: for a field of a type that cannot be stored, or two fields of one name in the file.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in dataclasses.fields(kind) if field.name not in ("attributes", "finished")]
    fields = [_stored_field(kind, name, hints[name]) for name in names]
    members = [member for field in fields for member in field.members]
    twice = next((member for member in members if members.count(member) > 1), None)
    if twice is not None:
        raise TypeError(f"expected each array of {kind.__name__} under a name of its own, got {twice} twice")
    return tuple(fields)


def check_sizes(sizes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the size of each dimension.

    Raises:
        ValueError: naming the dimension in which arrays differ.
    """
    merged: dict[str, int] = {}
    for field_sizes in sizes:
        for dimension, size in field_sizes.items():
            if merged.setdefault(dimension, size) != size:
                both = sorted((merged[dimension], size))
                raise ValueError(f"expected all its arrays over {dimension} in one size, got {both}")
    return merged


def _stored_field(kind: type[Any], name: str, hint: Any) -> StoredField:
    annotation = _annotation(hint)
    base = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    origin, arguments = typing.get_origin(base) or base, typing.get_args(base)
    if hasattr(origin, "__value__"):  # an alias statement, as NDArray from numpy 2.5 on
        origin = typing.get_origin(origin.__value__) or origin.__value__
    dimensions = annotation.dimensions if annotation else None
    is_text = origin is tuple and arguments == (str, ...)
    if origin is np.ndarray or is_text:
        dimensions = (name,) if is_text and not dimensions else dimensions
        is_labels = isinstance(annotation, Labels) or dimensions == (name,)
        return _ArrayField(name, dimensions, is_labels, is_text)
    if origin is tuple and len(arguments) == 2 and dataclasses.is_dataclass(arguments[0]):
        return _RecordsField(name, dimensions[0] if dimensions else name, typing.cast("type[Any]", arguments[0]))
    if base in (int, float, bool, str):
        return _ScalarField(name, is_json=False)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if dimensions:
            return _ColumnsField(name, dimensions[0])
        return _ScalarField(name, is_json=True)
    raise TypeError(
        f"cannot store {kind.__name__}.{name} of type {base}; expected an array, a number, a text, a mapping, "
        "or a tuple of texts or of dataclasses"
    )


def _annotation(hint: Any) -> Over | None:
    return next((extra for extra in typing.get_args(hint)[1:] if isinstance(extra, Over)), None)
