"""SHA-256 of the content of an HDF5 group, so that a flipped bit is never read as another number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from landscape.storage.hdf5_arrays import Group

DIGEST = "content_sha256"  # the attribute of a group that holds the digest of the rest

_NAMES_AND_UNITS = ("dtype", "long_name")  # attributes of datasets that belong to the content; others are HDF5's links


def digest(group: Group) -> str:
    """Return the SHA-256, in hexadecimal, of a group's attributes and of all arrays in it and in its subgroups."""
    sha = hashlib.sha256()
    for part in _parts(group):
        sha.update(b"%d:" % len(part))  # so that no two contents give the same bytes
        sha.update(part)
    return sha.hexdigest()


def _parts(item: Any) -> Iterator[bytes]:
    is_group = isinstance(item, h5py.Group)
    for name in sorted(item.attrs):
        if name != DIGEST if is_group else name in _NAMES_AND_UNITS:
            yield name.encode("utf-8", "surrogateescape")
            yield from _values(item.attrs[name])
    if is_group:
        for name in sorted(item):
            yield name.encode("utf-8", "surrogateescape")
            yield from _parts(item[name])
    else:
        yield from _values(item[()])


def _values(values: Any) -> Iterator[bytes]:
    array = np.asarray(values)
    yield f"{array.dtype.kind} {array.dtype.str if array.dtype.kind not in 'OU' else ''} {array.shape}".encode()
    if array.dtype.kind in "OU":
        for text in array.ravel().tolist():
            yield text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")
    else:
        yield np.ascontiguousarray(array).tobytes()
