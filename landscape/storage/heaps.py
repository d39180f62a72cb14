"""Checking the parts of an HDF5 file that hold texts, on whose damage the HDF5 library can loop for ever."""

from __future__ import annotations

_SIGNATURE = b"GCOL\x01\x00\x00\x00"  # and the version, 1
_HEADER = 16  # bytes of a heap's header, and of that of each object in it


def check_text_heaps(content: bytes) -> None:
    """Check that the objects of every global heap fill it one after the other.

    The sizes have no checksum, and HDF5 (1.14) goes from object to object by them: a size of 0 would keep it in place.
    See section III.E, "Disk Format: Level 1E - Global Heap", of the HDF5 File Format Specification, version 3.

    Raises:
        ValueError: if they do not.
    """
    start = content.find(_SIGNATURE)
    while start >= 0:
        end = start + _integer(content, start + 8, 8)
        if end > len(content):
            raise ValueError("a heap of texts is cut off")
        position = start + _HEADER
        while position + _HEADER <= end:
            index, size = _integer(content, position, 2), _integer(content, position + 8, 8)
            needed = _HEADER + -(-size // 8) * 8 if index else size  # object 0 is the free space, with its header
            if needed < _HEADER or position + needed > end:
                raise ValueError("a heap of texts is damaged")
            position += needed
        start = content.find(_SIGNATURE, start + 1)


def _integer(content: bytes, position: int, size: int) -> int:
    return int.from_bytes(content[position : position + size], "little")
