"""Members of an HDF5 group: arrays with dimension scales and names, and JSON-able attributes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from landscape.storage.json_values import to_json

Group: TypeAlias = Any  # h5py.Group; h5py has no types

_TEXT = h5py.string_dtype("utf-8")
_JSON = "json_attributes"  # names the attributes that hold JSON
# Attributes of a group that are not the result's `attributes`; the last three were reserved for all kinds by format 1.
_RESERVED = ("kind", "finished", "content_sha256", _JSON, "metrics", "products", "sigma")
_PREFIX = "attribute_"  # before those of the result's attributes whose names are reserved


def scale(group: Group, name: str, values: Any, description: str = "") -> None:
    """Write the coordinates of a dimension; a list is text."""
    dataset(group, name, values, [], description).make_scale(name)


def dataset(group: Group, name: str, values: Any, dimensions: Sequence[str], description: str = "") -> Any:
    """Write an array over dimensions whose scales are there, and return its dataset; a list is text."""
    if isinstance(values, list):
        stored = group.create_dataset(name, data=[_storable(v) for v in values], dtype=_TEXT, shape=(len(values),))
    elif values.dtype == bool:
        stored = group.create_dataset(name, data=values.astype(np.int8))
        stored.attrs["dtype"] = "bool"  # as xarray writes and reads booleans
    else:
        stored = group.create_dataset(name, data=values)
    for axis, dimension in enumerate(dimensions):
        stored.dims[axis].attach_scale(group[dimension])
    if description:
        stored.attrs["long_name"] = description
    return stored


def array(stored: Any) -> NDArray[Any]:
    """Return the array of a dataset of numbers or booleans."""
    values: NDArray[Any] = stored[()]
    return values.astype(bool) if stored.attrs.get("dtype") == "bool" else values


def write_attributes(group: Group, attributes: Mapping[str, Any], *, reserved: Collection[str] = ()) -> None:
    """Write a result's attributes: numbers and text as they are, all else as JSON.

    Args:
        group: the HDF5 group of the result.
        attributes: JSON-able values by name.
        reserved: further names of attributes that belong to the layout; attributes called so get a prefix.
    """
    encoded = []
    for given, value in attributes.items():
        name = f"{_PREFIX}{given}" if given in (*_RESERVED, *reserved) else given
        if isinstance(value, str | bool | int | float | np.number):
            group.attrs[name] = _storable(value) if isinstance(value, str) else value
        else:
            group.attrs[name] = to_json(value)
            encoded.append(name)
    group.attrs[_JSON] = ",".join(encoded)


def read_attributes(group: Group, *, reserved: Collection[str] = ()) -> dict[str, Any]:
    """Return the attributes that `write_attributes` wrote."""
    layout_names = (*_RESERVED, *reserved)
    encoded = set(group.attrs[_JSON].split(","))
    attributes: dict[str, Any] = {}
    for name, value in group.attrs.items():
        if name not in layout_names:
            given = name.removeprefix(_PREFIX)
            attributes[given if given in layout_names else name] = (
                json.loads(value) if name in encoded else plain(value)
            )
    return attributes


def plain(value: Any) -> Any:
    """Return an attribute as Python's own type."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _storable(text: str) -> str:
    """Return text that HDF5 can hold: valid UTF-8 without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
