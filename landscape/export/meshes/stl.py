"""Solids for printers: binary STL in millimetres, written by trimesh."""

from __future__ import annotations

from landscape.export.meshes.mesh import import_trimesh, solid
from landscape.export.meshes.relief import Relief


def stl_bytes(relief: Relief, *, millimetres: float = 100.0) -> bytes:
    """Return a relief as a closed solid in binary STL, z up, with a longer side of `millimetres`.

    Raises:
        LandscapeError: trimesh is missing, or there are too few points.
    """
    trimesh = import_trimesh()
    mesh = solid(relief)
    return bytes(trimesh.Trimesh(mesh.vertices * millimetres, mesh.faces, process=False).export(file_type="stl"))
