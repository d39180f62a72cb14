"""Solids for printers: binary STL in millimetres."""

from __future__ import annotations

import numpy as np

from landscape.export.meshes.mesh import solid
from landscape.export.meshes.relief import Relief

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def stl_bytes(relief: Relief, *, millimetres: float = 100.0) -> bytes:
    """Return a relief as a closed solid in binary STL, z up, with a longer side of `millimetres`."""
    corners = solid(relief).triangles * millimetres
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(corners), dtype=_TRIANGLE)
    triangles["normal"] = normals / np.where(lengths > 0, lengths, 1)
    triangles["corners"] = corners
    header = f"landscape: {relief.words} Millimetres.".encode("ascii", "replace")[:80].ljust(80)
    return header + np.uint32(len(triangles)).tobytes() + triangles.tobytes()
