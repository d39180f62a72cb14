"""Detection of damage: a digest of each result, and a check of the text heaps on which the HDF5 library can hang."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from landscape.storage.hdf5_arrays import Group

DIGEST = "content_sha256"  # the attribute of a group that holds the digest of the rest

_NAMES_AND_UNITS = ("dtype", "long_name")  # attributes of datasets that belong to the content; others are HDF5's links
_HEAP_SIGNATURE = b"GCOL\x01\x00\x00\x00"  # and the version, 1
_HEAP_HEADER = 16  # bytes of a heap's header, and of that of each object in it


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


def check_text_heaps(content: bytes) -> None:
    """Check that the objects of every global heap fill it one after the other.

    The sizes have no checksum, and HDF5 (1.14) goes from object to object by them: a size of 0 would keep it in place.
    See section III.E, "Disk Format: Level 1E - Global Heap", of the HDF5 File Format Specification, version 3.

    Raises:
        ValueError: if they do not.
    """
    start = content.find(_HEAP_SIGNATURE)
    while start >= 0:
        end = start + _integer(content, start + 8, 8)
        if end > len(content):
            raise ValueError("a heap of texts is cut off")
        position = start + _HEAP_HEADER
        while position + _HEAP_HEADER <= end:
            index, size = _integer(content, position, 2), _integer(content, position + 8, 8)
            needed = _HEAP_HEADER + -(-size // 8) * 8 if index else size  # object 0 is the free space, with its header
            if needed < _HEAP_HEADER or position + needed > end:
                raise ValueError("a heap of texts is damaged")
            position += needed
        start = content.find(_HEAP_SIGNATURE, start + 1)


def _integer(content: bytes, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size], "little")
