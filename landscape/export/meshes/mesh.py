"""Triangles of a relief: the sheet itself, or a closed solid that stands on a flat base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.errors import LandscapeError
from landscape.export.meshes.relief import Relief
from landscape.results import Floats

Faces = NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """Triangles, each counter-clockwise as seen from outside (of a sheet: from above)."""

    vertices: Floats  # (V, 3) x, y, z
    faces: Faces  # (F, 3) indices of vertices
    points: NDArray[np.int64]  # (V,) the flat grid index [y, x] of each vertex


def import_trimesh() -> Any:
    """Return the module trimesh, which writes STL and glTF.

    Raises:
        LandscapeError: It is missing.
    """
    try:
        import trimesh
    except ImportError as error:
        raise LandscapeError(
            "stl and glb are written by trimesh, which is missing; pip install 'landscape-toolkit[mesh]'"
        ) from error
    return trimesh


def sheet(relief: Relief) -> Mesh:
    """Return a relief as triangles without thickness; a cell with a corner that has no height is a hole."""
    return _used(_vertices(relief, relief.height), _top(_cells(relief), relief))


def solid(relief: Relief, *, base: float = 0.04) -> Mesh:
    """Return a relief as a closed solid on a flat base: every edge belongs to two triangles, so that it can be printed.

    Holes go right through it. A cell that touches another at a corner only, between two holes, is left out: there the
    solid would hang together by a line without thickness.

    Args:
        relief: The relief.
        base: Thickness below the lowest place, as a share of the longer side.
    """
    cells = _without_corner_contacts(_cells(relief))
    top = _top(cells, relief)
    size = relief.height.size
    vertices = np.concatenate(
        [_vertices(relief, relief.height + base), _vertices(relief, np.zeros(relief.height.shape))]
    )
    faces = np.concatenate([top, top[:, ::-1] + size, _walls(cells, size)])
    return _used(vertices, faces)


def _cells(relief: Relief) -> NDArray[np.bool_]:
    """Return a mask of the grid cells with a height at all four corners."""
    known = ~relief.holes
    cells: NDArray[np.bool_] = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:] & known[1:, 1:]
    if not cells.any():
        raise LandscapeError("no four neighbouring points of the surface have been computed: there is nothing to build")
    return cells


def _vertices(relief: Relief, z: Floats) -> Floats:
    x, y = np.meshgrid(relief.x, relief.y)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def _corners(cells: NDArray[np.bool_]) -> tuple[Faces, Faces, Faces, Faces]:
    """Return for each cell the flat grid index of its corners, counter-clockwise from the lower left."""
    y, x = np.nonzero(cells)
    columns = cells.shape[1] + 1
    first = y * columns + x
    return first, first + 1, first + columns + 1, first + columns


def _top(cells: NDArray[np.bool_], relief: Relief) -> Faces:
    """Return two triangles for each cell, split along the diagonal that bends less."""
    a, b, c, d = _corners(cells)
    heights = relief.height.ravel()
    rising = np.abs(heights[a] - heights[c]) <= np.abs(heights[b] - heights[d])
    first = np.where(rising[:, None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(rising[:, None], np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return np.concatenate([first, second])


def _walls(cells: NDArray[np.bool_], size: int) -> Faces:
    """Return the walls, where a cell has no neighbour: two triangles from the edge above to the edge below it."""
    around = np.pad(cells, 1)
    a, b, c, d = _corners(cells)
    chosen = np.nonzero(cells)
    neighbours = (
        (around[:-2, 1:-1], a, b),  # below: towards smaller y
        (around[1:-1, 2:], b, c),
        (around[2:, 1:-1], c, d),
        (around[1:-1, :-2], d, a),
    )
    walls: list[Any] = []
    for there, start, end in neighbours:
        open_ = ~there[chosen]
        p, q = start[open_], end[open_]
        walls += [np.stack([p, p + size, q + size], -1), np.stack([p, q + size, q], -1)]
    return np.concatenate(walls)


def _without_corner_contacts(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells less those that meet another at nothing but a corner, until none does."""
    cells = cells.copy()
    while True:
        a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, 1:], cells[1:, :-1]
        first, second = a & c & ~b & ~d, b & d & ~a & ~c
        if not (first | second).any():
            return cells
        cells[1:, 1:][first] = False
        cells[1:, :-1][second] = False


def _used(vertices: Floats, faces: Faces) -> Mesh:
    """Return a mesh without the vertices that no triangle has."""
    if not len(faces):
        raise LandscapeError("the computed points of the surface touch at corners only: there is nothing to build")
    used, inverse = np.unique(faces, return_inverse=True)
    return Mesh(vertices[used], inverse.reshape(faces.shape).astype(np.int64), used.astype(np.int64))
